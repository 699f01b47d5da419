// Accepts connections and gives each its own thread with a small stack. Thousands of mostly sleeping threads are cheap
// here, and blocking code keeps every handler readable from top to bottom.
#pragma once

#include <openssl/types.h>
#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <unordered_set>

namespace sim {

struct state;

class server {
public:
    // Opens the listening socket; throws std::runtime_error with the reason. `tls` may be null.
    server(state& world, SSL_CTX* tls);
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    // host:port with the real port.
    const std::string& address() const { return address_; }

    // Accepts until `stop` (a descriptor) becomes readable.
    void run(int stop);

    // Ends all connections and waits for their threads. False when some are still there after a second.
    bool close_all();

private:
    struct arrival;
    static void* thread_main(void* argument);
    void accept_one();
    void serve(arrival& guest);

    state& world_;
    SSL_CTX* tls_;
    std::string address_;  // filled while listener_ is opened, so it stands first
    int listener_ = -1;
    pthread_attr_t thread_shape_{};

    std::mutex mutex_;  // guards what follows
    std::condition_variable gone_;
    std::unordered_set<int> open_;
    std::size_t threads_ = 0;
};

}  // namespace sim
