#include <fmt/format.h>

#include <array>
#include <memory>

#include "gateway/forward.hpp"
#include "http/chunked.hpp"

namespace gateway {

using base::errc;
using base::fail;

namespace {

constexpr std::uint64_t created_bytes_max = 1 << 20;    // what was made, as JSON: a few hundred bytes
constexpr std::size_t upload_piece_bytes = 128 * 1024;  // memory of an upload under way

iovec part_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

// Moves the body from the client to the call. False: the upstream has answered before the end.
net::task<base::result<bool>> pump(exchange& x, upstream::call& call, bool chunked, std::uint64_t body_bytes_max) {
    const auto piece = std::make_unique_for_overwrite<char[]>(upload_piece_bytes);
    std::array<char, 18> size_line;
    for (;;) {
        const auto got = co_await x.client.read_body({piece.get(), upload_piece_bytes});
        if (!got) co_return std::unexpected(got.error());
        if (x.client.body_bytes() > body_bytes_max) {
            x.client.close_after_this();
            co_return fail(errc::body_too_large,
                           fmt::format("The body exceeds the {} bytes allowed on this route.", body_bytes_max));
        }
        const std::string_view payload(piece.get(), *got);
        std::array<iovec, 3> parts{};
        std::size_t used = 0;
        if (chunked) {
            const std::size_t size = payload.empty() ? 0 : http::chunk_size_line(payload.size(), size_line);
            parts[used++] = part_of({size_line.data(), size});
            parts[used++] = part_of(payload);
            parts[used++] = part_of(payload.empty() ? "0\r\n\r\n" : "\r\n");
        } else {
            parts[used++] = part_of(payload);
        }
        const auto sent = co_await call.send_more(std::span(parts).first(used));
        if (!sent || !*sent) co_return sent;
        if (payload.empty() || (!chunked && x.client.body_ended())) co_return true;
    }
}

}  // namespace

net::task<void> forward_upload(exchange& x, service& s, std::string head, http::body_framing framing,
                               std::uint64_t content_length, std::uint64_t body_bytes_max, answer_hooks hooks) {
    const upstream::options& waits = s.upstream.settings();
    if (framing == http::body_framing::length && content_length > body_bytes_max) {
        x.client.close_after_this();
        co_await refuse(x, {errc::body_too_large,
                            fmt::format("The body exceeds the {} bytes allowed on this route.", body_bytes_max)});
        co_return;
    }
    x.client.keep_input();
    const bool chunked = framing == http::body_framing::chunked;
    if (chunked) {
        head += "transfer-encoding: chunked\r\n";
    } else {
        fmt::format_to(std::back_inserter(head), "content-length: {}\r\n", content_length);
    }
    // Part of the body is gone after the first piece, so there is one attempt, on a connection that is surely fresh.
    ++x.record.attempts;
    upstream::call call(s.upstream, x.client.timer(), &x.client.stream());
    auto ok = co_await call.connect(upstream::reuse::never, waits.connect_timeout);
    if (ok) {
        head.append(s.upstream.credential_line()).append("\r\n");
        ok = co_await call.send(head, {});
    }
    if (!ok) {
        co_await refuse(x, std::move(ok.error()));
        co_return;
    }
    x.record.overhead_us = static_cast<std::uint64_t>(net::monotonic_us() - x.ready_us);
    const auto pumped = co_await pump(x, call, chunked, body_bytes_max);
    x.record.bytes_in = x.client.body_bytes();
    if (!pumped) {
        co_await refuse(x, pumped.error());
        co_return;
    }
    if (!*pumped) x.client.close_after_this();  // the rest of the body is not wanted

    const auto answered = co_await call.read_head(x.head_method, waits.head_timeout);
    if (!answered) {
        co_await refuse(x, answered.error());
        co_return;
    }
    x.record.upstream_head_us = x.elapsed_us();
    plain_options how;
    const int status = (*answered)->status;
    if (hooks.rewrite && status == 200) how.rewrite = std::move(hooks.rewrite);
    if (hooks.before_end && status >= 200 && status < 300) how.before_end = std::move(hooks.before_end);
    if (how.rewrite || how.before_end) how.hold_bytes_max = created_bytes_max;
    auto outcome = co_await relay_plain(x, s, call, **answered, how);
    if (outcome.failure) co_await refuse(x, std::move(*outcome.failure));
}

}  // namespace gateway
