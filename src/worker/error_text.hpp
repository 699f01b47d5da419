// Small readers of what the front answers to a job: the head, the error envelope, the end of a log, the usage of a
// message. Plain functions of values; any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "http/head.hpp"

namespace worker {

struct answer_head {
    std::string request_id;  // ours
    std::optional<std::chrono::seconds> retry_after;
    bool event_stream = false;
};
answer_head read_answer_head(const http::response_head& head);

struct error_text {
    bool is_envelope = false;
    std::string type;    // `error.type`
    std::string reason;  // `error.details.reason`
};
error_text read_error(std::string_view json);

// Where the last event named `error` begins in a piece of a log, its id included; the piece's size without one.
std::size_t before_error_event(std::string_view log);

// The `usage` member of a message, as it is; empty without one.
std::string usage_of(std::string_view message);

}  // namespace worker
