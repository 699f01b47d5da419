// Settings of webhooks.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace jobs {

struct webhook_options {
    using milliseconds = std::chrono::milliseconds;

    std::string allow;        // CIDRs between commas that may be reached although they are private
    bool allow_http = false;  // URLs without TLS
    std::string ca_file;      // trust anchors besides the system's
    milliseconds connect_timeout{5'000};
    milliseconds total_timeout{15'000};  // one try, from the look-up of the name to the answer
    // Waits between tries, which are one more than these; each with jitter.
    std::vector<milliseconds> retries{std::chrono::seconds(5),  std::chrono::seconds(30), std::chrono::minutes(2),
                                      std::chrono::minutes(10), std::chrono::hours(1),    std::chrono::hours(3),
                                      std::chrono::hours(6),    std::chrono::hours(12)};
    milliseconds retry_after_max = std::chrono::hours(12);  // a longer `retry-after` is cut
    milliseconds give_up_after = std::chrono::hours(72);    // deliveries that an open breaker holds up do not stay
    std::uint32_t concurrency = 64;                         // requests under way of one process
    std::uint32_t endpoint_concurrency = 8;                 // of them to one endpoint, for one team
    std::uint32_t breaker_failures = 5;                     // in a row; then the endpoint is left alone
    milliseconds breaker_open_first{30'000};                // doubled at each failure after that
    milliseconds breaker_open_max = std::chrono::minutes(15);

    // Not settable: nobody needs to.
    milliseconds poll_every{1'000};           // what other replicas have made due is found by looking
    milliseconds claim_margin{10'000};        // a claim outlives its try by so long, to be marked
    milliseconds stop_patience{3'000};        // requests under way may end at the end of the process
    std::uint32_t answer_bytes_max = 16'384;  // head and body each; the rest of an answer is not read
};

}  // namespace jobs
