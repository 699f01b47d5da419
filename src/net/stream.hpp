// A connected TCP socket, plain or with TLS, on one reactor. Calls never block; the coroutine waits when they would:
//
//     while ((got = stream.read(buffer)).status == io_status::blocked)
//         if (co_await stream.unblocked(timer) != wake::ready) ...
//
// One system call a read or write on plain sockets: what a relay costs is its system calls. TCP_NODELAY is on. Not
// movable.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "net/reactor.hpp"
#include "net/tls.hpp"

namespace net {

enum class io_status : std::uint8_t { done, blocked, end, failed };

struct io_result {
    io_status status;
    std::size_t bytes = 0;
};

class stream {
public:
    // Takes over a non-blocking descriptor.
    stream(reactor& owner, int fd);
    ~stream();
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    void use_tls(ssl_ptr ssl);  // before the first byte; then call `handshake` until it is done
    io_result handshake();
    bool tls() const { return static_cast<bool>(ssl_); }
    bool tls_resumed() const { return ssl_ && SSL_session_reused(ssl_.get()); }

    io_result read(std::span<char> into);
    // Writes from the front of `parts` and moves them forward past what was taken. `done`: everything was taken.
    io_result write(std::span<iovec> parts);

    // Waits until the operation that said `blocked` is worth another try. `watched`: a peer whose leaving ends the
    // wait.
    wait_op unblocked(timer& clock, stream* watched = nullptr);
    // Waits for bytes, an end or an error to read.
    wait_op readable(timer& clock, stream* watched = nullptr);
    // Waits until bytes can be read or written: for a writer that wants to hear an early answer.
    wait_op readable_or_writable(timer& clock, stream* watched = nullptr);
    // Waits for a connect that is in progress to end either way.
    wait_op connected(timer& clock, stream* watched = nullptr);

    // Waits for something else (net::signal), and ends when the peer leaves.
    wait_op until(io_slot& signal, timer& clock) { return {&signal, true, false, &slot_, clock}; }

    bool hung_up() const { return slot_.hangup; }       // the peer closed its side; bytes may still be unread
    bool has_unread() const { return slot_.readable; }  // something arrived that nobody read
    // Something for `read` has arrived: bytes, an end or an error. With TLS a record that is none of these (a session
    // ticket) is taken in, and does not count.
    bool has_something_to_read();
    void shutdown_write();  // says "no more" to the peer
    void reset();           // the close will send RST: what was sent is not complete
    int fd() const { return fd_; }
    reactor& owner() const { return reactor_; }

private:
    io_result tls_outcome(int returned);

    reactor& reactor_;
    int fd_;
    io_slot slot_;
    bool wants_write_ = false;  // which readiness the blocked operation needs
    ssl_ptr ssl_;
};

// Address of the peer as text, without the port.
std::string peer_address(int fd);

}  // namespace net
