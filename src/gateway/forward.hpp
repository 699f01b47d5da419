// Asks the upstream on behalf of one request: attempts, retries and the choice of relay.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "gateway/exchange.hpp"
#include "gateway/relay.hpp"

namespace gateway {

// Hears of each attempt: the account of the request (accounting.hpp).
class attempt_observer {
public:
    virtual ~attempt_observer() = default;
    // An attempt is about to be made, counted from 1. False: it must not be (ledger_full).
    virtual bool begin(std::uint32_t number) = 0;
    // It is over; x.record.answer has what was metered.
    virtual void end(const relay_outcome& how) = 0;
    // Whether what is held pays for one more.
    virtual bool covers_another() { return true; }
};

// What is done with an answer of success before the client has it; only with one that is short enough to be held.
struct answer_hooks {
    std::function<void(std::string&)> rewrite{};                      // plain_options::rewrite; status 200
    std::function<net::task<void>(const std::string&)> before_end{};  // plain_options::before_end; status 2xx
};

// What is sent, and what is expected back.
struct forwarding {
    std::string head;         // from upstream_head(); framing, credential and the blank line are added here
    std::string_view body{};  // held by the caller until `release_body`
    bool has_body = false;
    bool wants_stream = false;         // the request asked for server-sent events
    bool metered = false;              // answers carry usage: /v1/messages
    std::uint64_t hold_bytes_max = 0;  // plain_options::hold_bytes_max
    answer_hooks hooks{};
    std::function<void()> release_body{};  // no other attempt will follow: the body may go
    // Never a pooled connection: one that closes without a byte could have taken the request, and it would be repeated.
    bool fresh_connection = false;
    bool unavailable_is_failure = false;  // a status of 500 or more is not relayed: the caller has better
    milliseconds connect_at_most{0};      // 0: the upstream's own settings
    milliseconds head_at_most{0};
    attempt_observer* observer = nullptr;
};

// Runs attempts until one answers or none may follow. Returns the failure when nothing was written to the client: the
// caller answers it. Empty: the client has its answer, or has as much as there will be.
struct forward_outcome {
    std::optional<base::error> failure;
    std::string error_json;  // an error the upstream reported inside a stream before any content
};
net::task<forward_outcome> forward(exchange& x, service& s, forwarding& what);

// Answers what `forward` left unanswered.
net::task<void> answer_failure(exchange& x, forward_outcome& outcome);

// A request whose body is not held: it streams through to one attempt upstream. The whole endpoint.
net::task<void> forward_upload(exchange& x, service& s, std::string head, http::body_framing framing,
                               std::uint64_t content_length, std::uint64_t body_bytes_max, answer_hooks hooks);

// Reads the whole body into memory under the byte budget. Errors: body_too_large, in_flight_bytes_exhausted and those
// of http::connection::read_body.
net::task<base::result<std::string>> read_whole_body(exchange& x, http::body_framing framing,
                                                     std::uint64_t content_length, std::uint64_t bytes_max);

}  // namespace gateway
