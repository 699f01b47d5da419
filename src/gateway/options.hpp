// Settings of the /v1 endpoints.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "governance/ip_range.hpp"

namespace gateway {

using std::chrono::milliseconds;

struct options {
    std::vector<base::secret> api_keys;                   // CLAUDE_PROXY_API_KEYS: static client keys, team `default`
    std::uint64_t messages_body_bytes_max = 32ull << 20;  // messages, count_tokens: held whole; more: 413
    std::uint64_t batches_body_bytes_max = 256ull << 20;  // held whole
    std::uint64_t files_body_bytes_max = 512ull << 20;    // streamed through (500 MB and the multipart envelope)
    std::uint64_t other_body_bytes_max = 32ull << 20;     // any other /v1 route, streamed through
    milliseconds ping_interval{15'000};                   // silence after which we send our own ping
    std::uint32_t preamble_events_max = 16;               // events held back before the first content
    std::uint64_t preamble_bytes_max = 64 * 1024;         // bytes held back
    milliseconds preamble_hold{2'000};                    // longest hold; then the stream starts as it is
    std::uint64_t answer_hold_bytes_max = 256 * 1024;     // JSON answers up to this size are sent only when whole
    std::uint32_t attempts_max = 2;                       // calls upstream for one request, 1 to 3
    std::uint32_t count_tokens_per_minute = 4'000;        // of each key; 0: no limit
    milliseconds idempotency_ttl{86'400'000};             // an answer is kept so long for the same Idempotency-Key
    std::uint64_t idempotency_bytes_max = 256ull << 20;   // of all such answers in memory
    milliseconds leave_drain{0};                          // reads on after the client left, to know its tokens
    milliseconds drain_delay{5'000};                      // after SIGTERM: not ready, but accepting goes on
    milliseconds drain_timeout{600'000};                  // then running requests may finish for so long
    std::vector<governance::ip_range> trusted_proxies;    // who is believed when it says whom it speaks for
    std::uint32_t trusted_hops = 1;                       // proxies of ours that a request passes, 1 to 16
};

}  // namespace gateway
