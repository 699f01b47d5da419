// Limits shared by several replicas through a real Redis: what they admit together, and how places of running requests
// travel between them. That is exact while Redis answers in time. On a machine too busy for that some requests pass on
// trust; they are counted, and nothing more than them is allowed for.
#include "redis/shared_limits.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "limit_replica.hpp"

namespace contract {
namespace {

using namespace std::chrono_literals;

struct admission {
    std::int64_t at_us;
    std::int64_t amount;
};
using admissions = std::vector<admission>;

// Asks as fast as it may until the end. What is used differs from the estimate by `more`.
admissions full_demand(limit_replica& at, std::int64_t estimate, std::int64_t more, std::int64_t until_us) {
    admissions admitted;
    while (now_us() < until_us) {
        if (const auto refused = at.begin(estimate)) {
            pause(std::clamp<std::int64_t>(refused->wait_us, 100, 5'000));
            continue;
        }
        admitted.push_back({now_us(), estimate == 0 ? 1 : estimate + more});
        at.finish(estimate, estimate + more);
    }
    return admitted;
}

// Four replicas of each limit, all at full demand at the same time. Beside each other they must admit what one bucket
// would: a minute's worth at once and then what refills, but for one part in a hundred of the limit at any moment.
struct demand {
    governance::limit what;
    std::int64_t limit = 0;
    std::int64_t estimate = 0;
    std::int64_t more = 0;  // beyond the estimate is used
};
void admits_what_one_bucket_would(const std::vector<demand>& demands, seconds length) {
    std::vector<std::vector<std::unique_ptr<limit_replica>>> replicas(demands.size());
    for (std::size_t i = 0; i < demands.size(); ++i) {
        for (int copy = 0; copy < 4; ++copy) replicas[i].push_back(std::make_unique<limit_replica>(demands[i].what));
    }
    for (auto& same : replicas)
        for (auto& each : same) each->ready();
    const auto from = now_us();
    const auto until = from + microseconds(length).count();
    std::vector<std::vector<admissions>> admitted(demands.size(), std::vector<admissions>(4));
    on_threads(static_cast<int>(4 * demands.size()), [&](int n) {
        const auto i = static_cast<std::size_t>(n) / 4, copy = static_cast<std::size_t>(n) % 4;
        admitted[i][copy] = full_demand(*replicas[i][copy], demands[i].estimate, demands[i].more, until);
    });
    for (std::size_t i = 0; i < demands.size(); ++i) {
        admissions all;
        std::uint64_t round_trips = 0;
        std::uint64_t on_trust = 0;
        for (std::size_t copy = 0; copy < 4; ++copy) {
            all.insert(all.end(), admitted[i][copy].begin(), admitted[i][copy].end());
            round_trips += replicas[i][copy]->shared.counted().round_trips;
            on_trust += replicas[i][copy]->shared.passed_on_trust();
            EXPECT_EQ(replicas[i][copy]->outages, 0);
        }
        std::ranges::sort(all, {}, &admission::at_us);
        governance::token_bucket one;
        one.set_rate(demands[i].limit);
        double over = 0;
        std::int64_t total = 0;
        for (const auto& each : all) {
            total += each.amount;
            one.charge(each.amount, each.at_us);
            over = std::max(over, static_cast<double>(one.debt_us(each.at_us)) / 60e6);
        }
        const auto limit = static_cast<double>(demands[i].limit);
        const auto ideal = limit * (1 + static_cast<double>(until - from) / 60e6);
        std::printf("%8.0f a minute: %lld admitted, %.0f by one bucket; at most %.2f %% of the limit over; ", limit,
                    static_cast<long long>(total), ideal, 100 * over);
        std::printf("%llu round trips, %llu passed on trust\n", static_cast<unsigned long long>(round_trips),
                    static_cast<unsigned long long>(on_trust));
        const auto each = static_cast<double>(std::max<std::int64_t>(1, demands[i].estimate + demands[i].more));
        const auto allowed = 0.01 * limit + static_cast<double>(on_trust) * each;
        EXPECT_NEAR(static_cast<double>(total), ideal, allowed);
        EXPECT_LE(over * limit, allowed);
    }
}

TEST(shared_limits, four_replicas_admit_the_requests_that_one_would) {
    std::vector<demand> demands;
    for (const std::int64_t limit : {600, 6'000, 60'000}) {
        demands.push_back({.what = limit_of({.requests_per_minute = limit}), .limit = limit, .estimate = 0});
    }
    admits_what_one_bucket_would(demands, 8s);
}

TEST(shared_limits, four_replicas_admit_the_tokens_that_one_would_whatever_the_estimates_were) {
    std::vector<demand> demands;
    for (const std::int64_t more : {-1'500, 0, 1'500}) {
        demands.push_back({.what = limit_of({.input_tokens_per_minute = 2'000'000}),
                           .limit = 2'000'000,
                           .estimate = 5'000,
                           .more = more});
    }
    admits_what_one_bucket_would(demands, 8s);
}

TEST(shared_limits, a_cold_buckets_first_request_passes) {
    limit_replica one(limit_of({.requests_per_minute = 1, .input_tokens_per_minute = 1'000}));
    one.ready();
    EXPECT_FALSE(one.begin(1'000));
    std::printf("a cold bucket's first request waited %lld us\n", static_cast<long long>(one.longest_us));
    const auto refused = one.begin(1);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->what, governance::limit_refusal::kind::requests);
}

TEST(shared_limits, an_amount_over_the_limit_passes_once_and_all_replicas_wait_for_it) {
    const auto what = limit_of({.input_tokens_per_minute = 60'000});
    limit_replica one(what), other(what);
    EXPECT_FALSE(one.ready().begin(120'000));
    one.finish(120'000);
    EXPECT_TRUE(eventually([&] {
        const auto refused = other.ready().begin(1);
        if (!refused) other.limiter->undo(1, now_us());
        return refused && refused->wait_us > 50'000'000;
    }));
}

TEST(shared_limits, a_refused_request_passes_after_the_time_it_was_told) {
    const auto what = limit_of({.requests_per_minute = 120});
    limit_replica one(what), other(what);
    one.ready();
    other.ready();
    EXPECT_NEAR(one.passing(60) + other.passing(60), 120, 4) << "some are still granted to the first one";
    pause(500'000);
    one.passing(120);
    for (int i = 0; i < 4; ++i) {
        auto& asks = i % 2 ? one : other;
        const auto refused = asks.begin();
        ASSERT_TRUE(refused);
        EXPECT_GT(refused->wait_us, 0);
        EXPECT_LE(refused->wait_us, 501'000);
        // Told from a time before this one, so it may pass a little before.
        const auto due = now_us() + refused->wait_us - 10'000;
        pause(refused->wait_us / 2);
        if (!asks.begin()) {
            EXPECT_GE(now_us(), due) << "it was told to wait much longer than needed";
            continue;
        }
        pause(due + 10'000 - now_us());
        EXPECT_FALSE(asks.begin());
    }
}

TEST(shared_limits, what_an_idle_replica_was_granted_comes_to_the_others) {
    const auto what = limit_of({.requests_per_minute = 10'000});
    limit_replica one(what), other(what);
    // A pace that asks for slices, and then nothing any more.
    const int before = one.ready().passing(3'000);
    EXPECT_EQ(before, 3'000);
    pause(1'000'000);
    const auto left = other.ready().passing(8'000);
    EXPECT_NEAR(left, 7'000 + 10'000 * 1.2 / 60, 100) << "about a second and a fifth has refilled";
}

TEST(shared_limits, a_replica_that_was_idle_is_bound_by_what_the_others_did) {
    const auto what = limit_of({.requests_per_minute = 600, .output_tokens_per_minute = 1'000});
    limit_replica busy(what), idle(what);
    busy.ready();
    idle.ready();
    EXPECT_EQ(idle.passing(1), 1);
    pause(600'000);
    EXPECT_FALSE(busy.begin());
    busy.finish(0, {}, 1'500);
    pause(100'000);
    const auto refused = idle.begin();
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->what, governance::limit_refusal::kind::output_tokens);
    EXPECT_NEAR(static_cast<double>(refused->wait_us), 29.9e6, 0.3e6);
}

TEST(shared_limits, what_a_caller_is_told_is_of_all_replicas) {
    const auto what = limit_of({.requests_per_minute = 1'000});
    limit_replica one(what), other(what);
    one.ready();
    other.ready();
    EXPECT_EQ(one.passing(500), 500);
    EXPECT_EQ(other.passing(1), 1);
    const auto told = other.limiter->read(governance::limit_refusal::kind::requests, now_us());
    EXPECT_EQ(told.limit, 1'000);
    EXPECT_NEAR(static_cast<double>(told.remaining), 499, 40) << "what the other holds ahead counts as used";
    EXPECT_NEAR(static_cast<double>(told.full_in_us), 30e6, 3e6);
}

TEST(shared_limits, a_changed_limit_holds_for_all_replicas) {
    const auto what = limit_of({.requests_per_minute = 60});
    limit_replica one(what), other(what);
    one.ready();
    other.ready();
    EXPECT_NEAR(one.passing(40) + other.passing(40), 60, 2);
    one.limiter->set({.requests_per_minute = 600});
    other.limiter->set({.requests_per_minute = 600});
    pause(1'000'000);
    EXPECT_NEAR(one.passing(40) + other.passing(40), 10, 3) << "ten a second, but no second minute's worth";
    one.limiter->set({});
    EXPECT_EQ(one.passing(1'000), 1'000);
}

TEST(shared_places, replicas_together_never_run_more) {
    const auto what = limit_of({.concurrent_requests = 5});
    std::vector<std::unique_ptr<limit_replica>> replicas;
    for (int i = 0; i < 4; ++i) replicas.push_back(std::make_unique<limit_replica>(what));
    for (auto& each : replicas) each->ready();
    std::atomic<std::int64_t> running{0}, most{0}, passed{0};
    const auto until = now_us() + 3'000'000;
    on_threads(8, [&](int n) {
        auto& mine = *replicas[static_cast<std::size_t>(n) % 4];
        while (now_us() < until) {
            if (mine.begin()) {
                pause(1'000);
                continue;
            }
            const auto now_running = running.fetch_add(1) + 1;
            most.store(std::max(most.load(), now_running));
            passed.fetch_add(1);
            pause(2'000 * (1 + n % 3));
            running.fetch_sub(1);
            mine.finish();
        }
    });
    std::uint64_t on_trust = 0;
    for (const auto& each : replicas) on_trust += each->shared.passed_on_trust();
    std::printf("%lld requests in 3 s, at most %lld at a time, %llu passed on trust\n", static_cast<long long>(passed),
                static_cast<long long>(most), static_cast<unsigned long long>(on_trust));
    EXPECT_GE(most, 5) << "all places are used";
    EXPECT_LE(most, 5 + static_cast<std::int64_t>(on_trust));
}

TEST(shared_places, a_place_that_ends_on_one_replica_is_soon_free_on_another) {
    const auto what = limit_of({.concurrent_requests = 3});
    limit_replica one(what), other(what);
    one.ready();
    other.ready();
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(one.begin());
    const auto refused = other.begin();
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->what, governance::limit_refusal::kind::concurrent);
    EXPECT_EQ(refused->limit, 3);
    one.finish();
    const auto ended = now_us();
    EXPECT_TRUE(eventually([&] { return !other.begin(); }));
    std::printf("free elsewhere after %lld ms\n", static_cast<long long>((now_us() - ended) / 1'000));
    EXPECT_TRUE(other.begin());
}

// Takes places in a process of its own, says so and waits for its end.
pid_t process_with_places(const governance::limit& what, const redis::options& settings, int places) {
    int said[2];
    if (pipe(said) != 0) throw std::runtime_error("no pipe");
    const pid_t child = fork();
    if (child == 0) {
        limit_replica mine(what, settings);
        mine.ready();
        char taken = 0;
        for (int i = 0; i < places; ++i)
            if (!mine.begin()) ++taken;
        if (write(said[1], &taken, 1) == 1) ::pause();
        _exit(1);
    }
    char taken = 0;
    EXPECT_EQ(read(said[0], &taken, 1), 1);
    EXPECT_EQ(taken, places);
    close(said[0]);
    close(said[1]);
    return child;
}

TEST(shared_places, those_of_a_killed_replica_come_back_when_their_lease_is_over) {
    const auto what = limit_of({.concurrent_requests = 4});
    auto settings = settings_of_test();
    settings.place_lease = 1'000ms * time_scale();
    const auto child = process_with_places(what, settings, 3);
    limit_replica other(what, settings);
    EXPECT_FALSE(other.ready().begin());
    // While that replica lives it renews its lease.
    for (const auto until = now_us() + 2'000'000 * time_scale(); now_us() < until; pause(50'000))
        EXPECT_TRUE(other.begin());
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const auto killed = now_us();
    EXPECT_TRUE(eventually([&] { return !other.begin(); }));
    std::printf("places of a killed replica came back after %lld ms\n",
                static_cast<long long>((now_us() - killed) / 1'000));
    EXPECT_FALSE(other.begin());
    EXPECT_FALSE(other.begin());
    EXPECT_TRUE(other.begin());
}

TEST(shared_places, those_of_a_replica_that_ends_in_order_come_back_at_once) {
    const auto what = limit_of({.requests_per_minute = 600, .concurrent_requests = 2});
    auto leaving = std::make_unique<limit_replica>(what);
    limit_replica other(what);
    leaving->ready();
    other.ready();
    EXPECT_FALSE(leaving->begin());
    EXPECT_FALSE(leaving->begin());
    EXPECT_TRUE(other.begin());
    leaving.reset();
    EXPECT_TRUE(eventually([&] { return !other.begin(); }, 500ms));
}

}  // namespace
}  // namespace contract
