// The body of POST /v1/jobs: a Messages body, unchanged, and what is asked of the job around it. Plain functions of
// bytes: no I/O, no clock, free to call from any thread.
//
//     {"request": {Messages body}, "metadata": {...}, "priority": 0, "lane": "realtime", "expires_in": 86400,
//      "webhook": {"url": "https://..."}}
//
// All but `request` may be absent or null.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace anthropic {

enum class job_lane : std::uint8_t { realtime, batch };

struct job_request {
    static constexpr int priority_min = -100, priority_max = 100;
    static constexpr std::chrono::seconds expires_in_min = std::chrono::minutes(1),
                                          expires_in_max = std::chrono::days(30);
    // A batch may take a day before it gives its requests back undone: then they need the day of any other job.
    static constexpr std::chrono::seconds expires_in_usual = std::chrono::days(1),
                                          expires_in_usual_batch = std::chrono::days(2);
    static constexpr std::size_t metadata_bytes_max = 4096;
    static constexpr std::size_t webhook_url_bytes_max = 2048;

    std::string_view request;   // the bytes of the Messages body, a JSON object inside the body that was read
    std::string_view metadata;  // the bytes of a JSON object; empty when absent
    int priority = 0;
    job_lane lane = job_lane::realtime;
    std::chrono::seconds expires_in = expires_in_usual;
    std::string webhook_url;  // decoded; empty when absent
};

struct job_request_rules {
    bool plain_http_webhooks = false;  // also `http:` URLs, for tests and closed networks
};

// The views of the result are of `body`. The whole body is valid JSON when this succeeds, so that `request` can be put
// between others in a batch. What is in `request` is left to request_view.hpp and the upstream.
// Errors: invalid_json; missing_field (no `request`); duplicate_field; invalid_argument (unknown members, wrong types,
// values outside their range). Each names the member and what to do.
base::result<job_request> read_job_request(std::string_view body, job_request_rules rules = {});

// The Messages body with "stream": true. Only those bytes differ: the value of `stream` is replaced, or the member is
// put in front of the others. Errors: invalid_json (not a JSON object).
base::result<std::string> streaming_body(std::string_view request);
inline constexpr std::size_t streaming_bytes_more = std::string_view("\"stream\":true,").size();  // at most

// The Messages body without `stream`, which batches refuse. Errors: invalid_json (not a JSON object).
base::result<std::string> batch_params(std::string_view request);

}  // namespace anthropic
