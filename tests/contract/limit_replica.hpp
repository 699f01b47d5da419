// A replica as the tests of shared limits see it: a redis::shared_limits with one limiter, and a caller that asks,
// parks and retries as the gateway does.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "database_fixture.hpp"
#include "redis/shared_limits.hpp"

namespace contract {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline std::int64_t now_us() {
    return std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline void pause(std::int64_t us) { std::this_thread::sleep_for(microseconds(us)); }

inline bool eventually(const std::function<bool()>& holds, milliseconds within = seconds(5)) {
    const auto end = now_us() + microseconds(within).count() * time_scale();
    while (now_us() < end) {
        if (holds()) return true;
        pause(1'000);
    }
    return holds();
}

// Another one at each call: limiters of one name are one limiter.
inline governance::limit limit_of(governance::rate_limits amounts) {
    static std::atomic<int> made{0};
    return {.where = governance::scope::team,
            .scope_id = std::to_string(getpid()) + "-" + std::to_string(made.fetch_add(1)),
            .model_class = "",
            .amounts = amounts};
}

inline redis::options settings_of_test() {
    redis::options settings;
    settings.url = base::secret(environment("TEST_REDIS_URL"));
    settings.ca_file = environment("TEST_TLS_REDIS_CA_FILE");  // of a rediss URL only
    settings.reconnect_every = milliseconds(50);
    settings.timeout = seconds(5);  // a busy machine is no outage
    return settings;
}

struct limit_replica {
    explicit limit_replica(const governance::limit& what, const redis::options& settings = settings_of_test())
        : shared(settings, redis::address_of(settings).value(),
                 [this](bool available, std::string_view) { (available ? recoveries : outages).fetch_add(1); }),
          limiter(std::make_shared<governance::limiter>(what)) {
        limiter->share_with(shared);
    }
    // Most tests begin when the replica has found Redis.
    limit_replica& ready() {
        EXPECT_TRUE(eventually([&] { return shared.is_available(); })) << "is Redis there? tools/with_servers";
        return *this;
    }

    // Parks while the shared state is asked, at most pending_max. Keeps how long that took at most.
    std::optional<governance::limit_refusal> begin(std::int64_t input_estimate = 0) {
        governance::limiter* const all[] = {limiter.get()};
        const auto began = now_us();
        const auto give_up_at = began + microseconds(governance::pending_max).count();
        auto unsure = governance::when_unsure::ask;
        for (;;) {
            const auto refused = governance::begin_all(all, input_estimate, now_us(), unsure);
            if (refused && refused->why.pending) {
                if (!park(*refused, give_up_at)) unsure = governance::when_unsure::decide;
                continue;
            }
            longest_us.store(std::max(longest_us.load(), now_us() - began));
            if (!refused) return {};
            return refused->why;
        }
    }
    void finish(std::int64_t input_estimate = 0, std::optional<std::int64_t> input_used = {}, std::int64_t output = 0) {
        limiter->finish(input_estimate, input_used, output, now_us());
    }
    // How many of so many requests pass, one after the other.
    int passing(int requests, std::int64_t input_estimate = 0) {
        int passed = 0;
        for (int i = 0; i < requests; ++i) {
            if (begin(input_estimate)) continue;
            ++passed;
            finish(input_estimate);
        }
        return passed;
    }

    std::atomic<int> outages{0}, recoveries{0};
    std::atomic<std::int64_t> longest_us{0}, parked{0};
    redis::shared_limits shared;
    std::shared_ptr<governance::limiter> limiter;

private:
    // False: waited long enough.
    bool park(const governance::refused_begin& refused, std::int64_t give_up_at) {
        struct waiting {
            std::mutex mutex;
            std::condition_variable changed;
            bool answered = false;
        };
        const auto state = std::make_shared<waiting>();
        const bool waits = refused.by->when_answered(refused.why.ticket, [state] {
            const std::lock_guard lock(state->mutex);
            state->answered = true;
            state->changed.notify_one();
        });
        if (!waits) return true;
        parked.fetch_add(1);
        std::unique_lock lock(state->mutex);
        const auto left = microseconds(std::max<std::int64_t>(0, give_up_at - now_us()));
        return state->changed.wait_for(lock, left, [&] { return state->answered; });
    }
};

}  // namespace contract
