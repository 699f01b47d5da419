#include <algorithm>

#include "anthropic/error_body.hpp"
#include "gateway/relay.hpp"

namespace gateway {
namespace {

using base::errc;
using upstream::call;

constexpr std::size_t event_hold_bytes_max = 64 * 1024;  // the beginning of one event; a longer one goes out in pieces

// One past the last blank line in `bytes`, or 0: everything before it is complete events.
std::size_t last_event_end(std::string_view bytes) {
    for (std::size_t at = bytes.rfind('\n'); at != std::string_view::npos && at > 0; at = bytes.rfind('\n', at - 1)) {
        if (bytes[at - 1] == '\n') return at + 1;
        if (at >= 2 && bytes[at - 1] == '\r' && (bytes[at - 2] == '\n' || bytes[at - 2] == '\r')) return at + 1;
    }
    return 0;
}

// The relay's state between two reads; the decisions are here, the waiting and writing in relay_stream.
struct stream_state {
    anthropic::sse_scanner scanner;
    anthropic::stream_meter meter;
    std::string held;            // not sent yet: the preamble, or the beginning of an event
    bool flowing = false;        // the client has the head
    bool client_mid_event = false;  // an event too long to hold was sent in part
    std::int64_t began_ms = 0;
    std::int64_t heard_ms = 0;   // last byte from upstream
    std::int64_t sent_ms = 0;    // last byte to the client

    bool preamble_over(const options& limits) const {
        return meter.content_seen() || meter.result().events >= limits.preamble_events_max ||
               held.size() >= limits.preamble_bytes_max;
    }
    bool finished() const {
        return meter.result().state == anthropic::answer_state::complete || meter.error_seen();
    }

