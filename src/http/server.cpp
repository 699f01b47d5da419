#include "http/server.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace http {
namespace {

constexpr int backlog = 4096;
constexpr int accepts_per_turn = 64;           // then other connections get their turn
constexpr std::size_t turning_away_max = 256;  // connections over the limit that get an answer before the close
constexpr std::int64_t accept_pause_ms = 100;  // after a failure such as "too many open files"

struct resolved {
    sockaddr_storage address{};
    socklen_t size = 0;
};

resolved resolve(const std::string& host, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0) {
        throw std::runtime_error("cannot listen on " + host + ": " + gai_strerror(code));
    }
    resolved made;
    std::memcpy(&made.address, found->ai_addr, found->ai_addrlen);
    made.size = found->ai_addrlen;
    freeaddrinfo(found);
    return made;
}

int open_socket(const resolved& where, bool share_port, const std::string& name) {
    const auto fail = [&](int fd) {
        const int code = errno;
        if (fd >= 0) close(fd);
        throw std::system_error(code, std::generic_category(), "cannot listen on " + name);
    };
    const int fd = socket(where.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail(fd);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (share_port) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&where.address), where.size) != 0) fail(fd);
    return fd;
}

}  // namespace

int bind_listener(const std::string& host, std::uint16_t port, bool share_port) {
    const resolved where = resolve(host, port);
    const std::string name = host + ":" + std::to_string(port);
    const int fd = open_socket(where, share_port, name);
    if (::listen(fd, backlog) != 0) {
        const int code = errno;
        close(fd);
        throw std::system_error(code, std::generic_category(), "cannot listen on " + name);
    }
    return fd;
}

std::uint16_t bound_port(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                               : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

// Shared with the accept loop, which may be suspended when the server stops accepting.
struct server::listener {
    listener(net::reactor& owner, int descriptor) : fd(descriptor), clock(owner) { owner.add(fd, slot); }
    ~listener() { close(fd); }
    int fd;
    net::io_slot slot;
    net::timer clock;
};

server::server(net::reactor& owner, const server_options& options, server_load& load, handler& requests,
               ssl_ctx_st* tls)
    : reactor_(owner), options_(options), load_(load), handler_(requests), tls_(tls) {}

server::~server() = default;

void server::listen(int listener_fd) {
    listener_ = std::make_shared<listener>(reactor_, listener_fd);
    reactor_.spawn(accept_loop(listener_));
}

void server::stop_accepting() {
    if (!listener_) return;
    listener_->clock.cancel();
    listener_.reset();
}

net::task<void> server::accept_loop(std::shared_ptr<listener> from) {
    while (!from->clock.cancelled()) {
        for (int taken = 0; taken < accepts_per_turn; ++taken) {
            const int fd = accept4(from->fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                load_.accepted_total.fetch_add(1, std::memory_order_relaxed);
                if (load_.connections.fetch_add(1, std::memory_order_relaxed) >= options_.connections_max) {
                    load_.connections.fetch_sub(1, std::memory_order_relaxed);
                    load_.refused_total.fetch_add(1, std::memory_order_relaxed);
                    if (turning_away_ < turning_away_max && !tls_) {
                        reactor_.spawn(turn_away(fd));
                    } else {
                        close(fd);
                    }
                    continue;
                }
                reactor_.spawn(serve(fd));
                continue;
            }
            if (errno == EINTR || errno == ECONNABORTED) continue;
            from->slot.readable = false;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                // Out of descriptors or memory: the connection stays in the backlog, so look again after a pause.
                handler_.on_accept_failure(std::strerror(errno));
                from->clock.set_after(accept_pause_ms);
                net::wait_op pause{nullptr, false, false, nullptr, from->clock};
                if (co_await pause == net::wake::cancelled) co_return;
                from->clock.set(net::timer::never);
                from->slot.readable = true;
            }
            break;
        }
        if (from->slot.readable) {
            co_await reactor_.yield();
            continue;
        }
        net::wait_op readable{&from->slot, true, false, nullptr, from->clock};
        co_await readable;
    }
}

net::task<void> server::turn_away(int fd) {
    struct counted {
        std::size_t& count;
        ~counted() { --count; }
    };
    ++turning_away_;
    const counted count{turning_away_};
    connection client(reactor_, fd, options_, load_);
    const std::string answer = handler_.overload_answer();
    if (co_await client.write(answer)) co_await client.linger();
}

net::task<void> serve_requests(connection& client, request_head& head, handler& requests) {
    for (;;) {
        switch (co_await client.read_head(head)) {
            case next_request::closed:
                co_return;
            case next_request::refused:
                co_await requests.refuse(client, client.refusal());
                co_await client.linger();
                co_return;
            case next_request::ready:
                break;
        }
        co_await requests.handle(client, head);
        if (!co_await client.finish_request()) co_return;
    }
}

net::task<void> server::serve(int fd) {
    struct counted {  // the process's count of connections follows this frame
        server_load& load;
        ~counted() { load.connections.fetch_sub(1, std::memory_order_relaxed); }
    } const count{load_};
    connection client(reactor_, fd, options_, load_);
    struct registered {
        std::unordered_set<connection*>& set;
        connection* entry;
        ~registered() { set.erase(entry); }
    } const registration{open_, &client};
    open_.insert(&client);

    if (tls_ && !co_await client.accept_tls(*tls_)) co_return;
    co_await serve_requests(client, head_, handler_);
}

void server::close_idle() {
    for (connection* client : open_) client->close_if_idle();
}

void server::cancel_all() {
    for (connection* client : open_) client->timer().cancel();
}

}  // namespace http
