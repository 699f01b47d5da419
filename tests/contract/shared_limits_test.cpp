// Limits shared by several replicas through a real Redis. A replica is a redis::shared_limits with limiters of its own
// and threads that ask, park and retry as the gateway does.
#include "redis/shared_limits.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "redis_server.hpp"

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace std::chrono_literals;

std::int64_t now_us() {
    return std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool eventually(const std::function<bool()>& holds, milliseconds within = 5s) {
    for (const auto end = now_us() + microseconds(within).count(); now_us() < end;) {
        if (holds()) return true;
        std::this_thread::sleep_for(1ms);
    }
    return holds();
}

governance::limit limit_of(const std::string& name, governance::rate_limits amounts) {
    return {.where = governance::scope::team, .scope_id = name, .model_class = "", .amounts = amounts};
}

// One gateway: a source and a limiter.
struct replica {
    replica(const contract::redis_server& server, const governance::limit& what, redis::options settings = {})
        : shared(settings, server.address(),
                 [this](bool available, std::string_view) { (available ? recoveries : outages).fetch_add(1); }) {
        limiter = std::make_shared<governance::limiter>(what);
        limiter->share_with(shared);
        EXPECT_TRUE(eventually([&] { return shared.is_available(); }));
    }

    // As the gateway asks: parks while the shared state is asked, at most pending_max. How long that took is kept.
    std::optional<governance::limit_refusal> begin(std::int64_t estimate) {
        governance::limiter* const all[] = {limiter.get()};
        const auto began = now_us();
        const auto give_up_at = began + microseconds(governance::pending_max).count();
        auto unsure = governance::when_unsure::ask;
        for (;;) {
            const auto refused = governance::begin_all(all, estimate, now_us(), unsure);
            if (!refused || !refused->why.pending) {
                const auto took = now_us() - began;
                if (took > longest_us.load()) longest_us.store(took);
                if (!refused) return {};
                return refused->why;
            }
            struct parked_state {
                std::mutex mutex;
                std::condition_variable changed;
                bool answered = false;
            };
            const auto state = std::make_shared<parked_state>();
            parked.fetch_add(1);
            if (!refused->by->when_answered(refused->why.ticket, [state] {
                    const std::lock_guard lock(state->mutex);
                    state->answered = true;
                    state->changed.notify_one();
                }))
                continue;
            std::unique_lock lock(state->mutex);
            const auto left = microseconds(std::max<std::int64_t>(0, give_up_at - now_us()));
            if (!state->changed.wait_for(lock, left, [&] { return state->answered; }))
                unsure = governance::when_unsure::decide;
        }
    }

    std::atomic<int> outages{0}, recoveries{0};
    std::atomic<std::int64_t> longest_us{0}, parked{0};
    redis::shared_limits shared;
    std::shared_ptr<governance::limiter> limiter;
};

// Asks as fast as it may until the end; every admission is noted.
struct admission {
    std::int64_t at_us;
    std::int64_t amount;
};
std::vector<admission> full_demand(replica& at, std::int64_t estimate, std::int64_t amount, std::int64_t until_us) {
    std::vector<admission> admitted;
    while (now_us() < until_us) {
        if (const auto refused = at.begin(estimate)) {
            std::this_thread::sleep_for(microseconds(std::clamp<std::int64_t>(refused->wait_us, 100, 5'000)));
        } else {
            admitted.push_back({now_us(), amount});
            at.limiter->finish(estimate, {}, 0, now_us());
        }
    }
    return admitted;
}

struct tally {
    std::int64_t total = 0;
    double over = 0;   // the most that was ever admitted beyond what one bucket would have, in parts of the limit
    double ideal = 0;  // what one bucket would have admitted
};
tally compare(std::vector<admission> admitted, std::int64_t limit, std::int64_t from_us, std::int64_t until_us) {
    std::ranges::sort(admitted, {}, &admission::at_us);
    governance::token_bucket one;
    one.set_rate(limit);
    tally found;
    for (const auto& each : admitted) {
        found.total += each.amount;
        one.charge(each.amount, each.at_us);
        found.over = std::max(found.over, static_cast<double>(one.debt_us(each.at_us)) / 60e6);
    }
    found.ideal = static_cast<double>(limit) * (1 + static_cast<double>(until_us - from_us) / 60e6);
    return found;
}

struct run_of_four {
    std::vector<admission> admitted;
    std::int64_t from_us = 0, until_us = 0, longest_us = 0, parked = 0;
    std::uint64_t round_trips = 0;
};
run_of_four four_at_full_demand(const contract::redis_server& server, const governance::limit& what,
                                std::int64_t estimate, std::int64_t amount, seconds length) {
    std::vector<std::unique_ptr<replica>> replicas;
    for (int i = 0; i < 4; ++i) replicas.push_back(std::make_unique<replica>(server, what));
    run_of_four run;
    run.from_us = now_us();
    run.until_us = run.from_us + microseconds(length).count();
    std::mutex mutex;
    std::vector<std::thread> threads;
    for (auto& each : replicas) {
        threads.emplace_back([&] {
            auto mine = full_demand(*each, estimate, amount, run.until_us);
            const std::lock_guard lock(mutex);
            run.admitted.insert(run.admitted.end(), mine.begin(), mine.end());
        });
    }
    for (auto& each : threads) each.join();
    for (auto& each : replicas) {
        run.round_trips += each->shared.counted().round_trips;
        run.longest_us = std::max(run.longest_us, each->longest_us.load());
        run.parked += each->parked.load();
        EXPECT_EQ(each->outages.load(), 0);
    }
    return run;
}

void print(const char* what, const run_of_four& run, const tally& found) {
    std::printf(
        "%s: admitted %lld of %.0f (%+.2f %%), at most %.2f %% of the limit over, %llu round trips, "
        "%lld parked, longest wait %lld us\n",
        what, static_cast<long long>(found.total), found.ideal,
        100 * (static_cast<double>(found.total) / found.ideal - 1), 100 * found.over,
        static_cast<unsigned long long>(run.round_trips), static_cast<long long>(run.parked),
        static_cast<long long>(run.longest_us));
}

class shared_limits_of_requests : public testing::TestWithParam<std::int64_t> {};

TEST_P(shared_limits_of_requests, four_replicas_admit_what_one_bucket_would) {
    contract::redis_server server;
    const auto limit = GetParam();
    const auto run = four_at_full_demand(server, limit_of("demand", {.requests_per_minute = limit}), 0, 1, 10s);
    const auto found = compare(run.admitted, limit, run.from_us, run.until_us);
    print("requests", run, found);
    EXPECT_NEAR(static_cast<double>(found.total), found.ideal, 0.01 * static_cast<double>(limit));
    EXPECT_LE(found.over, 0.01);
}
INSTANTIATE_TEST_SUITE_P(limits, shared_limits_of_requests, testing::Values(600, 6'000, 60'000));

}  // namespace
