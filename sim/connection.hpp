// One TCP (or TLS) connection, served by one thread. Every wait ends at once when the peer leaves: that is the property
// the rest relies on, because a simulator that does not notice a departure cannot prove that a gateway cancels
// upstream. Not thread safe; another thread may only shutdown(2) the descriptor.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <cstddef>
#include <string_view>

namespace sim {

using steady = std::chrono::steady_clock;
using milliseconds = std::chrono::milliseconds;

// The peer closed, reset or stopped reading for longer than write_patience.
struct client_left {};

// We end the connection on purpose, in the middle of an answer: with FIN, or with RST when reset is set.
struct connection_cut {
    bool reset = false;
};

class connection {
public:
    static constexpr std::chrono::minutes write_patience{10};

    // Owns the descriptor, which must be non-blocking. `tls` may be null.
    connection(int descriptor, SSL_CTX* tls, bool peer_is_loopback);
    ~connection();
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // Completes the TLS handshake; throws client_left when that fails. Nothing to do without TLS.
    void handshake();

    // Reads at least one byte. Returns 0 at the end of the stream or when nothing came until the deadline.
    std::size_t read_some(char* into, std::size_t size, steady::time_point deadline);

    // Hands all bytes to the kernel, or throws client_left.
    void write_all(std::string_view bytes);

    // Sleeps, but throws client_left as soon as the peer has gone.
    void sleep_for(milliseconds time);
    [[noreturn]] void wait_until_client_leaves();

    // The next close sends RST instead of FIN.
    void reset_on_close();
    // Tells the peer that we are done and swallows what it still sends, so that a late RST cannot destroy our answer.
    void swallow_rest();

    bool peer_is_loopback() const { return peer_is_loopback_; }
    int descriptor() const { return descriptor_; }

private:
    // Waits for `events`; false on time-out. A peer that left counts as readable.
    bool wait(short events, steady::time_point deadline);

    int descriptor_;
    SSL* tls_ = nullptr;
    bool peer_is_loopback_;
    bool broken_ = false;
};

}  // namespace sim
