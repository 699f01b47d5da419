// The upstream's answer on its way to the client: its head with our few changes, then payload in one write a piece.
//
// The head is made at once (the upstream's head dies at the first wait) and written together with the first payload, so
// an answer costs one system call when it is whole. Payload goes with a length, chunked, or until the close (HTTP/1.0).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/exchange.hpp"

namespace gateway {

class downstream {
public:
    // Copies status and headers: verbatim and in order, without hop-by-hop fields, the edge's own
    // (strict-transport-security, set-cookie, alt-svc, via) and cache-control; ours are added (docs/protocol.md).
    downstream(exchange& x, const http::response_head& head, bool event_stream);
    ~downstream() { forget_head(); }
    downstream(const downstream&) = delete;
    downstream& operator=(const downstream&) = delete;

    // Decides the framing; call once before `write`. Without a length: chunked, or until the close for HTTP/1.0.
    void frame(std::optional<std::uint64_t> content_length);
    bool begun() const { return begun_; }  // the head was written: the status cannot change any more

    // Writes payload, and with `last` the end. Errors as http::connection::write.
    net::task<base::result<void>> write(std::string_view payload, bool last);
    // The same without waiting, for the many small writes of a stream. False: `finish_write` has to follow, with the
    // payload still in place.
    bool write_now(std::string_view payload, bool last);
    net::task<base::result<void>> finish_write();
    int status() const { return status_; }

private:
    bool frame_in_place(std::string_view payload, bool last);
    void forget_head();

    exchange& x_;
    std::string head_;
    int status_;
    bool begun_ = false;
    bool chunked_ = false;
    std::array<char, 18> size_line_;
    std::array<iovec, 4> parts_;  // of the write under way
    std::size_t parts_used_ = 0;
};

}  // namespace gateway
