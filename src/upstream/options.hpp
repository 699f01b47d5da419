// Where Claude is and how long we wait for it. Each timer has its own error code (base/error.hpp).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/secret.hpp"

namespace upstream {

using std::chrono::milliseconds;

struct options {
    std::string url = "https://api.anthropic.com";  // http or https, host, optional port, optional path prefix
    std::vector<base::secret> credentials;          // ANTHROPIC_API_KEY; used in turn
    std::string ca_file;                            // extra trust anchors (PEM) for https; empty: the system's
    milliseconds connect_timeout{5'000};            // TCP and TLS; upstream_connect_timeout
    milliseconds head_timeout{600'000};             // request sent to response head; upstream_head_timeout
    milliseconds first_content_timeout{300'000};  // stream: head to first content event; upstream_first_content_timeout
    milliseconds idle_timeout{300'000};           // between two bytes of the answer; upstream_idle_timeout
    milliseconds total_timeout{3'600'000};        // the whole call; upstream_total_timeout
    milliseconds keep_alive_timeout{50'000};      // a pooled connection unused for so long is closed
    std::uint32_t idle_connections_max = 4096;    // pooled connections per reactor thread
    milliseconds resolve_every{30'000};           // how long a DNS answer is used
    std::uint32_t head_bytes_max = 128 * 1024;    // response head; more: upstream_protocol_error
};

}  // namespace upstream
