// Host names to addresses without blocking a reactor: the system's resolver runs on a thread of its own, answers are
// kept for a named time, and an old answer is better than none. Addresses written as numbers never need the thread.
// Thread rule: `addresses` may be called from any thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace net {

struct endpoint {
    sockaddr_storage address{};
    socklen_t size = 0;
};

class resolver {
public:
    resolver(std::string host, std::uint16_t port, std::chrono::milliseconds refresh_every);
    ~resolver();

    // The addresses known now; empty until the first answer. IPv4 and IPv6 in the system's order.
    std::shared_ptr<const std::vector<endpoint>> addresses() const;
    // Waits for the first answer at most so long; used at start-up and by doctor.
    bool wait_first(std::chrono::milliseconds at_most) const;

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace net
