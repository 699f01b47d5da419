#include "gateway/exchange.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>

#include "anthropic/error_body.hpp"

namespace gateway {

std::string new_request_id(std::chrono::system_clock::time_point at) { return new_id("req_cp_", at); }

std::string new_id(std::string_view prefix, std::chrono::system_clock::time_point at) {
    // The time in the order of ASCII: the ids of an hour are neighbours in the database's index, which is then written
    // at one place instead of everywhere.
    constexpr std::string_view ordered = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    constexpr int time_characters = 9;  // milliseconds, until the year 3084
    // Not a secret, only unique: a seeded generator per thread, read by the byte.
    constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz0123456789";
    constexpr int random_characters = 15;
    thread_local std::array<std::uint64_t, 2> state = [] {
        std::array<std::uint64_t, 2> seed{};
        if (getrandom(seed.data(), sizeof seed, 0) != sizeof seed)
            seed = {static_cast<std::uint64_t>(net::monotonic_us()), 1};
        return seed;
    }();
    std::string id(prefix.size() + time_characters + random_characters, '\0');
    char* out = std::ranges::copy(prefix, id.data()).out;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
    for (int i = time_characters - 1; i >= 0; --i) *out++ = ordered[(static_cast<std::uint64_t>(ms) >> (5 * i)) & 31];
    for (int left = random_characters; left > 0;) {
        std::uint64_t a = state[0];  // xorshift128+
        const std::uint64_t b = state[1];
        state[0] = b;
        a ^= a << 23;
        state[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
        std::uint64_t bits = state[1] + b;
        for (int i = 0; i < 8 && left > 0; ++i, --left, bits >>= 6) *out++ = alphabet[bits & 63];
    }
    return id;
}

std::string upstream_head(const http::request_head& head, upstream::client& upstream) {
    std::string_view target = head.target;
    while (target.starts_with("/v1/v1/")) target.remove_prefix(3);  // a base URL that already ended in /v1
    return upstream_head(head, upstream, target);
}

std::string upstream_head(const http::request_head& head, upstream::client& upstream, std::string_view target) {
    std::string made;
    made.reserve(head.size + target.size() + 192);
    made.append(head.method)
        .append(" ")
        .append(upstream.where().path_prefix)
        .append(target)
        .append(" HTTP/1.1\r\nhost: ");
    made.append(upstream.where().host_header).append("\r\n");
    for (const auto& entry : head.headers) {
        switch (entry.id) {
            case http::field::host:
            case http::field::content_length:
            case http::field::expect:
            case http::field::accept_encoding:
            case http::field::x_api_key:
            case http::field::authorization:
                continue;
            default:
                break;
        }
        if (head.hop_by_hop(entry)) continue;
        made.append(entry.line).append("\r\n");
    }
    made.append("accept-encoding: identity\r\n");
    return made;
}

net::task<void> answer(exchange& x, int status, std::string_view extra_headers, std::string_view content_type,
                       std::string_view body) {
    const bool keep = x.client.will_keep_alive();
    if (!keep) x.client.close_after_this();
    std::string text = fmt::format(
        "HTTP/1.1 {} {}\r\n{}{}cache-control: no-store\r\nrequest-id: "
        "{}\r\nx-claude-proxy-request-id: {}\r\n{}{}\r\n",
        status, http::reason_of(status),
        content_type.empty() ? std::string() : fmt::format("content-type: {}\r\n", content_type),
        status == 204 ? std::string() : fmt::format("content-length: {}\r\n", body.size()), x.record.request_id,
        x.record.request_id, extra_headers, keep ? "" : "connection: close\r\n");
    const std::size_t head_bytes = text.size();
    if (!x.head_method) text.append(body);
    x.answered = true;
    x.record.status = status;
    x.record.first_byte_us = x.elapsed_us();
    const auto wrote = co_await x.client.write(text);
    x.record.bytes_out = wrote ? text.size() - head_bytes : 0;
}

std::int64_t began_at_ms(const exchange& x) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(x.record.started_at.time_since_epoch()).count();
}

std::int64_t now_at_ms(const exchange& x) { return began_at_ms(x) + (net::monotonic_us() - x.began_us) / 1000; }

milliseconds patience_after_leaving(const exchange& x, const service& s) {
    return x.recording ? s.upstream.settings().total_timeout : s.options.leave_drain;
}

net::task<void> refuse(exchange& x, base::error why) {
    const auto facts = base::facts_of(why.kind);
    x.record.reason = facts.reason;
    x.refused_because = why.detail;
    if (why.kind == base::errc::client_left || why.kind == base::errc::slow_reader) {
        x.client.close_after_this();
        if (!x.answered) x.record.status = facts.status;
        co_return;
    }
    if (x.answered) co_return;
    std::string extra = std::move(x.limit_headers);
    if (!facts.client_may_retry) extra += "x-should-retry: false\r\n";
    if (why.retry_after.count() > 0) extra += fmt::format("retry-after: {}\r\n", why.retry_after.count());
    const std::string body = anthropic::error_body(why, x.record.request_id);
    if (why.kind == base::errc::shutting_down) x.client.timer().revive();
    co_await answer(x, facts.status, extra, "application/json", body);
}

}  // namespace gateway
