#include "redis/wire.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/released_by.hpp"

namespace redis {
namespace {

constexpr std::size_t read_bytes = 16 * 1024;  // what a TLS record has at most
constexpr std::string_view hung_up = "the server has closed the connection";

using addresses = std::unique_ptr<addrinfo, base::released_by<freeaddrinfo>>;

outcome<addresses> look_up(const address& to) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (const int code = getaddrinfo(to.host.c_str(), std::to_string(to.port).c_str(), &hints, &found); code != 0)
        return std::unexpected(gai_strerror(code));
    return addresses(found);
}

}  // namespace

wire::wire(std::chrono::milliseconds timeout) : timeout_(timeout), input_(read_bytes) {}

wire::wire(wire&& other) noexcept
    : timeout_(other.timeout_),
      fd_(std::exchange(other.fd_, -1)),
      tls_(std::move(other.tls_)),
      input_(std::move(other.input_)) {}

wire& wire::operator=(wire&& other) noexcept {
    std::swap(timeout_, other.timeout_);
    std::swap(fd_, other.fd_);
    std::swap(tls_, other.tls_);
    std::swap(input_, other.input_);
    return *this;
}

wire::~wire() {
    tls_.reset();
    if (fd_ >= 0) close(fd_);
}

outcome<wire> wire::open(const address& to, std::chrono::milliseconds timeout) {
    wire made(timeout);
    const auto found = look_up(to);
    if (!found) return std::unexpected(found.error());
    // The first address must not use up the time of the others.
    const auto until = clock::now() + timeout;
    std::ptrdiff_t left = 0;
    for (const addrinfo* at = found->get(); at; at = at->ai_next) ++left;
    outcome<void> done = std::unexpected("no address");
    for (const addrinfo* at = found->get(); at; at = at->ai_next, --left) {
        if (made.fd_ >= 0) close(made.fd_);
        made.fd_ = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (made.fd_ < 0) return std::unexpected(std::strerror(errno));
        done = made.connect(*at, clock::now() + (until - clock::now()) / left);
        if (done) break;
    }
    if (done && to.tls) done = made.handshake(to, until);
    if (!done) return std::unexpected(done.error());
    return made;
}

outcome<void> wire::connect(const addrinfo& to, clock::time_point until) {
    int problem = ::connect(fd_, to.ai_addr, to.ai_addrlen) == 0 ? 0 : errno;
    if (problem == EINPROGRESS) {
        if (auto waited = wait(POLLOUT, until, "connect"); !waited) return waited;
        socklen_t size = sizeof problem;
        getsockopt(fd_, SOL_SOCKET, SO_ERROR, &problem, &size);
    }
    if (problem != 0) return std::unexpected(std::strerror(problem));
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return {};
}

outcome<void> wire::handshake(const address& to, clock::time_point until) {
    if (!to.trust) return std::unexpected("no trust anchors were read");
    tls_ = net::new_client(*to.trust, to.host);
    SSL_set_fd(tls_.get(), fd_);
    for (;;) {
        ERR_clear_error();
        const int returned = SSL_do_handshake(tls_.get());
        if (returned == 1) return {};
        const auto more = tls_moved(returned, 0);
        if (const long verified = SSL_get_verify_result(tls_.get()); !more && verified != X509_V_OK)
            return std::unexpected(fmt::format("{}: {}", certificate_refused, X509_verify_cert_error_string(verified)));
        if (!more) return std::unexpected(fmt::format("no TLS: {}", more.error()));
        if (auto waited = wait(more->wants, until, "agree on TLS"); !waited) return waited;
    }
}

outcome<void> wire::wait(short wants, clock::time_point until, std::string_view doing) const {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
        pollfd one{.fd = fd_, .events = wants, .revents = 0};
        const int ready = poll(&one, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
        if (ready > 0) return {};
        if (ready < 0 && errno != EINTR) return std::unexpected(std::strerror(errno));
        if (left <= 0) return std::unexpected(fmt::format("could not {} in time", doing));
    }
}

// Of a call of OpenSSL that did not bring `bytes` when it `returned` something else than 1.
outcome<wire::moved> wire::tls_moved(int returned, std::size_t bytes) const {
    const int system_error = errno;
    if (returned == 1) return moved{.bytes = bytes};
    switch (SSL_get_error(tls_.get(), returned)) {
        case SSL_ERROR_WANT_READ:
            return moved{.wants = POLLIN};
        case SSL_ERROR_WANT_WRITE:
            return moved{.wants = POLLOUT};
        case SSL_ERROR_SSL:
            if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) break;
            return std::unexpected(net::tls_error_text());
        case SSL_ERROR_SYSCALL:
            if (system_error == 0) break;
            return std::unexpected(std::strerror(system_error));
        default:
            break;
    }
    ERR_clear_error();
    return std::unexpected(std::string(hung_up));
}

outcome<wire::moved> wire::try_read(std::span<char> into) {
    if (tls_) {
        ERR_clear_error();
        errno = 0;
        std::size_t got = 0;
        const int returned = SSL_read_ex(tls_.get(), into.data(), into.size(), &got);
        return tls_moved(returned, got);
    }
    for (;;) {
        const ssize_t got = recv(fd_, into.data(), into.size(), 0);
        if (got > 0) return moved{.bytes = static_cast<std::size_t>(got)};
        if (got == 0) return std::unexpected(std::string(hung_up));
        if (errno == EAGAIN || errno == EWOULDBLOCK) return moved{.wants = POLLIN};
        if (errno != EINTR) return std::unexpected(std::strerror(errno));
    }
}

outcome<wire::moved> wire::try_write(std::string_view bytes) {
    if (tls_) {
        ERR_clear_error();
        errno = 0;
        std::size_t sent = 0;
        const int returned = SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &sent);
        return tls_moved(returned, sent);
    }
    for (;;) {
        const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent >= 0) return moved{.bytes = static_cast<std::size_t>(sent)};
        if (errno == EAGAIN || errno == EWOULDBLOCK) return moved{.wants = POLLOUT};
        if (errno != EINTR) return std::unexpected(std::strerror(errno));
    }
}

outcome<void> wire::write(std::string_view bytes) {
    const auto until = clock::now() + timeout_;
    while (!bytes.empty()) {
        const auto tried = try_write(bytes);
        if (!tried) return std::unexpected(tried.error());
        bytes.remove_prefix(tried->bytes);
        if (tried->wants == 0) continue;
        if (auto waited = wait(tried->wants, until, "send"); !waited) return waited;
    }
    return {};
}

outcome<std::string_view> wire::read() {
    const auto until = clock::now() + timeout_;
    for (;;) {
        const auto tried = try_read(input_);
        if (!tried) return std::unexpected(tried.error());
        if (tried->bytes > 0) return std::string_view(input_.data(), tried->bytes);
        if (auto waited = wait(tried->wants, until, "get an answer"); !waited) return std::unexpected(waited.error());
    }
}

outcome<std::string_view> wire::read_now() {
    // The input has room for a whole record, so that one read leaves nothing of it behind, where no descriptor tells.
    const auto tried = try_read(input_);
    if (!tried) return std::unexpected(tried.error());
    return std::string_view(input_.data(), tried->bytes);
}

}  // namespace redis