    // When the next thing is due if nothing comes from upstream.
    std::int64_t next_due(const options& limits, const upstream::options& waits) const {
        std::int64_t due = heard_ms + waits.idle_timeout.count();
        if (!meter.content_seen()) due = std::min(due, began_ms + waits.first_content_timeout.count());
        return std::min(due, flowing ? sent_ms + limits.ping_interval.count() : began_ms + limits.preamble_hold.count());
    }
};

}  // namespace

net::task<relay_outcome> relay_stream(exchange& x, service& s, call& call, const http::response_head& head,
                                      const std::function<void()>& release_request) {
    net::reactor& reactor = x.client.reactor();
    const upstream::options& waits = s.upstream.settings();
    relay_outcome outcome;
    downstream out(x, head, true);
    out.frame({});
    stream_state state;
    state.began_ms = state.heard_ms = state.sent_ms = reactor.now_ms();
    x.record.stream = true;
    bool complete = false;
    int reads_in_a_row = 0;

    // Sends what may go: everything between events, else up to the end of the last complete one.
    const auto flush = [&](std::string_view payload, bool last) -> net::task<base::result<void>> {
        if (!state.flowing) {
            state.flowing = true;
            if (release_request) release_request();
        }
        outcome.reached_client = true;
        state.sent_ms = reactor.now_ms();
        co_return co_await out.write(payload, last);
    };
    const auto note_first_content = [&] {
        if (x.record.first_content_us == 0 && state.meter.content_seen()) x.record.first_content_us = x.elapsed_us();
    };

    while (!complete && !outcome.failure) {
        const auto piece = call.read();
        switch (piece.what) {
            case call::got::data: {
                state.heard_ms = reactor.now_ms();
                state.scanner.feed(piece.payload, state.meter);
                note_first_content();
                complete = piece.last && state.finished();
                if (piece.last && !complete) {
                    outcome.failure = {errc::upstream_cut, "The upstream ended the stream before message_stop."};
                }
                if (state.meter.error_seen() && !state.flowing && !state.meter.content_seen()) {
                    outcome.error_json = state.meter.error_data();
                    outcome.failure = {errc::upstream_error_event, "The upstream reported an error before any content."};
                    break;
                }
                const bool whole = state.scanner.between_events();
                std::string_view ready = piece.payload;
                if (!state.held.empty() || !whole) {
                    state.held.append(piece.payload);
                    const bool too_long = state.held.size() > event_hold_bytes_max;
                    ready = whole || too_long ? std::string_view(state.held)
                                              : std::string_view(state.held).substr(0, last_event_end(state.held));
                }
                const bool holding = !state.flowing && !state.preamble_over(s.options) && !complete;
                if (holding || ready.empty()) {
                    if (holding && state.held.empty()) state.held.assign(ready);
                    break;
                }
                state.client_mid_event = !whole && ready.size() >= state.held.size();
                const std::size_t sent_of_held = state.held.empty() ? 0 : ready.size();
                const auto sent = co_await flush(ready, complete);
                state.held.erase(0, sent_of_held);
                if (state.held.empty()) state.held = std::string();
                if (!sent) {
                    outcome.failure = sent.error();
                } else if (++reads_in_a_row == 16) {  // a fast upstream must not starve the others
                    reads_in_a_row = 0;
                    co_await reactor.yield();
                }
                break;
            }
            case call::got::end:
                complete = state.finished();
                if (!complete) {
                    outcome.failure = {errc::upstream_cut, "The upstream ended the stream before message_stop."};
                } else if (const auto sent = co_await flush(state.held, true); !sent) {
                    outcome.failure = sent.error();
                }
                break;
            case call::got::failed:
                if (!state.finished() || !state.flowing) {
                    outcome.failure = call.failure();
                } else if (const auto sent = co_await flush(state.held, true); !sent) {  // all was there but the framing's end
                    outcome.failure = sent.error();
                }
                complete = true;
                break;
            case call::got::blocked: {
                reads_in_a_row = 0;
                x.client.timer().set(std::min(state.next_due(s.options, waits), call.total_deadline_ms()));
                const net::wake why = co_await call.readable();
                if (why == net::wake::ready) break;
                const std::int64_t now = reactor.now_ms();
                if (why != net::wake::timeout || now >= call.total_deadline_ms() ||
                    now >= state.heard_ms + waits.idle_timeout.count()) {
                    outcome.failure = call.explain(why, errc::upstream_idle_timeout);
                } else if (!state.meter.content_seen() && now >= state.began_ms + waits.first_content_timeout.count()) {
                    outcome.failure = call.explain(why, errc::upstream_first_content_timeout);
                } else if (!state.flowing && now >= state.began_ms + s.options.preamble_hold.count()) {
                    // Long enough: the client gets what there is, and pings from now on.
                    const std::size_t ready = state.scanner.between_events() ? state.held.size() : last_event_end(state.held);
                    const auto sent = co_await flush(std::string_view(state.held).substr(0, ready), false);
                    state.held.erase(0, ready);
                    if (!sent) outcome.failure = sent.error();
                } else if (state.flowing && now >= state.sent_ms + s.options.ping_interval.count()) {
                    if (state.client_mid_event) {
                        state.sent_ms = now;
                    } else {
                        const auto sent = co_await flush(anthropic::ping_event(), false);
                        ++x.record.pings;
                        if (!sent) outcome.failure = sent.error();
                    }
                }
                break;
            }
        }
    }

    x.record.answer = state.meter.result();
    if (!outcome.failure) {
        if (state.meter.error_seen()) x.record.reason = base::facts_of(errc::upstream_error_event).reason;
        co_return outcome;
    }
    const errc kind = outcome.failure->kind;
    const bool listens = kind != errc::client_left && kind != errc::slow_reader;
    if (outcome.reached_client && listens) {
        // The stream broke after the client had some of it: say so in the protocol, then end properly. An event that was
        // still incomplete is dropped, it was never sent.
        if (kind == errc::shutting_down) x.client.timer().revive();
        x.client.close_after_this();
        std::string ending = state.client_mid_event ? "\n\n" : "";
        ending += anthropic::error_event(*outcome.failure, x.record.request_id);
        const auto ended = co_await out.write(ending, true);
        if (!ended) x.client.close_after_this();
    }
    co_return outcome;
}

}  // namespace gateway
