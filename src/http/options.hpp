// Limits of the HTTP server. Every queue, buffer, body and wait has its name here.
#pragma once

#include <chrono>
#include <cstdint>

namespace http {

using std::chrono::milliseconds;

struct server_options {
    std::uint32_t head_bytes_max = 64 * 1024;           // request line and headers; more: 431
    std::uint32_t headers_max = 200;                    // number of header lines; more: 431
    std::uint32_t connections_max = 20'000;             // open client connections of the process; more: 529 and close
    std::uint64_t in_flight_bytes_max = 1024ull << 20;  // request bodies held in memory by the process; more: 529
    milliseconds head_timeout{15'000};                  // from a request's first byte to the end of its head; then 408
    milliseconds body_idle_timeout{30'000};             // longest pause of a client that sends a body; then 408
    std::uint64_t body_bytes_per_second_min = 1024;     // a body slower than this, after body_idle_timeout, ends in 408
    milliseconds keep_alive_timeout{90'000};            // idle connection between requests; then closed
    milliseconds write_idle_timeout{60'000};            // a client that takes no bytes for so long is cut (slow_reader)
    milliseconds linger_timeout{2'000};                 // reading away an unread body after an early answer
    std::uint64_t linger_bytes_max = 256 << 20;         // at most so much of it; clients lose the answer beyond it
};

}  // namespace http
