// Settings of the limits shared through Redis.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/live_secret.hpp"

namespace redis {

using std::chrono::milliseconds;

struct options {
    base::secret url{};  // REDIS_URL: redis://[[user]:password@]host[:port][/database]
    // What new connections take instead of `url`, where that may change while the process runs; null: it does not.
    std::shared_ptr<const base::live_secret> live_url{};
    milliseconds timeout{1'000};                 // connecting, and one round; longer is an outage. Requests wait 20 ms
    milliseconds reconnect_every{500};           // during an outage
    milliseconds place_lease{5'000};             // places of a killed replica come back after this
    std::string prefix = "claude-proxy:limit:";  // of the keys, before the limiter's id
};

}  // namespace redis
