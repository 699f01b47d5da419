// Limits shared by all replicas through Redis. One thread speaks with Redis; the request path never does.
//
//   redis::shared_limits shared(options, *redis::address_of(options), report);
//   limiter->share_with(shared);                 // each limiter, when it is made
//
// How slices are chosen: governance/rate_limit_shared.hpp. A round takes every limiter that has something to tell or to
// ask into one pipeline, every 20 to 50 ms, and at once when a request waits. Idle limiters cost nothing.
//
// When Redis cannot be reached, limiters work alone with the full limit on each replica, from what was known of the
// shared buckets; requests that wait are released at once. `report` hears of it once, and once when Redis is back;
// then the shared buckets take over the most used state that any replica knows, so that a restarted Redis does not
// give a second minute's worth away.
//
// Thread rule: any thread; `report` is called on the thread of this object. It must outlive the use of the limiters.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "governance/rate_limit.hpp"
#include "redis/connection.hpp"
#include "redis/options.hpp"

namespace redis {

class shared_limits final : public governance::shared_source {
public:
    // `available`: limits are shared from now on; else why not.
    using report = std::function<void(bool available, std::string_view why)>;

    // Starts the thread, which connects to `where`: what `address_of` (address.hpp) made of the settings.
    shared_limits(const options& settings, address where, report on_change);
    // Gives shares and places back to the others, if Redis is there, and joins the thread.
    ~shared_limits() override;
    shared_limits(const shared_limits&) = delete;
    shared_limits& operator=(const shared_limits&) = delete;

    void enlist(std::shared_ptr<governance::limiter> who, haste when) override;

    // Since the start. Any thread.
    struct counts {
        std::uint64_t round_trips = 0;
        std::uint64_t limiters_told = 0;
        std::uint64_t outages = 0;
    };
    counts counted() const;

private:
    using limiters = std::vector<std::shared_ptr<governance::limiter>>;

    void run();
    bool wait_for_work();  // false: the end
    void take_enlisted();
    bool connect();
    void make_rounds();
    outcome<void> talk(std::span<const std::shared_ptr<governance::limiter>> with);
    void send(std::string_view command, std::string_view script, const governance::limiter& of,
              const governance::shared_request& asked);
    void check_alive();
    void lose(std::string_view why);
    void leave();

    const options settings_;
    const address address_;
    const report report_;
    const std::string replica_;

    std::mutex mutex_;
    std::condition_variable changed_;
    limiters enlisted_;
    bool stopping_ = false;

    // Of the thread.
    std::unordered_map<const governance::limiter*, std::shared_ptr<governance::limiter>> active_;
    std::optional<connection> connection_;
    std::string digest_;         // of the script, as this connection knows it
    std::uint64_t session_ = 0;  // counts connections
    bool lost_ = false;          // and said so
    std::int64_t talked_at_us_ = 0;
    std::int64_t tried_at_us_ = 0;

    std::atomic<std::uint64_t> round_trips_{0};
    std::atomic<std::uint64_t> limiters_told_{0};
    std::atomic<std::uint64_t> outages_{0};

    std::thread thread_;  // last: it uses all of the above
};

}  // namespace redis
