#include "connection.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace sim {

connection::connection(int descriptor, SSL_CTX* tls, bool peer_is_loopback)
    : descriptor_(descriptor), peer_is_loopback_(peer_is_loopback) {
    if (tls != nullptr) {
        tls_ = SSL_new(tls);
        SSL_set_fd(tls_, descriptor_);
        SSL_set_accept_state(tls_);
    }
}

connection::~connection() {
    if (tls_ != nullptr) {
        if (!broken_) SSL_shutdown(tls_);
        SSL_free(tls_);
    }
    ::close(descriptor_);
}

bool connection::wait(short events, steady::time_point deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - steady::now()).count();
        pollfd watched{.fd = descriptor_, .events = events, .revents = 0};
        const int ready = ::poll(&watched, 1, static_cast<int>(std::clamp<long>(left, 0, 60'000)));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) throw client_left{};
        if (ready == 0 && left <= 60'000) return false;
    }
}

void connection::handshake() {
    if (tls_ == nullptr) return;
    const auto deadline = steady::now() + std::chrono::seconds(10);
    for (;;) {
        ERR_clear_error();
        const int result = SSL_do_handshake(tls_);
        if (result == 1) return;
        const int reason = SSL_get_error(tls_, result);
        const bool again = reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE;
        if (!again || !wait(reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline)) {
            broken_ = true;
            throw client_left{};
        }
    }
}

std::size_t connection::read_some(char* into, std::size_t size, steady::time_point deadline) {
    for (;;) {
        if (tls_ == nullptr) {
            const auto got = ::recv(descriptor_, into, size, 0);
            if (got > 0) return static_cast<std::size_t>(got);
            if (got == 0) return 0;
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) throw client_left{};
            if (!wait(POLLIN, deadline)) return 0;
            continue;
        }
        ERR_clear_error();
        const int got = SSL_read(tls_, into, static_cast<int>(std::min<std::size_t>(size, 1 << 30)));
        if (got > 0) return static_cast<std::size_t>(got);
        switch (SSL_get_error(tls_, got)) {
            case SSL_ERROR_WANT_READ:
                if (!wait(POLLIN, deadline)) return 0;
                break;
            case SSL_ERROR_WANT_WRITE:
                if (!wait(POLLOUT, deadline)) return 0;
                break;
            case SSL_ERROR_ZERO_RETURN:
                return 0;
            default:
                broken_ = true;
                return 0;
        }
    }
}

void connection::write_all(std::string_view bytes) {
    const auto deadline = steady::now() + write_patience;
    while (!bytes.empty()) {
        short wanted = POLLOUT;
        if (tls_ == nullptr) {
            const auto sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(sent));
                continue;
            }
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) throw client_left{};
        } else {
            ERR_clear_error();
            const int sent =
                SSL_write(tls_, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 30)));
            if (sent > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(sent));
                continue;
            }
            const int reason = SSL_get_error(tls_, sent);
            if (reason == SSL_ERROR_WANT_READ) wanted = POLLIN;
            if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
                broken_ = true;
                throw client_left{};
            }
        }
        // A slow reader is waited for; one that has closed its side while our buffer is full will never read on.
        if (!wait(static_cast<short>(wanted | POLLRDHUP), deadline)) throw client_left{};
        pollfd state{.fd = descriptor_, .events = POLLRDHUP, .revents = 0};
        if (::poll(&state, 1, 0) > 0) throw client_left{};
    }
}

void connection::sleep_for(milliseconds time) {
    // POLLIN is not asked for: a pipelined request must not look like a departure.
    if (wait(POLLRDHUP, steady::now() + time)) throw client_left{};
}

void connection::wait_until_client_leaves() {
    for (;;) sleep_for(std::chrono::hours(1));
}

void connection::reset_on_close() {
    broken_ = true;  // no close_notify before a reset
    const linger option_value{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &option_value, sizeof option_value);
}

void connection::swallow_rest() {
    constexpr std::size_t bytes_max = 64 << 20;
    if (tls_ != nullptr && !broken_) SSL_shutdown(tls_);
    broken_ = true;
    ::shutdown(descriptor_, SHUT_WR);
    const auto deadline = steady::now() + std::chrono::seconds(2);
    std::array<char, 16384> rest{};
    for (std::size_t swallowed = 0; swallowed < bytes_max;) {
        if (!wait(POLLIN, deadline)) return;
        const auto got = ::recv(descriptor_, rest.data(), rest.size(), 0);
        if (got <= 0) return;
        swallowed += static_cast<std::size_t>(got);
    }
}

}  // namespace sim
