// Carries one answer from an upstream call to the client and meters it. Two kinds: event streams of /v1/messages, and
// everything else.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "anthropic/usage_meter.hpp"
#include "gateway/downstream.hpp"
#include "upstream/client.hpp"

namespace gateway {

struct relay_outcome {
    std::optional<base::error> failure;  // empty: the answer is complete
    bool reached_client = false;         // bytes were written: too late for another status or another attempt
    std::string error_json{};            // upstream_error_event before content: the event's data
    bool sent = false;                   // the request went out whole: it may be billed
    int upstream_status = 0;             // 0: no head came
};

// A stream of server-sent events. Complete events go out per upstream read, bytes unchanged.
//
// The preamble (message_start and what else comes before content) is held until the first real content, at most
// preamble_events_max, preamble_bytes_max or preamble_hold: until then a failure is still a clean one. The beginning of
// an event is held until its end has come (at most event_hold_bytes_max), so that our own `ping` after silence and the
// `error` event that ends a broken stream always stand between events.
// `release_request` is called once when no other attempt can follow.
net::task<relay_outcome> relay_stream(exchange& x, service& s, upstream::call& call, const http::response_head& head,
                                      const std::function<void()>& release_request);

struct plain_options {
    // Up to so many bytes are held until the answer is whole, so that a cut becomes a clean error. 0: nothing is held.
    std::uint64_t hold_bytes_max = 0;
    anthropic::json_meter* meter = nullptr;
    // Changes the whole body of a held answer; not called for longer ones.
    std::function<void(std::string& body)> rewrite{};
    // The same after it, where something has to be waited for before the client may have the answer.
    std::function<net::task<void>(const std::string& body)> before_end{};
};

// The client has left (patience_after_leaving): reads the rest of the answer and gives it to `take`, until that says
// true, the answer ends or the time is over. relay_rest.cpp
net::task<void> read_on(exchange& x, service& s, upstream::call& call,
                        const std::function<bool(std::string_view)>& take);
// The same for an answer of which nothing has been relayed; what was counted.
net::task<anthropic::metered> count_unseen(exchange& x, service& s, upstream::call& call, bool event_stream);

// Any other answer: JSON, files, results, errors.
net::task<relay_outcome> relay_plain(exchange& x, service& s, upstream::call& call, const http::response_head& head,
                                     const plain_options& how);

}  // namespace gateway
