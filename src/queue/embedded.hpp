// The queue in this process: forgets everything at its end. One lock; a call takes microseconds.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "queue/queue.hpp"

namespace queue {

class embedded_queue : public port {
public:
    explicit embedded_queue(const options& settings);

    std::vector<std::size_t> send(std::span<const message> messages) override;
    std::vector<delivery> receive(std::size_t count, std::chrono::milliseconds at_most) override;
    void extend(std::span<const std::string> receipts, std::chrono::seconds hidden_for) override;
    void remove(std::span<const std::string> receipts) override;
    depth look() override;
    std::size_t redrive(std::size_t count) override;
    void stop() override;

private:
    using clock = std::chrono::steady_clock;
    using id = std::uint64_t;
    struct entry {
        std::string body;
        std::uint32_t receives = 0;
        bool hidden = false;      // was received; else it waits or is delayed
        clock::time_point due{};  // its place in `later_`, when it is there
    };

    void put(id which, entry& what, clock::time_point due);
    void wake_due(clock::time_point now);
    entry* find(const std::string& receipt, id& which);

    const options settings_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    id next_ = 1;
    std::unordered_map<id, entry> entries_;
    std::deque<id> waiting_;
    std::set<std::pair<clock::time_point, id>> later_;  // delayed and hidden ones
    std::uint64_t in_flight_ = 0;                       // the hidden ones
    std::deque<std::string> dead_;
};

}  // namespace queue
