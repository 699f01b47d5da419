#include <algorithm>

#include "anthropic/error_body.hpp"
#include "gateway/relay.hpp"

namespace gateway {
namespace {

using anthropic::last_event_end;
using base::errc;
using upstream::call;

constexpr std::size_t event_hold_bytes_max = 64 * 1024;  // the beginning of one event; a longer one goes out in pieces
constexpr int reads_in_a_row_max = 16;                   // then other connections get their turn

// The relay's state between two reads. The decisions are here, as plain functions that write what the client takes at
// once; `relay_stream` below is the loop that waits, for the upstream and for a client that takes its time.
class stream_relay {
public:
    stream_relay(exchange& x, service& s, call& upstream, const http::response_head& head,
                 const std::function<void()>& release)
        : x_(x),
          limits_(s.options),
          waits_(s.upstream.settings()),
          call_(upstream),
          out_(x, head, true),
          release_request_(release) {
        out_.frame({});
        began_ms_ = heard_ms_ = sent_ms_ = now();
    }

    relay_outcome outcome;
    bool complete = false;

    const anthropic::metered& metered() const { return meter_.result(); }
    bool finished() const { return meter_.result().state == anthropic::answer_state::complete || meter_.error_seen(); }

    // When the next thing is due if nothing comes from upstream.
    std::int64_t next_due() const {
        std::int64_t due = std::min(heard_ms_ + waits_.idle_timeout.count(), call_.total_deadline_ms());
        if (!meter_.content_seen()) due = std::min(due, began_ms_ + waits_.first_content_timeout.count());
        return std::min(
            due, flowing_ ? sent_ms_ + limits_.ping_interval.count() : began_ms_ + limits_.preamble_hold.count());
    }

    // The client has left: what still comes is only counted.
    void count(std::string_view payload) { scanner_.feed(payload, meter_); }

    void on_data(std::string_view payload, bool last) {
        heard_ms_ = now();
        count(payload);
        if (x_.recording) x_.recording->append(payload);
        if (x_.watch) x_.watch(payload);
        if (x_.record.first_content_us == 0 && meter_.content_seen()) x_.record.first_content_us = x_.elapsed_us();
        if (meter_.error_seen() && !flowing_ && !meter_.content_seen()) {
            outcome.error_json = meter_.error_data();
            outcome.failure = {errc::upstream_error_event, "The upstream reported an error before any content."};
            return;
        }
        complete = last && finished();
        if (last && !complete) outcome.failure = ended_early();

        // What may go: everything if it ends between two events, else up to the end of the last complete one.
        const bool whole = scanner_.between_events();
        std::string_view ready = payload;
        if (!held_.empty() || !whole) {
            held_.append(payload);
            const bool all = whole || complete || held_.size() > event_hold_bytes_max;
            ready = std::string_view(held_).substr(0, all ? held_.size() : last_event_end(held_));
        }
        if (!flowing_ && !complete && !preamble_over(std::max(held_.size(), ready.size()))) {
            if (held_.empty()) held_.assign(ready);
            return;
        }
        if (!ready.empty()) send(ready, complete, !whole && ready.size() == held_.size());
    }

    // The upstream's body has ended (cleanly or not) without more data.
    void on_end(std::optional<base::error> broken) {
        if (!finished()) {
            outcome.failure = broken ? std::move(broken) : ended_early();
            return;
        }
        // All was there; if only the end of the framing is missing, the client need not know.
        complete = true;
        send(held_, true, false);
    }

    // A wait ended with something else than bytes.
    void on_wake(net::wake why) {
        const std::int64_t at = now();
        if (why != net::wake::timeout || at >= call_.total_deadline_ms() ||
            at >= heard_ms_ + waits_.idle_timeout.count()) {
            outcome.failure = call_.explain(why, errc::upstream_idle_timeout);
        } else if (!meter_.content_seen() && at >= began_ms_ + waits_.first_content_timeout.count()) {
            outcome.failure = call_.explain(why, errc::upstream_first_content_timeout);
        } else if (!flowing_ && at >= began_ms_ + limits_.preamble_hold.count()) {
            // Held long enough: the client gets what there is, and pings from now on.
            const std::size_t ready = scanner_.between_events() ? held_.size() : last_event_end(held_);
            send(std::string_view(held_).substr(0, ready), false, false);
        } else if (flowing_ && at >= sent_ms_ + limits_.ping_interval.count()) {
            sent_ms_ = at;
            if (client_mid_event_) return;  // an event too long to hold: nothing may stand inside it
            ++x_.record.pings;
            write(anthropic::ping_event(), false, 0);
        }
    }

    // Something is left of the last write: the client takes its time, and the upstream waits with us.
    bool unfinished_write() const { return unfinished_write_; }
    net::task<void> finish_write() {
        auto sent = co_await out_.finish_write();
        unfinished_write_ = false;
        forget_sent();
        if (!sent) outcome.failure = std::move(sent.error());
    }

