#include "gateway/replay.hpp"

#include <fmt/format.h>

#include "anthropic/error_body.hpp"
#include "anthropic/sse_scanner.hpp"
#include "net/signal.hpp"

namespace gateway {
namespace {

using base::errc;

constexpr std::size_t piece_bytes_max = 64 * 1024;  // also the longest event that waits for its end

std::string head_of(exchange& x, const recorded_answer::first_lines& lines, const recorded_answer::progress& state,
                    bool chunked) {
    std::string head = fmt::format(
        "HTTP/1.1 {} {}\r\n{}cache-control: no-store\r\nx-claude-proxy-request-id: {}\r\n"
        "x-claude-proxy-replay-of: {}\r\n",
        lines.status, lines.reason, lines.headers, x.record.request_id, lines.request_id);
    if (state.finished) {
        fmt::format_to(std::back_inserter(head), "content-length: {}\r\n", state.bytes);
    } else if (chunked) {
        head += "transfer-encoding: chunked\r\n";
    } else {
        x.client.close_after_this();
    }
    if (lines.event_stream) head += "x-accel-buffering: no\r\n";
    if (!x.client.will_keep_alive()) {
        x.client.close_after_this();
        head += "connection: close\r\n";
    }
    return head + "\r\n";
}

// The body as this client gets it. Of a stream only whole events are sent, so that our own always stand between them.
class follower {
public:
    follower(recorded_answer& answer, bool event_stream, bool chunked)
        : answer_(answer), event_stream_(event_stream), chunked_(chunked) {}

    // The next payload; empty: wait, or it was all (is_whole) or all there will be (is_broken).
    std::string take(const recorded_answer::progress& state) {
        std::string piece = answer_.part(sent_, piece_bytes_max);
        if (event_stream_ && !state.finished) {
            const std::size_t whole = anthropic::last_event_end(piece);
            const bool too_long = whole == 0 && (mid_event_ || piece.size() == piece_bytes_max);
            if (!too_long) piece.resize(whole);
            if (!piece.empty()) mid_event_ = too_long;
        }
        sent_ += piece.size();
        is_whole = state.finished && sent_ == state.bytes;
        is_broken = state.failed && piece.empty();
        return piece;
    }
    std::string framed(std::string_view payload) const {
        if (payload.empty() || !chunked_) return std::string(payload);
        return fmt::format("{:x}\r\n{}\r\n", payload.size(), payload);
    }
    std::string_view end() const { return chunked_ ? "0\r\n\r\n" : ""; }
    bool may_ping() const { return event_stream_ && !mid_event_; }
    bool tells_errors() const { return event_stream_; }
    std::string error(const base::error& why, std::string_view request_id) const {
        return framed((mid_event_ ? "\n\n" : "") + anthropic::error_event(why, request_id)).append(end());
    }

