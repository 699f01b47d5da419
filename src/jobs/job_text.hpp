// A job as JSON, as the APIs show it. Plain functions of values; any thread.
#pragma once

#include <string>

#include "jobs/job.hpp"

namespace jobs {

// {"id":"job_...","type":"job","status":"queued",...}. Times are RFC 3339, what is not known (yet) is null. Metadata,
// usage and error stand as they were stored; of the error's envelope the error itself.
std::string json_of(const summary& about);

}  // namespace jobs
