#include "net/stream.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace net {
namespace {

constexpr std::size_t tls_record_bytes = 16 * 1024;
// Parts that are no larger together are copied into one: a copy costs less than sendmsg does beside send.
constexpr std::size_t joined_bytes_max = 4 * 1024;
constexpr int keep_alive_seconds = 60;  // as the official SDKs set it on their side

std::size_t total_bytes(std::span<const iovec> parts) {
    std::size_t total = 0;
    for (const auto& part : parts) total += part.iov_len;
    return total;
}

std::size_t copy_parts(std::span<const iovec> parts, std::span<char> to) {
    std::size_t copied = 0;
    for (const auto& part : parts) {
        const std::size_t step = std::min(part.iov_len, to.size() - copied);
        if (step == 0) continue;
        std::memcpy(to.data() + copied, part.iov_base, step);
        copied += step;
    }
    return copied;
}

// One system call; what send(2) returns.
ssize_t send_parts(int fd, std::span<iovec> parts, std::size_t total) {
    if (parts.size() == 1) return send(fd, parts.front().iov_base, total, MSG_NOSIGNAL);
    if (total <= joined_bytes_max) {
        std::array<char, joined_bytes_max> joined;
        return send(fd, joined.data(), copy_parts(parts, joined), MSG_NOSIGNAL);
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

void advance(std::span<iovec> parts, std::size_t taken) {
    for (auto& part : parts) {
        const std::size_t step = std::min(taken, part.iov_len);
        part.iov_base = static_cast<char*>(part.iov_base) + step;
        part.iov_len -= step;
        taken -= step;
    }
}

}  // namespace

stream::stream(reactor& owner, int fd) : reactor_(owner), fd_(fd) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // A sync answer may take minutes without a byte: keep-alive probes find peers that died and hold NAT entries open.
    setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd_, IPPROTO_TCP, TCP_KEEPIDLE, &keep_alive_seconds, sizeof keep_alive_seconds);
    setsockopt(fd_, IPPROTO_TCP, TCP_KEEPINTVL, &keep_alive_seconds, sizeof keep_alive_seconds);
    try {
        reactor_.add(fd_, slot_);
    } catch (...) {
        close(fd_);
        throw;
    }
}

stream::~stream() {
    if (ssl_) {
        // A polite close_notify when there is room for it; a session whose connection failed is not resumed by OpenSSL.
        ERR_clear_error();
        if (SSL_is_init_finished(ssl_.get())) SSL_shutdown(ssl_.get());
        ERR_clear_error();
        ssl_.reset();
    }
    close(fd_);
}

void stream::use_tls(ssl_ptr ssl) {
    ssl_ = std::move(ssl);
    SSL_set_fd(ssl_.get(), fd_);
}

io_result stream::tls_outcome(int returned) {
    switch (SSL_get_error(ssl_.get(), returned)) {
        case SSL_ERROR_WANT_READ:
            slot_.readable = false;
            wants_write_ = false;
            return {io_status::blocked};
        case SSL_ERROR_WANT_WRITE:
            slot_.writable = false;
            wants_write_ = true;
            return {io_status::blocked};
        case SSL_ERROR_ZERO_RETURN:
            return {io_status::end};
        default:
            return {io_status::failed};
    }
}

io_result stream::handshake() {
    ERR_clear_error();
    const int returned = SSL_do_handshake(ssl_.get());
    if (returned == 1) return {io_status::done};
    return tls_outcome(returned);
}

io_result stream::read(std::span<char> into) {
    if (ssl_) {
        std::size_t total = 0;
        while (total < into.size()) {  // records are at most 16 KiB: gather what is there, so that one write carries it
            ERR_clear_error();
            std::size_t got = 0;
            const int returned = SSL_read_ex(ssl_.get(), into.data() + total, into.size() - total, &got);
            if (returned == 1) {
                total += got;
                continue;
            }
            const io_result outcome = tls_outcome(returned);
            if (total > 0) break;  // an end or an error will show again at the next call
            return outcome;
        }
        return {io_status::done, total};
    }
    for (;;) {
        const ssize_t got = recv(fd_, into.data(), into.size(), 0);
        if (got > 0) {
            // Edge-triggered: a short read has emptied the socket; an end that is already known must still be read.
            if (static_cast<std::size_t>(got) < into.size() && !slot_.hangup) slot_.readable = false;
            return {io_status::done, static_cast<std::size_t>(got)};
        }
        if (got == 0) return {io_status::end};
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            slot_.readable = false;
            wants_write_ = false;
            return {io_status::blocked};
        }
        return {io_status::failed};
    }
}

io_result stream::write(std::span<iovec> parts) {
    const std::size_t total = total_bytes(parts);
    if (total == 0) return {io_status::done};
    if (ssl_) {
        std::size_t taken = 0;
        std::array<char, tls_record_bytes> record;
        while (taken < total) {
            // Small parts (head, chunk size, event) become one record, large ones go as they are.
            auto first = std::ranges::find_if(parts, [](const iovec& part) { return part.iov_len > 0; });
            const char* data = static_cast<const char*>(first->iov_base);
            std::size_t size = first->iov_len;
            if (size < record.size() && size < total - taken) {
                size = copy_parts(std::span(first, parts.end()), record);
                data = record.data();
            }
            ERR_clear_error();
            std::size_t written = 0;
            const int returned = SSL_write_ex(ssl_.get(), data, size, &written);
            if (returned != 1) {
                io_result outcome = tls_outcome(returned);
                outcome.bytes = taken;
                return outcome;
            }
            advance(parts, written);
            taken += written;
        }
        return {io_status::done, taken};
    }
    for (;;) {
        const ssize_t sent = send_parts(fd_, parts, total);
        if (sent >= 0) {
            advance(parts, static_cast<std::size_t>(sent));
            if (static_cast<std::size_t>(sent) == total) return {io_status::done, total};
            slot_.writable = false;
            wants_write_ = true;
            return {io_status::blocked, static_cast<std::size_t>(sent)};
        }
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            slot_.writable = false;
            wants_write_ = true;
            return {io_status::blocked};
        }
        return {io_status::failed};
    }
}

wait_op stream::unblocked(timer& clock, stream* watched) {
    return {&slot_, !wants_write_, wants_write_, watched ? &watched->slot_ : nullptr, clock};
}

wait_op stream::readable(timer& clock, stream* watched) {
    return {&slot_, true, false, watched ? &watched->slot_ : nullptr, clock};
}

wait_op stream::readable_or_writable(timer& clock, stream* watched) {
    return {&slot_, true, true, watched ? &watched->slot_ : nullptr, clock};
}

wait_op stream::connected(timer& clock, stream* watched) {
    return {&slot_, false, true, watched ? &watched->slot_ : nullptr, clock};
}

bool stream::has_something_to_read() {
    if (!ssl_ || !slot_.readable) return slot_.readable;
    ERR_clear_error();
    char byte = 0;
    std::size_t got = 0;
    const int returned = SSL_peek_ex(ssl_.get(), &byte, 1, &got);
    return returned == 1 || tls_outcome(returned).status != io_status::blocked;
}

void stream::shutdown_write() {
    if (ssl_) SSL_shutdown(ssl_.get());
    ::shutdown(fd_, SHUT_WR);
}

void stream::reset() {
    if (ssl_) SSL_set_quiet_shutdown(ssl_.get(), 1);
    const linger hard{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

std::string peer_address(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
    if (address.ss_family == AF_INET) {
        inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in&>(address).sin_addr, text, sizeof text);
    } else if (address.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6&>(address).sin6_addr, text, sizeof text);
    }
    return text;
}

}  // namespace net
