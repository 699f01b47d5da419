// Bytes to and from Redis: a TCP connection, with TLS on it when the address says so. Every wait has an end, and blocks
// its thread until then: never a reactor's. Ours, because hiredis of Debian 12 knows no TLS; it reads the replies.
//
// A failure is a sentence, and after one the wire is of no use. SIGPIPE has to be ignored or blocked, as everywhere in
// the process. Thread rule: one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/tls.hpp"
#include "redis/address.hpp"

struct addrinfo;

namespace redis {

template <class T>
using outcome = std::expected<T, std::string>;

// How a failure begins when the server's certificate is not believed: another authority, name or time.
inline constexpr std::string_view certificate_refused = "the certificate is refused";

class wire {
public:
    // Looks the name up, connects and, for TLS, agrees on keys and verifies certificate and name: `timeout` at most for
    // everything behind the name.
    static outcome<wire> open(const address& to, std::chrono::milliseconds timeout);
    wire(wire&& other) noexcept;
    wire& operator=(wire&& other) noexcept;
    ~wire();

    // Sends everything within `timeout`.
    outcome<void> write(std::string_view bytes);
    // What has come, at least one byte, within `timeout`. Valid until the next call.
    outcome<std::string_view> read();
    // The same without waiting: empty when nothing has come. Nothing that has come is left behind in TLS.
    outcome<std::string_view> read_now();
    int descriptor() const { return fd_; }

private:
    using clock = std::chrono::steady_clock;

    // What one try brought: bytes, or what to wait for before the next one.
    struct moved {
        std::size_t bytes = 0;
        short wants = 0;  // POLLIN or POLLOUT
    };
    explicit wire(std::chrono::milliseconds timeout);
    outcome<void> connect(const addrinfo& to, clock::time_point until);
    outcome<void> handshake(const address& to, clock::time_point until);
    outcome<void> wait(short wants, clock::time_point until, std::string_view doing) const;
    outcome<moved> try_read(std::span<char> into);
    outcome<moved> try_write(std::string_view bytes);
    outcome<moved> tls_moved(int returned, std::size_t bytes) const;

    std::chrono::milliseconds timeout_;
    int fd_ = -1;
    net::ssl_ptr tls_;
    std::vector<char> input_;
};

}  // namespace redis
