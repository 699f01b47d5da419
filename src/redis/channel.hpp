// Short lines of text from each replica to all others, by Redis' publish and subscribe: "this job has changed".
//
// Nothing is promised: a line that is said while Redis is away, or over lines_max, is lost, and who relies on them
// looks for himself from time to time. What is said within a few milliseconds goes out together, each line once. A
// replica does not hear itself. One thread speaks with Redis and reconnects; nobody else ever waits for it.
//
// Thread rule: any thread; the listeners are called on the thread of this object and must be short.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>

#include "redis/connection.hpp"
#include "redis/options.hpp"

namespace redis {

class channel {
public:
    static constexpr std::size_t lines_max = 65'536;  // waiting to be said

    struct listeners {
        std::function<void(std::string_view line)> heard;
        // Once at the first connection, and at each loss and return: whether lines of others come.
        std::function<void(bool connected, std::string_view why)> report;
    };

    // `name` of the channel, the same on all replicas.
    channel(const options& settings, address where, std::string name, listeners tell);
    ~channel();   // stops
    void stop();  // what was said has gone out, if Redis is there; the counts stay
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;

    void say(std::string line);  // without a line feed

    struct counts {
        std::atomic<std::uint64_t> said{0};   // lines
        std::atomic<std::uint64_t> heard{0};  // lines of others
        std::atomic<std::uint64_t> lost{0};   // lines that were not said
    };
    const counts& counted() const { return counts_; }

private:
    void run();
    bool connect();
    outcome<void> say_all();
    outcome<void> hear();
    outcome<void> check_alive();
    void wait(int timeout_ms) const;
    int pause_ms() const;
    void lose(const std::string& why);
    void tell(bool connected, std::string_view why);

    const options settings_;
    const address address_;
    const std::string name_;
    const listeners tell_;
    const std::string self_;  // stands in front of our messages

    std::mutex mutex_;
    std::unordered_set<std::string> waiting_;
    std::atomic<bool> stopping_{false};
    int wake_fd_;

    // Of the thread.
    std::optional<connection> speaker_;
    std::optional<connection> listener_;
    std::optional<bool> told_;  // what `report` was told last
    bool pinged_ = false;       // and no answer yet
    std::int64_t said_ms_ = 0;
    std::int64_t heard_ms_ = 0;
    std::int64_t tried_ms_ = 0;
    counts counts_;

    std::thread thread_;  // last: it uses all of the above
};

}  // namespace redis
