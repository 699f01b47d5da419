#include "gateway/replay.hpp"

#include <fmt/format.h>

#include "anthropic/error_body.hpp"
#include "net/signal.hpp"

namespace gateway {
namespace {

using base::errc;

constexpr std::size_t piece_bytes_max = 64 * 1024;

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

net::task<net::wake> next_change(exchange& x, recorded_answer& answer, const recorded_answer::progress& seen,
                                 net::signal& changed) {
    answer.when_changed(seen, changed.notifier());
    x.client.timer().set(net::timer::never);  // whoever leads has its own limits
    co_return co_await changed.wait(x.client.timer(), &x.client.stream());
}

}  // namespace

net::task<bool> replay(exchange& x, recorded_answer& answer) {
    net::signal changed(x.client.reactor());
    recorded_answer::progress state = answer.now();
    while (!state.visible) {
        if (state.failed) co_return false;
        const net::wake why = co_await next_change(x, answer, state, changed);
        if (why != net::wake::ready) {
            co_await refuse(x, {why == net::wake::hangup ? errc::client_left : errc::shutting_down});
            co_return true;
        }
        state = answer.now();
    }
    const auto lines = answer.lines();
    const bool chunked = !state.finished && !x.http_1_0;
    std::string out = head_of(x, lines, state, chunked);
    x.answered = true;
    x.record.status = lines.status;
    x.record.stream = lines.event_stream;
    x.record.first_byte_us = x.elapsed_us();
    std::size_t sent = 0;
    for (;;) {
        const std::string piece = answer.part(sent, piece_bytes_max);
        sent += piece.size();
        x.record.bytes_out += piece.size();
        if (!piece.empty()) out += chunked ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : piece;
        const bool whole = state.finished && sent == state.bytes;
        const bool broken = state.failed && sent >= state.bytes;
        if (whole && chunked) out += "0\r\n\r\n";
        if (broken) {
            const base::error why{errc::upstream_cut, "The request whose answer is repeated here was cut short."};
            x.record.reason = base::facts_of(why.kind).reason;
            const std::string event = anthropic::error_event(why, x.record.request_id);
            if (chunked && lines.event_stream) {
                out += fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", event.size(), event);
            } else {
                x.client.close_after_this();
                x.client.stream().reset();
            }
        }
        if (!out.empty()) {
            const auto wrote = co_await x.client.write(out);
            out.clear();
            if (!wrote) {
                co_await refuse(x, wrote.error());
                co_return true;
            }
        }
        if (whole || broken) co_return true;
        state = answer.now();
        if (sent < state.bytes || state.finished || state.failed) continue;
        const net::wake why = co_await next_change(x, answer, state, changed);
        if (why != net::wake::ready) {
            co_await refuse(x, {why == net::wake::hangup ? errc::client_left : errc::shutting_down});
            x.client.close_after_this();
            co_return true;
        }
        state = answer.now();
    }
}

}  // namespace gateway
