// Reads everything a directory is made of, as it was at one moment. Blocking; thread rule: the connection's.
#pragma once

#include "database/connection.hpp"
#include "governance/directory.hpp"

namespace governance {

// Counts every change of who may do what: one cheap query tells whether a new directory is due.
std::int64_t read_generation(database::connection& on);

// Without secrets that have expired, and without keys that were revoked or expired more than 30 days ago: nobody waits
// for a clear error that long. Metadata is not read, the request path has no use for it.
// Throws database::failure.
directory_rows load_directory(database::connection& on, time_ms now);

}  // namespace governance
