#include "reply.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "text.hpp"

namespace sim {

namespace {

std::string_view reason_of(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 402:
            return "Payment Required";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 409:
            return "Conflict";
        case 413:
            return "Payload Too Large";
        case 429:
            return "Too Many Requests";
        case 500:
            return "Internal Server Error";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        default:
            return "Status";
    }
}

}  // namespace

void reply::add_header(std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(headers_), "{}: {}\r\n", name, value);
}

void reply::write_head(int status, std::string_view content_type, framing how, std::size_t length) {
    const bool no_chunks = asked_.version_1_0 && how == framing::chunked;
    if (plan.close_delimited || plan.http10 || no_chunks) how = framing::until_close;
    if (how == framing::until_close || !asked_.keep_alive) keep_alive_ = false;
    framing_ = how;
    const auto into = std::back_inserter(output_);
    if (plan.informational) output_ += "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
    fmt::format_to(into, "HTTP/1.{} {} {}\r\n", plan.http10 ? 0 : 1, status, reason_of(status));
    fmt::format_to(into, "Date: {}\r\n", http_date(wall_clock::now()));
    if (!content_type.empty()) fmt::format_to(into, "Content-Type: {}\r\n", content_type);
    if (framing_ == framing::length) fmt::format_to(into, "Content-Length: {}\r\n", length);
    if (framing_ == framing::chunked) output_ += "Transfer-Encoding: chunked\r\n";
    fmt::format_to(into, "Connection: {}\r\n", keep_alive_ ? "keep-alive" : "close");
    if (!bare) {
        fmt::format_to(into, "request-id: {}\r\n", request_id);
        output_ += "anthropic-organization-id: 5f0c5c26-0b0a-4e0e-9a3d-3d1f6c8e2b11\r\n";
        output_ += "x-envoy-upstream-service-time: 12\r\nvia: 1.1 google\r\n";
    }
    output_ += headers_;
    output_ += "Server: cloudflare\r\ncf-cache-status: DYNAMIC\r\nX-Robots-Tag: none\r\n";
    output_ += "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n";
    fmt::format_to(into, "CF-RAY: {:016x}-ZRH\r\n", hash_bytes(request_id));
    output_ += "set-cookie: __cf_bm=sim; path=/; HttpOnly; Secure; SameSite=None\r\n";
    if (plan.big_head) fmt::format_to(into, "x-sim-filler: {}\r\n", std::string(*plan.big_head, 'x'));
    output_ += "\r\n";
    started_ = true;
}

void reply::send_output() {
    if (output_.empty()) return;
    const std::string bytes = std::move(output_);
    output_.clear();
    peer_.write_all(bytes);
}

// Adds one piece of the body in its framing.
void reply::frame(std::string_view bytes) {
    if (bytes.empty() || asked_.method == "HEAD") return;
    body_bytes_ += bytes.size();
    if (framing_ != framing::chunked) {
        output_ += bytes;
        return;
    }
    if (plan.bad_chunk && chunk_broken_) {
        output_ += "xyz\r\n";
        send_output();
        throw connection_cut{};
    }
    chunk_broken_ = true;
    fmt::format_to(std::back_inserter(output_), "{:x}\r\n", bytes.size());
    output_ += bytes;
    output_ += "\r\n";
}

// Frames and sends body bytes, up to the byte where a fault ends them.
void reply::emit(std::string_view bytes) {
    const std::uint64_t end = body_bytes_ + bytes.size();
    const bool cuts = plan.cut_at_byte && *plan.cut_at_byte < end;
    const bool stalls = plan.stall_after_bytes && *plan.stall_after_bytes < end &&
                        !(cuts && *plan.cut_at_byte < *plan.stall_after_bytes);
    if (stalls)
        bytes = bytes.substr(0, *plan.stall_after_bytes - std::min(body_bytes_, *plan.stall_after_bytes));
    else if (cuts)
        bytes = bytes.substr(0, *plan.cut_at_byte - std::min(body_bytes_, *plan.cut_at_byte));

    const std::size_t step = plan.split ? *plan.split : bytes.size();
    if (plan.split) send_output();
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        frame(bytes.substr(at, step));
        if (plan.split) send_output();
    }
    send_output();
    if (stalls) peer_.wait_until_client_leaves();
    if (cuts) cut();
}

void reply::cut() {
    if (plan.rst) peer_.reset_on_close();
    throw connection_cut{plan.rst};
}

void reply::send(int status, std::string_view content_type, std::string_view body) {
    write_head(status, content_type, framing::length, body.size());
    emit(body);
}

void reply::begin(int status, std::string_view content_type) { write_head(status, content_type, framing::chunked, 0); }

void reply::write(std::string_view bytes) {
    pending_ += bytes;
    if (pending_.size() >= buffer_bytes_max) flush();
}

void reply::flush() {
    const std::string bytes = std::move(pending_);
    pending_.clear();
    emit(bytes);
}

void reply::finish() {
    if (framing_ == framing::chunked && !plan.split && !plan.cut_at_byte && !plan.stall_after_bytes) {
        // The usual case: the last events and the end of the body leave in one write.
        frame(pending_);
        pending_.clear();
    } else {
        flush();
        // A fault at the very last byte keeps back the end of the body.
        if (plan.stall_after_bytes && *plan.stall_after_bytes == body_bytes_) peer_.wait_until_client_leaves();
        if (plan.cut_at_byte && *plan.cut_at_byte == body_bytes_) cut();
    }
    if (framing_ == framing::chunked && asked_.method != "HEAD") output_ += "0\r\n\r\n";
    send_output();
}

}  // namespace sim
