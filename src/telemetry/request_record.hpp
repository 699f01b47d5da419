// What is known about one request when it is over: the source of its log line and of every metric.
// A value type, filled by the gateway and consumed by the telemetry writer.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "anthropic/usage.hpp"

namespace telemetry {

struct request_record {
    std::chrono::system_clock::time_point started_at{};
    std::string request_id;           // ours, `req_cp_...`
    std::string upstream_request_id;  // upstream's `request-id`, empty when it never answered
    std::string method;
    std::string path;    // as asked, without the query; at most 256 bytes
    std::string route;   // bounded label of a row in gateway/routes.cpp: "messages", "other", ...
    std::string peer;    // address of the client
    std::string caller;  // key id (never the key), empty when not authenticated
    std::string team;
    std::string model;       // as asked, empty when unknown
    std::string user_agent;  // at most 128 bytes
    int status = 0;          // sent to the client; 499 when the client left before any
    std::string reason;      // our own errors: facts_of(kind).reason; also for a stream that ended badly
    bool stream = false;
    anthropic::metered answer;    // tokens
    std::uint64_t bytes_in = 0;   // request body
    std::uint64_t bytes_out = 0;  // answer body
    std::uint32_t attempts = 0;   // calls upstream
    std::int64_t cost_pico = 0;   // of all attempts, pico-dollars
    bool price_unknown = false;   // of the last attempt: no price row knows the model
    std::uint32_t pings = 0;      // our own pings sent
    // Times from the request's first byte, microseconds; 0 when it never came to that.
    std::uint64_t total_us = 0;
    std::uint64_t upstream_head_us = 0;  // upstream's response head was there
    std::uint64_t first_byte_us = 0;     // first byte of the answer written to the client
    std::uint64_t first_content_us = 0;  // first content event of a stream
    std::uint64_t overhead_us = 0;       // our own share until the request was written upstream
};

}  // namespace telemetry
