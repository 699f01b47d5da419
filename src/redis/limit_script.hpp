// The shared state of one limiter in Redis and the Lua script that is one limiter's part of a round.
//
// A limiter is one hash: `requests`, `input`, `output` hold when that bucket will be full (microseconds, Redis' own
// clock), `place:REPLICA` the places that a replica has leased and until when. The hash expires when all buckets are
// full and all leases over, so an idle limiter leaves nothing behind. Plain functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "governance/rate_limit.hpp"

namespace redis {

extern const std::string_view limit_script;

// The words after EVALSHA and the script's digest, or after EVAL and its text.
std::vector<std::string> script_words(std::string_view key, std::string_view replica, std::int64_t lease_us,
                                      const governance::shared_request& asked);

// Nothing: not what the script answers.
std::optional<governance::shared_answer> read_answer(std::span<const std::int64_t> numbers);

}  // namespace redis
