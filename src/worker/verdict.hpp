// What the end of an attempt means for its job. Decisions of values: no I/O, no clock.
//
// | the attempt                                             | fate        |
// |---|---|
// | message_stop was seen, refusals included                | succeeded   |
// | the request is at fault: 400, 403, 404, 413, our own 401 | failed     |
// | "not now": 429, 529, a limit, a budget, no connection   | waiting: the attempt does not count |
// | it broke: 5xx, a timeout, a stream that was cut, the upstream does not take our credential (401) | retry |
// | the process ends                                        | handed_back |
//
// An error inside a stream counts by its type, as its status would have; once there was content it is a break.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "jobs/options.hpp"

namespace worker {

struct attempt_facts {
    bool complete = false;  // message_stop was seen
    bool content = false;   // some of the answer was seen
    int status = 0;         // of the front's answer; 0: none came
    std::string type;       // `error.type` of its envelope or of an error event; may be empty
    std::string reason;     // `error.details.reason`: our own errors have one
    std::optional<std::chrono::seconds> retry_after;
};

enum class fate : std::uint8_t { succeeded, failed, retry, waiting, handed_back };

fate fate_of(const attempt_facts& how);

struct delay_facts {
    std::uint32_t attempt = 1;  // of the job, from 1
    std::optional<std::chrono::seconds> retry_after;
    std::int64_t now_ms = 0;
    std::int64_t expires_at_ms = 0;
    double jitter = 0.5;  // from 0 to 1
};

// When a job that has to come again may: backoff_first doubled at each attempt, from half of it (jitter 0) to all, or
// retry_after with up to a tenth more; at most backoff_max from now and never behind its expiry.
std::int64_t run_after_of(const jobs::options& rules, const delay_facts& facts);

}  // namespace worker
