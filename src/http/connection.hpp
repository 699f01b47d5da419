// One client connection: reads request heads and bodies, writes answers, and knows when the client has gone.
//
// The head of the request under way and bytes that arrived with it are views into the reactor's scratch until the first
// wait. Every call here keeps what must survive; code that waits on anything else calls `keep_input` first.
// Thread rule: the reactor's thread; one coroutine.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "http/chunked.hpp"
#include "http/head.hpp"
#include "http/options.hpp"
#include "net/stream.hpp"

namespace http {

// Counts shared by all reactors of the process.
struct server_load {
    std::atomic<std::uint32_t> connections{0};
    std::atomic<std::uint64_t> in_flight_bytes{0};  // request bodies held in memory
    std::atomic<std::uint64_t> accepted_total{0};
    std::atomic<std::uint64_t> refused_total{0};  // over connections_max
    std::atomic<bool> draining{false};            // answers say `connection: close`
};

// A place under the in-flight byte budget; given back when it goes.
class body_reservation {
public:
    body_reservation() = default;
    body_reservation(server_load& load, std::uint64_t bytes) : load_(&load), bytes_(bytes) {}
    body_reservation(body_reservation&& other) noexcept;
    body_reservation& operator=(body_reservation&& other) noexcept;
    ~body_reservation() { release(); }
    void release();
    // More for a body whose length was not announced; false when the budget is used up.
    bool grow(std::uint64_t more, std::uint64_t limit);

    // Empty when `bytes` do not fit under `limit` now.
    static bool try_take(server_load& load, std::uint64_t bytes, std::uint64_t limit, body_reservation& taken);

private:
    server_load* load_ = nullptr;
    std::uint64_t bytes_ = 0;
};

enum class next_request : std::uint8_t {
    ready,    // connection.head() can be read
    closed,   // the client went between requests, or idled too long: nothing to say
    refused,  // connection.refusal() says why; answer it and close
};

class connection {
public:
    connection(net::reactor& owner, int fd, const server_options& options, server_load& load);

    net::stream& stream() { return stream_; }
    net::timer& timer() { return timer_; }
    net::reactor& reactor() { return stream_.owner(); }
    const server_options& options() const { return options_; }
    server_load& load() { return load_; }

    net::task<bool> accept_tls(ssl_ctx_st& context);

    // Waits for a request and parses its head into `head`, which is valid until the first wait.
    net::task<next_request> read_head(request_head& head);
    const base::error& refusal() const { return refusal_; }
    std::int64_t request_began_us() const { return request_began_us_; }  // its first byte, monotonic

    // Saves unread input that still lies in the reactor's scratch.
    void keep_input();

    // Reads payload of the request body; 0 at its end. Answers `expect: 100-continue` when it is about to wait.
    // Errors: client_left, request_timeout, bad_framing (broken chunks), shutting_down.
    net::task<base::result<std::size_t>> read_body(std::span<char> into);
    // Payload that is already here, without waiting: empty when there is none. Only for bodies of known length.
    std::string_view take_buffered_body(std::size_t bytes_max);
    bool body_ended() const { return body_ended_; }
    std::uint64_t body_bytes() const { return body_bytes_; }

    // Writes what the client takes at once; true when that was everything. Otherwise `write(parts)` goes on from there,
    // or tells why it cannot.
    bool write_now(std::span<iovec> parts);
    // Writes everything. Errors: client_left, slow_reader (took nothing for write_idle_timeout), shutting_down.
    net::task<base::result<void>> write(std::span<iovec> parts);
    net::task<base::result<void>> write(std::string_view text);
    std::uint64_t bytes_written() const { return bytes_written_; }

    // True when the connection may carry another request after this answer; decides the `connection:` header.
    bool will_keep_alive() const;
    void close_after_this() { close_after_ = true; }
    // After the answer: reads away what is left of a small body. False: close the connection.
    net::task<bool> finish_request();
    // Says goodbye so that the answer arrives although unread input is pending (RFC 9112 9.6).
    net::task<void> linger();

    // Ends the wait for another request, if this connection is waiting for one; a request that has begun goes on.
    void close_if_idle();
    const std::string& peer();  // the client's address, asked for once a connection
    // What the owner of the requests remembers from one to the next: a type of its own, which it makes at the first.
    std::shared_ptr<void>& memory() { return memory_; }

private:
    enum class fill_outcome : std::uint8_t { data, end, failed, timeout, cancelled };
    net::task<fill_outcome> fill();
    base::result<std::size_t> decode_into(std::span<char> into);
    void bound_body_wait();

    net::stream stream_;
    net::timer timer_;
    const server_options& options_;
    server_load& load_;

    std::string peer_;
    std::shared_ptr<void> memory_;
    std::string_view input_;  // unread bytes, in kept_ or in the reactor's scratch
    std::string kept_;
    base::error refusal_{base::errc::internal};

    std::int64_t request_began_us_ = 0;
    body_framing framing_ = body_framing::none;
    std::uint64_t body_left_ = 0;  // of a body of known length
    std::uint64_t body_bytes_ = 0;
    std::int64_t body_waited_ms_ = 0;  // time spent waiting for the client to send it
    std::uint64_t bytes_written_ = 0;
    chunk_decoder chunks_;
    bool body_ended_ = true;
    bool continue_owed_ = false;
    bool keep_alive_ = true;
    bool close_after_ = false;
    bool between_requests_ = true;
    bool idle_close_asked_ = false;
};

}  // namespace http