    bool is_whole = false;
    bool is_broken = false;

private:
    recorded_answer& answer_;
    const bool event_stream_;
    const bool chunked_;
    std::size_t sent_ = 0;
    bool mid_event_ = false;  // an event too long to hold was sent in part
};

net::task<net::wake> next_change(exchange& x, recorded_answer& answer, const recorded_answer::progress& seen,
                                 net::signal& changed, std::int64_t at_most_ms) {
    answer.when_changed(seen, changed.notifier());
    // Whoever leads has its own limits: there is none here but for a ping of our own.
    if (at_most_ms > 0) {
        x.client.timer().set_after(at_most_ms);
    } else {
        x.client.timer().set(net::timer::never);
    }
    co_return co_await changed.wait(x.client.timer(), &x.client.stream());
}

// The rest will not come: an event of a stream says so, else only a broken connection does. `out`: not sent yet.
net::task<void> break_off(exchange& x, const follower& body, std::string out, base::error why) {
    if (why.kind == errc::shutting_down) {
        x.client.timer().revive();
        x.client.close_after_this();
    }
    if (body.tells_errors()) {
        out += body.error(why, x.record.request_id);
        if (!co_await x.client.write(out)) x.client.close_after_this();
    } else {
        x.client.close_after_this();
        x.client.stream().reset();
    }
    co_await refuse(x, std::move(why));  // only notes the reason
}

}  // namespace

net::task<bool> replay(exchange& x, service& s, recorded_answer& answer, std::string& request_body) {
    net::signal changed(x.client.reactor());
    recorded_answer::progress state = answer.now();
    while (!state.visible) {
        if (state.failed) co_return false;
        const net::wake why = co_await next_change(x, answer, state, changed, 0);
        if (why != net::wake::ready) {
            co_await refuse(x, {why == net::wake::hangup ? errc::client_left : errc::shutting_down});
            co_return true;
        }
        state = answer.now();
    }
    request_body = std::string();  // this request will not lead any more
    x.reservation.release();
    const auto lines = answer.lines();
    const bool chunked = !state.finished && !x.http_1_0;
    std::string out = head_of(x, lines, state, chunked);
    x.answered = true;
    x.record.status = lines.status;
    x.record.stream = lines.event_stream;
    x.record.first_byte_us = x.elapsed_us();
    follower body(answer, lines.event_stream, chunked);
    for (;;) {
        const std::string piece = body.take(state);
        x.record.bytes_out += piece.size();
        out += body.framed(piece);
        if (body.is_whole) out += body.end();
        if (body.is_broken) {
            co_await break_off(x, body, std::move(out),
                               {errc::upstream_cut,
                                "The request whose answer is repeated here was cut short, or has become too long."});
            co_return true;
        }
        if (!out.empty()) {
            const auto wrote = co_await x.client.write(out);
            out.clear();
            if (!wrote) {
                co_await refuse(x, wrote.error());
                co_return true;
            }
        }
        if (body.is_whole) co_return true;
        if (piece.empty()) {
            const std::int64_t ping_after = body.may_ping() ? s.options.ping_interval.count() : 0;
            const net::wake why = co_await next_change(x, answer, state, changed, ping_after);
            if (why == net::wake::hangup) {
                co_await refuse(x, {errc::client_left});
                co_return true;
            }
            if (why == net::wake::cancelled) {
                co_await break_off(x, body, {}, {errc::shutting_down, "The gateway is shutting down."});
                co_return true;
            }
            if (why == net::wake::timeout) {
                ++x.record.pings;
                out = body.framed(anthropic::ping_event());
            }
        }
        state = answer.now();
    }
}

std::optional<std::string> idempotency_key(const http::request_head& head) {
    for (const auto& entry : head.headers) {
        if (entry.id == http::field::other && http::equals_lower(entry.name, "idempotency-key"))
            return std::string(entry.value);
    }
    return std::nullopt;
}

net::task<base::result<bool>> lead_or_replay(exchange& x, service& s, std::string_view what, const std::string& key,
                                             std::string& body, answer_lead& lead) {
    if (key.empty() || key.size() > answer_book::key_bytes_max) {
        co_return base::fail(base::errc::invalid_argument,
                             fmt::format("Idempotency-Key must have 1 to {} characters.", answer_book::key_bytes_max));
    }
    const std::string whole_key =
        fmt::format("{}\n{}\n{}\n{}\n{}", what, x.caller->team_id, x.caller->key_id, x.caller->subject, key);
    const body_digest digest = digest_of(body);
    for (;;) {
        const auto claim = s.answers.take(whole_key, digest, x.record.request_id, began_at_ms(x));
        switch (claim.as) {
            case answer_book::part::conflicts:
                co_return base::fail(
                    base::errc::idempotency_conflict,
                    "This Idempotency-Key was used with another body; use a new key for a new request.");
            case answer_book::part::in_doubt:
                co_return base::fail(base::errc::idempotency_conflict,
                                     "The first request under this Idempotency-Key ended without an answer that tells "
                                     "whether it was carried out, so what it made may exist: look for it, and use a "
                                     "new key to make another one.");
            case answer_book::part::leads:
                lead = answer_lead(s.answers, whole_key, claim.answer);
                x.recording = claim.answer;
                co_return true;
            case answer_book::part::joins:
                if (co_await replay(x, s, *claim.answer, body)) co_return false;
                break;
        }
    }
}

}  // namespace gateway
