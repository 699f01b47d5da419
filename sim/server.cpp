#include "server.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "serve_one.hpp"
#include "state.hpp"

namespace sim {

namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SIM_INSTRUMENTED 1
#endif
#endif
#ifdef SIM_INSTRUMENTED
constexpr std::size_t stack_bytes = 2 << 20;  // instrumented frames are several times larger
#else
constexpr std::size_t stack_bytes = 256 << 10;
#endif

bool is_loopback(const sockaddr_storage& peer) {
    if (peer.ss_family == AF_INET) {
        sockaddr_in address{};
        std::memcpy(&address, &peer, sizeof address);
        return (ntohl(address.sin_addr.s_addr) >> 24) == 127;
    }
    sockaddr_in6 address{};
    std::memcpy(&address, &peer, sizeof address);
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&address.sin6_addr) && address.sin6_addr.s6_addr[12] == 127;
    return mapped || IN6_IS_ADDR_LOOPBACK(&address.sin6_addr);
}

int open_listener(const std::string& where, std::string& address) {
    const auto colon = where.rfind(':');
    if (colon == std::string::npos) throw std::runtime_error(fmt::format("--listen {}: HOST:PORT is expected", where));
    std::string host = where.substr(0, colon);
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int failure = getaddrinfo(host.c_str(), where.c_str() + colon + 1, &hints, &found);
    if (failure != 0) throw std::runtime_error(fmt::format("--listen {}: {}", where, gai_strerror(failure)));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);

    const int listener = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener < 0 || ::bind(listener, found->ai_addr, found->ai_addrlen) != 0 || ::listen(listener, 4096) != 0) {
        throw std::runtime_error(fmt::format("--listen {}: {}", where, std::strerror(errno)));
    }
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &size);
    std::array<char, 16> port{};
    ::getnameinfo(reinterpret_cast<const sockaddr*>(&bound), size, nullptr, 0, port.data(), port.size(),
                  NI_NUMERICSERV);
    address = fmt::format("{}:{}", where.substr(0, colon), port.data());
    return listener;
}

}  // namespace

struct server::arrival {
    server& owner;
    int descriptor;
    bool loopback;
};

server::server(state& world, SSL_CTX* tls)
    : world_(world), tls_(tls), listener_(open_listener(world.chosen.listen, address_)) {
    pthread_attr_init(&thread_shape_);
    pthread_attr_setstacksize(&thread_shape_, stack_bytes);
    pthread_attr_setdetachstate(&thread_shape_, PTHREAD_CREATE_DETACHED);
}

server::~server() {
    pthread_attr_destroy(&thread_shape_);
    ::close(listener_);
}

void server::run(int stop) {
    for (;;) {
        std::array<pollfd, 2> watched{pollfd{.fd = listener_, .events = POLLIN, .revents = 0},
                                      pollfd{.fd = stop, .events = POLLIN, .revents = 0}};
        if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;
        if (watched[1].revents != 0) return;
        if (watched[0].revents != 0) accept_one();
    }
}

void server::accept_one() {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int descriptor =
        ::accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor < 0) {
        // Out of descriptors: a short pause instead of a busy loop; connections that end make room.
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) ::poll(nullptr, 0, 20);
        return;
    }
    const int on = 1;
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto guest =
        std::make_unique<arrival>(arrival{.owner = *this, .descriptor = descriptor, .loopback = is_loopback(peer)});
    {
        const std::lock_guard lock(mutex_);
        if (threads_ >= world_.chosen.connections_max) {
            ++world_.count.connections_refused;
            ::close(descriptor);
            return;
        }
        ++threads_;
        open_.insert(descriptor);
    }
    ++world_.count.connections_accepted;
    ++world_.count.connections_open;
    pthread_t thread{};
    if (pthread_create(&thread, &thread_shape_, thread_main, guest.get()) == 0) {
        guest.release();  // now the thread's
        return;
    }
    ++world_.count.connections_refused;
    --world_.count.connections_open;
    const std::lock_guard lock(mutex_);
    open_.erase(descriptor);
    --threads_;
    ::close(descriptor);
}

void* server::thread_main(void* argument) {
    const std::unique_ptr<arrival> guest(static_cast<arrival*>(argument));
    server& owner = guest->owner;
    owner.serve(*guest);
    --owner.world_.count.connections_open;
    const std::lock_guard lock(owner.mutex_);
    --owner.threads_;
    owner.gone_.notify_all();
    return nullptr;
}

// One connection, from the first byte to the last.
void server::serve(arrival& guest) {
    connection peer(guest.descriptor, tls_, guest.loopback);
    try {
        peer.handshake();
        request_reader reader(peer);
        try {
            bool again = true;
            while (again) {
                const auto asked = reader.next_head(world_.chosen.keep_alive);
                if (!asked) break;
                again = serve_one(world_, peer, reader, *asked);
                if (!again && !reader.body_finished()) peer.swallow_rest();
            }
        } catch (const malformed_request& wrong) {
            refuse_malformed(peer, wrong);
            peer.swallow_rest();
        }
    } catch (const client_left&) {
    } catch (const connection_cut&) {
    } catch (const std::exception& failure) {
        fmt::print(stderr, "claude-sim: a connection failed: {}\n", failure.what());
    }
    const std::lock_guard lock(mutex_);
    open_.erase(guest.descriptor);  // before the descriptor is closed and its number used again
}

bool server::close_all() {
    std::unique_lock lock(mutex_);
    for (const int descriptor : open_) ::shutdown(descriptor, SHUT_RDWR);
    return gone_.wait_for(lock, std::chrono::milliseconds(800), [this] { return threads_ == 0; });
}

}  // namespace sim