    // The stream broke after the client had some of it: says so in the protocol, then ends properly. The beginning of
    // an event that never got its end was held back and is dropped.
    net::task<void> say_broken() {
        if (outcome.failure->kind == errc::shutting_down) {
            x_.client.timer().revive();
            x_.client.close_after_this();
        }
        std::string ending = client_mid_event_ ? "\n\n" : "";
        ending += anthropic::error_event(*outcome.failure, x_.record.request_id);
        const auto ended = co_await out_.write(ending, true);
        if (!ended) x_.client.close_after_this();
    }

private:
    std::int64_t now() const { return x_.client.reactor().now_ms(); }

    static base::error ended_early() {
        return {errc::upstream_cut, "The upstream ended the stream before message_stop."};
    }

    bool preamble_over(std::size_t waiting_bytes) const {
        return meter_.content_seen() || metered().events >= limits_.preamble_events_max ||
               waiting_bytes >= limits_.preamble_bytes_max;
    }

    // Sends `bytes`, the front of held_ or a payload while held_ is empty.
    void send(std::string_view bytes, bool last, bool leaves_event_open) {
        client_mid_event_ = leaves_event_open;
        write(bytes, last, held_.empty() ? 0 : bytes.size());
    }

    void write(std::string_view bytes, bool last, std::size_t of_held) {
        if (!flowing_) {
            flowing_ = true;
            if (x_.recording) x_.recording->show();
            if (release_request_) release_request_();
        }
        outcome.reached_client = true;
        sent_ms_ = now();
        sent_of_held_ = of_held;
        unfinished_write_ = !out_.write_now(bytes, last);
        if (!unfinished_write_) forget_sent();
    }

    void forget_sent() {
        held_.erase(0, sent_of_held_);
        if (held_.empty() && held_.capacity() > sizeof held_) held_ = std::string();  // a quiet stream keeps no buffer
    }

    exchange& x_;
    const options& limits_;
    const upstream::options& waits_;
    call& call_;
    downstream out_;
    const std::function<void()>& release_request_;
    anthropic::sse_scanner scanner_;
    anthropic::stream_meter meter_;
    std::string held_;              // not sent yet: the preamble, or the beginning of an event
    bool flowing_ = false;          // the client has the head
    std::size_t sent_of_held_ = 0;  // by the last write
    bool unfinished_write_ = false;
    bool client_mid_event_ = false;  // an event too long to hold was sent in part
    std::int64_t began_ms_ = 0;
    std::int64_t heard_ms_ = 0;  // last byte from upstream
    std::int64_t sent_ms_ = 0;   // last byte to the client
};

}  // namespace

net::task<relay_outcome> relay_stream(exchange& x, service& s, call& call, const http::response_head& head,
                                      const std::function<void()>& release_request) {
    x.record.stream = true;
    stream_relay relay(x, s, call, head, release_request);
    int reads_in_a_row = 0;
    while (!relay.complete && !relay.outcome.failure) {
        const auto piece = call.read();
        switch (piece.what) {
            case call::got::data:
                relay.on_data(piece.payload, piece.last);
                ++reads_in_a_row;
                break;
            case call::got::end:
                relay.on_end({});
                break;
            case call::got::failed:
                relay.on_end(call.failure());
                break;
            case call::got::blocked: {
                reads_in_a_row = 0;
                x.client.timer().set(relay.next_due());
                if (const auto why = co_await call.readable(); why != net::wake::ready) relay.on_wake(why);
                break;
            }
        }
        // What was written may lie in the scratch: it is finished before anybody else runs.
        if (relay.unfinished_write()) co_await relay.finish_write();
        if (reads_in_a_row >= reads_in_a_row_max) {
            reads_in_a_row = 0;
            co_await x.client.reactor().yield();
        }
    }
    if (relay.outcome.failure && relay.outcome.failure->kind == errc::client_left) {
        const std::function<bool(std::string_view)> count = [&](std::string_view payload) {
            relay.count(payload);
            return relay.finished();
        };
        if (!relay.finished()) co_await read_on(x, s, call, count);
    }
    x.record.answer = relay.metered();
    if (!relay.outcome.failure) {
        if (relay.metered().state != anthropic::answer_state::complete) {
            x.record.reason = base::facts_of(errc::upstream_error_event).reason;
        }
        co_return std::move(relay.outcome);
    }
    const errc kind = relay.outcome.failure->kind;
    const bool listens = kind != errc::client_left && kind != errc::slow_reader;
    if (relay.outcome.reached_client && listens) co_await relay.say_broken();
    co_return std::move(relay.outcome);
}

}  // namespace gateway
