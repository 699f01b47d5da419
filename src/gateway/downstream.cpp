#include "gateway/downstream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "http/chunked.hpp"

namespace gateway {
namespace {
// The upstream's limits are those of the whole installation: a caller is told its own instead. What a subscription has
// left (`unified`) is no limit of ours and passes.
bool tells_limits(std::string_view name) {
    constexpr std::string_view family = "anthropic-";
    if (name.size() <= family.size() || name[family.size() - 1] != '-') return false;
    const char next = static_cast<char>(name[family.size()] | 0x20);
    if (next != 'r' && next != 'p' && next != 'f') return false;  // most names end here
    const auto begins_with = [name](std::string_view prefix) {
        return name.size() > prefix.size() && http::equals_lower(name.substr(0, prefix.size()), prefix);
    };
    return (begins_with("anthropic-ratelimit-") && !begins_with("anthropic-ratelimit-unified-")) ||
           begins_with("anthropic-priority-") || begins_with("anthropic-fast-");
}

// The memory of the last head that was written whole, which nearly always is the next one's.
thread_local std::string spare_head;
constexpr std::size_t spare_head_bytes_max = 8192;

iovec part_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }
}  // namespace

void append_passed_headers(exchange& x, const http::response_head& head, std::string& made) {
    for (const auto& entry : head.headers) {
        switch (entry.id) {
            case http::field::content_length:
                if (x.head_method) break;  // the length that GET would have
                continue;
            case http::field::alt_svc:
            case http::field::cache_control:
            case http::field::set_cookie:
            case http::field::strict_transport_security:
            case http::field::via:
                continue;
            case http::field::request_id:
                x.record.upstream_request_id = entry.value;
                break;
            default:
                break;
        }
        if (tells_limits(entry.name)) continue;
        if (head.hop_by_hop(entry)) continue;
        made.append(entry.line).append("\r\n");
    }
}

downstream::downstream(exchange& x, const http::response_head& head, bool event_stream) : x_(x), status_(head.status) {
    head_.swap(spare_head);
    head_.reserve(head.size + x.limit_headers.size() + 192);
    const fmt::format_int status(head.status);
    head_.append("HTTP/1.1 ").append(status.data(), status.size()).append(" ").append(head.reason).append("\r\n");
    const std::size_t status_line = head_.size();
    append_passed_headers(x, head, head_);
    if (x.recording) x.recording->head(head.status, std::string(head.reason), head_.substr(status_line), event_stream);
    head_.append(x.limit_headers);
    head_.append("cache-control: no-store\r\nx-claude-proxy-request-id: ").append(x.record.request_id).append("\r\n");
    if (event_stream) head_.append("x-accel-buffering: no\r\n");
}

// A silent stream holds no memory for it.
void downstream::forget_head() {
    if (head_.capacity() > spare_head.capacity() && head_.capacity() <= spare_head_bytes_max) {
        head_.clear();
        head_.swap(spare_head);
    }
    head_ = std::string();
}

void downstream::frame(std::optional<std::uint64_t> content_length) {
    const bool no_body = x_.head_method || status_ == 204 || status_ == 304;
    if (content_length && !no_body) {
        const fmt::format_int length(*content_length);
        head_.append("content-length: ").append(length.data(), length.size()).append("\r\n");
    } else if (!no_body) {
        chunked_ = !x_.http_1_0;
        if (chunked_) {
            head_.append("transfer-encoding: chunked\r\n");
        } else {
            x_.client.close_after_this();
        }
    }
    if (!x_.client.will_keep_alive()) {
        x_.client.close_after_this();
        head_.append("connection: close\r\n");
    }
    head_.append("\r\n");
}

// A payload that lies in the scratch, as it came from upstream, has room around it: with its chunk framing put there
// the kernel copies one piece instead of three.
bool downstream::frame_in_place(std::string_view payload, bool last) {
    const std::span<char> scratch = x_.client.reactor().scratch();
    const std::string_view tail = last ? "\r\n0\r\n\r\n" : "\r\n";
    if (payload.data() < scratch.data() + size_line_.size() ||
        payload.data() + payload.size() + tail.size() > scratch.data() + scratch.size()) {
        return false;
    }
    const std::size_t size_line = http::chunk_size_line(payload.size(), size_line_);
    char* const begin = scratch.data() + (payload.data() - scratch.data()) - size_line;
    std::ranges::copy(std::string_view(size_line_.data(), size_line), begin);
    std::ranges::copy(tail, begin + size_line + payload.size());
    parts_[parts_used_++] = {begin, size_line + payload.size() + tail.size()};
    return true;
}

bool downstream::write_now(std::string_view payload, bool last) {
    parts_used_ = 0;
    if (!begun_) {
        parts_[parts_used_++] = part_of(head_);
        begun_ = true;
        x_.answered = true;
        x_.record.status = status_;
        x_.record.first_byte_us = x_.elapsed_us();
    }
    if (x_.head_method) payload = {};
    x_.record.bytes_out += payload.size();
    if (payload.empty()) {
        if (last && chunked_) parts_[parts_used_++] = part_of("0\r\n\r\n");
    } else if (!chunked_) {
        parts_[parts_used_++] = part_of(payload);
    } else if (!frame_in_place(payload, last)) {
        parts_[parts_used_++] = part_of({size_line_.data(), http::chunk_size_line(payload.size(), size_line_)});
        parts_[parts_used_++] = part_of(payload);
        parts_[parts_used_++] = part_of(last ? "\r\n0\r\n\r\n" : "\r\n");
    }
    const bool done = x_.client.write_now(std::span(parts_).first(parts_used_));
    if (done) forget_head();
    return done;
}

net::task<base::result<void>> downstream::finish_write() {
    auto written = co_await x_.client.write(std::span(parts_).first(parts_used_));
    forget_head();
    co_return written;
}

net::task<base::result<void>> downstream::write(std::string_view payload, bool last) {
    if (write_now(payload, last)) co_return base::result<void>();
    co_return co_await finish_write();
}

}  // namespace gateway
