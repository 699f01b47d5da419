#include "net/resolver.hpp"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

namespace net {
namespace {

std::vector<endpoint> resolve(const std::string& host, std::uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    std::vector<endpoint> endpoints;
    if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return endpoints;
    for (const addrinfo* entry = found; entry; entry = entry->ai_next) {
        endpoint made;
        std::memcpy(&made.address, entry->ai_addr, entry->ai_addrlen);
        made.size = entry->ai_addrlen;
        endpoints.push_back(made);
    }
    freeaddrinfo(found);
    return endpoints;
}

}  // namespace

// Shared with the thread, which may be inside getaddrinfo (not interruptible) when the resolver goes away.
struct resolver::state {
    std::string host;
    std::uint16_t port;
    std::chrono::milliseconds refresh_every;
    mutable std::mutex mutex;
    mutable std::condition_variable changed;
    std::shared_ptr<const std::vector<endpoint>> known = std::make_shared<std::vector<endpoint>>();
    bool stopping = false;
};

resolver::resolver(std::string host, std::uint16_t port, std::chrono::milliseconds refresh_every)
    : state_(std::make_shared<state>()) {
    state_->host = std::move(host);
    state_->port = port;
    state_->refresh_every = refresh_every;
    auto numeric = resolve(state_->host, port, AI_NUMERICHOST);
    if (state_->host == "localhost") {  // always this machine, whatever a resolver would say (RFC 6761 6.3)
        numeric = resolve("127.0.0.1", port, AI_NUMERICHOST);
        for (const auto& second : resolve("::1", port, AI_NUMERICHOST)) numeric.push_back(second);
    }
    if (!numeric.empty()) {
        state_->known = std::make_shared<std::vector<endpoint>>(std::move(numeric));
        return;
    }
    std::thread([shared = state_] {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        for (;;) {
            auto fresh = resolve(shared->host, shared->port, AI_ADDRCONFIG);
            std::unique_lock lock(shared->mutex);
            const bool failed = fresh.empty();
            if (!failed) shared->known = std::make_shared<std::vector<endpoint>>(std::move(fresh));
            shared->changed.notify_all();
            // Failures are asked again soon: until then the last good answer serves.
            const auto pause =
                failed ? std::min(shared->refresh_every, std::chrono::milliseconds(1'000)) : shared->refresh_every;
            if (shared->changed.wait_for(lock, pause, [&] { return shared->stopping; })) return;
        }
    }).detach();
}

resolver::~resolver() {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
}

std::shared_ptr<const std::vector<endpoint>> resolver::addresses() const {
    const std::lock_guard lock(state_->mutex);
    return state_->known;
}

bool resolver::wait_first(std::chrono::milliseconds at_most) const {
    std::unique_lock lock(state_->mutex);
    state_->changed.wait_for(lock, at_most, [&] { return !state_->known->empty(); });
    return !state_->known->empty();
}

}  // namespace net
