// The half of a limiter that works on a share, against a shared state in memory: one bucket a kind, as Redis has them.
// What Redis itself does is tested by tests/contract/shared_limits_test.cpp.
#include "governance/rate_limit_shared.hpp"

#include <gtest/gtest.h>

#include <latch>
#include <mutex>
#include <thread>
#include <vector>

#include "governance/rate_limit.hpp"

namespace governance {
namespace {

constexpr std::int64_t second = 1'000'000;
constexpr std::int64_t minute = 60 * second;

class memory_source final : public shared_source {
public:
    void enlist(std::shared_ptr<limiter>, haste when) override {
        const std::lock_guard lock(mutex_);
        (when == haste::now ? calls_now : calls_soon) += 1;
    }
    void be_available(bool is) { available_.store(is); }
    void be_asked_at(std::int64_t us) { asked_at_us_.store(us); }

    // A round with one limiter: what it asks is granted as far as it is there.
    shared_request round(limiter& with, std::int64_t now_us) {
        const auto asked = with.ask(now_us, 1, 3 * second);
        shared_answer said;
        for (std::size_t i = 0; i < asked.buckets.size(); ++i) {
            const auto& part = asked.buckets[i];
            buckets[i].set_rate(part.per_minute);
            buckets[i].charge(part.charge, now_us);
            const auto there = buckets[i].remaining(now_us);
            if (part.want > 0 && there >= part.need) said.buckets[i].granted = std::min(part.want, there);
            said.buckets[i].granted += std::min(part.ahead, (there - said.buckets[i].granted) / 16);
            buckets[i].charge(said.buckets[i].granted, now_us);
            said.buckets[i].missing_ns = buckets[i].missing_ns(now_us);
        }
        const auto free = asked.places_max - asked.places_held - places_elsewhere;
        said.places_granted = std::max<std::int64_t>(0, std::min(free, asked.places_want));
        said.places_free = free - said.places_granted;
        with.answer(said, now_us);
        with.wake_waiting();
        return asked;
    }

    token_bucket buckets[3];
    std::int64_t places_elsewhere = 0;
    int calls_now = 0, calls_soon = 0;

private:
    std::mutex mutex_;
};

struct shared_limiter : testing::Test {
    std::shared_ptr<limiter> make(rate_limits amounts) {
        auto made = std::make_shared<limiter>(
            limit{.where = scope::team, .scope_id = "x", .model_class = "", .amounts = amounts});
        source.be_available(true);
        made->share_with(source);
        return made;
    }
    memory_source source;
    std::int64_t now = 10 * minute;
};

TEST_F(shared_limiter, a_cold_bucket_asks_and_then_passes) {
    const auto of = make({.requests_per_minute = 2, .input_tokens_per_minute = 1'000, .concurrent_requests = 1});
    auto refused = of->begin(600, now);
    ASSERT_TRUE(refused);
    EXPECT_TRUE(refused->pending);
    EXPECT_EQ(source.calls_now, 1);
    EXPECT_TRUE(of->is_due(now));
    int woken = 0;
    EXPECT_TRUE(of->when_answered(refused->ticket, [&] { ++woken; }));
    EXPECT_EQ(woken, 0);
    const auto asked = source.round(*of, now);
    EXPECT_EQ(asked.buckets[0].want, 1) << "one round asks for everything that lacks";
    EXPECT_EQ(asked.buckets[1].want, 600);
    EXPECT_EQ(asked.places_want, 1);
    EXPECT_EQ(woken, 1);
    EXPECT_FALSE(of->when_answered(refused->ticket, [&] { ++woken; })) << "answered already";
    EXPECT_FALSE(of->begin(600, now));
    EXPECT_EQ(woken, 1);
    EXPECT_EQ(of->running(), 1);
}

TEST_F(shared_limiter, refuses_with_the_shared_buckets_wait) {
    const auto of = make({.requests_per_minute = 60});
    source.buckets[0].set_rate(60);
    source.buckets[0].charge(60, now);
    ASSERT_TRUE(of->begin(0, now)->pending);
    source.round(*of, now);
    const auto refused = of->begin(0, now);
    ASSERT_TRUE(refused);
    EXPECT_FALSE(refused->pending);
    EXPECT_EQ(refused->wait_us, second);
    EXPECT_EQ(refused->limit, 60);
    EXPECT_TRUE(of->is_due(now + 20'000)) << "who refuses must know the present";
    EXPECT_TRUE(of->begin(0, now + second)->pending) << "it is there now: ask";
    source.round(*of, now + second);
    EXPECT_FALSE(of->begin(0, now + second));
}

TEST_F(shared_limiter, what_was_used_without_asking_is_told_and_refuses_when_it_is_debt) {
    const auto of = make({.requests_per_minute = 100, .output_tokens_per_minute = 1'000});
    ASSERT_TRUE(of->begin(0, now)->pending);
    source.round(*of, now);
    ASSERT_FALSE(of->begin(0, now));
    of->finish(0, {}, 1'500, now);
    EXPECT_TRUE(of->is_due(now + 50'000));
    const auto refused = of->begin(0, now);
    ASSERT_TRUE(refused) << "its own debt is known before it is told";
    EXPECT_EQ(refused->what, limit_refusal::kind::output_tokens);
    EXPECT_EQ(refused->wait_us, 30 * second);
    EXPECT_EQ(source.round(*of, now).buckets[2].charge, 1'500);
    EXPECT_EQ(source.buckets[2].debt_us(now), 30 * second);
    EXPECT_EQ(of->begin(0, now)->wait_us, 30 * second);
    EXPECT_EQ(source.round(*of, now).buckets[2].charge, 0) << "told once";
}

TEST_F(shared_limiter, corrections_change_the_share) {
    const auto of = make({.input_tokens_per_minute = 1'000});
    ASSERT_TRUE(of->begin(500, now)->pending);
    source.round(*of, now);
    ASSERT_FALSE(of->begin(500, now));
    of->finish(500, 200, 0, now);
    EXPECT_FALSE(of->begin(300, now)) << "what was given back may be used at once";
    of->finish(300, 700, 0, now);
    EXPECT_EQ(source.round(*of, now).buckets[1].charge, 400);
    EXPECT_EQ(source.buckets[1].remaining(now) - of->leave().buckets[1].charge, 100);
}

TEST_F(shared_limiter, asks_ahead_at_its_pace_and_gives_back_when_idle) {
    const auto of = make({.requests_per_minute = 600'000});
    const auto pass = [&](int requests) {
        for (int i = 0; i < requests; ++i) {
            while (const auto refused = of->begin(0, now)) {
                ASSERT_TRUE(refused->pending);
                source.round(*of, now);
            }
            of->finish(0, 0, 0, now);
        }
    };
    for (int i = 0; i < 20; ++i) {
        pass(50);
        now += 50'000;
        if (of->is_due(now)) source.round(*of, now);
    }
    const auto asked = source.round(*of, now);
    EXPECT_EQ(asked.buckets[0].want, 0);
    for (int i = 0; i < 50; ++i) EXPECT_FALSE(of->begin(0, now)) << "a thousand a second: fifty are there";
    for (int i = 0; i < 50; ++i) of->finish(0, 0, 0, now);
    int rounds = 0;
    while (!of->try_rest(now) && rounds < 100) {
        now += 50'000;
        ASSERT_TRUE(of->is_due(now)) << "has something to give back";
        source.round(*of, now);
        ++rounds;
        now += 50'000;
    }
    EXPECT_LT(rounds, 10);
    now += minute;
    EXPECT_FALSE(of->is_due(now));
    EXPECT_EQ(source.buckets[0].remaining(now), 600'000);
    const auto before = source.calls_now;
    EXPECT_TRUE(of->begin(0, now)->pending);
    EXPECT_EQ(source.calls_now, before + 1) << "and is enlisted again by its next use";
}

TEST_F(shared_limiter, nothing_is_lost_or_made_by_many_rounds) {
    const auto of = make({.requests_per_minute = 6'000, .input_tokens_per_minute = 60'000});
    std::int64_t passed = 0, used = 0;
    for (int i = 0; i < 5'000; ++i) {
        const std::int64_t estimate = 1 + i * 7 % 20;
        if (!of->begin(estimate, now)) {
            const std::int64_t truth = i % 11;
            of->finish(estimate, truth, 0, now);
            ++passed;
            used += truth;
        }
        if (of->is_due(now)) source.round(*of, now);
    }
    const auto left = of->leave();
    EXPECT_EQ(6'000 - source.buckets[0].remaining(now) + left.buckets[0].charge, passed);
    EXPECT_EQ(60'000 - source.buckets[1].remaining(now) + left.buckets[1].charge, used);
}

TEST_F(shared_limiter, what_a_refused_request_would_have_taken_is_not_asked_for) {
    const auto of = make({.requests_per_minute = 1'000, .input_tokens_per_minute = 100});
    ASSERT_TRUE(of->begin(100, now)->pending);
    source.round(*of, now);
    ASSERT_FALSE(of->begin(100, now));
    for (int i = 0; i < 100; ++i) {
        const auto refused = of->begin(100, now);
        ASSERT_TRUE(refused);
        EXPECT_FALSE(refused->pending);
        EXPECT_EQ(refused->what, limit_refusal::kind::input_tokens);
    }
    EXPECT_EQ(source.round(*of, now).buckets[0].want, 0);
}

TEST_F(shared_limiter, who_waited_enough_is_decided_by_what_is_known_and_told_later) {
    const auto of = make({.requests_per_minute = 2});
    EXPECT_FALSE(of->begin(0, now, when_unsure::decide));
    EXPECT_FALSE(of->begin(0, now, when_unsure::decide));
    const auto refused = of->begin(0, now, when_unsure::decide);
    ASSERT_TRUE(refused);
    EXPECT_FALSE(refused->pending);
    EXPECT_EQ(refused->wait_us, 30 * second);
    EXPECT_EQ(source.passed_on_trust(), 2u);
    EXPECT_EQ(source.round(*of, now).buckets[0].charge, 2);
    EXPECT_EQ(source.buckets[0].remaining(now), 0);
}

TEST_F(shared_limiter, an_answer_that_is_overdue_is_not_waited_for) {
    const auto of = make({.requests_per_minute = 2, .concurrent_requests = 5});
    source.be_asked_at(now - 1'000);
    EXPECT_TRUE(of->begin(0, now)->pending);
    source.be_asked_at(now - 60'000);
    EXPECT_FALSE(of->begin(0, now));
    source.be_asked_at(0);
    EXPECT_TRUE(of->begin(0, now)->pending);
}

TEST_F(shared_limiter, places_are_leased_and_go_back_when_they_are_not_used) {
    const auto of = make({.concurrent_requests = 4});
    source.places_elsewhere = 2;
    ASSERT_TRUE(of->begin(0, now)->pending);
    ASSERT_TRUE(of->begin(0, now)->pending);
    EXPECT_EQ(source.round(*of, now).places_want, 2);
    EXPECT_FALSE(of->begin(0, now));
    EXPECT_FALSE(of->begin(0, now));
    const auto refused = of->begin(0, now);
    ASSERT_TRUE(refused);
    EXPECT_FALSE(refused->pending);
    EXPECT_EQ(refused->what, limit_refusal::kind::concurrent);
    EXPECT_TRUE(of->is_due(now + 2 * second)) << "a lease is renewed in time";
    EXPECT_EQ(source.round(*of, now + 2 * second).places_held, 2);
    now += 3 * second;
    of->finish(0, 0, 0, now);
    std::int64_t held = 2;
    for (int i = 0; i < 4 && held > 1; ++i) held = source.round(*of, now += 50'000).places_held;
    EXPECT_EQ(held, 1);
    of->finish(0, 0, 0, now);
    for (int i = 0; i < 4 && held > 0; ++i) held = source.round(*of, now += 50'000).places_held;
    EXPECT_EQ(held, 0);
    EXPECT_TRUE(of->try_rest(now + 50'000));
}

TEST_F(shared_limiter, places_on_trust_are_those_that_were_free_of_late) {
    const auto of = make({.concurrent_requests = 4});
    source.places_elsewhere = 2;
    ASSERT_TRUE(of->begin(0, now)->pending);
    source.round(*of, now);
    ASSERT_FALSE(of->begin(0, now));
    EXPECT_FALSE(of->begin(0, now, when_unsure::decide)) << "one more was free";
    EXPECT_TRUE(of->begin(0, now, when_unsure::decide));
    now += second;
    EXPECT_FALSE(of->begin(0, now, when_unsure::decide)) << "nothing is known any more";
    EXPECT_FALSE(of->begin(0, now, when_unsure::decide));
    EXPECT_TRUE(of->begin(0, now, when_unsure::decide));
}

TEST_F(shared_limiter, too_many_places_end_without_a_successor) {
    const auto of = make({.concurrent_requests = 4});
    source.places_elsewhere = 4;
    for (int i = 0; i < 4; ++i) ASSERT_FALSE(of->begin(0, now, when_unsure::decide));
    EXPECT_EQ(source.round(*of, now).places_held, 4) << "they run, whoever let them";
    of->finish(0, 0, 0, now);
    EXPECT_TRUE(of->begin(0, now)) << "half of eight have to go, and half of them here";
    of->finish(0, 0, 0, now);
    EXPECT_TRUE(of->begin(0, now));
    source.places_elsewhere = 2;
    now += 50'000;
    EXPECT_EQ(source.round(*of, now).places_held, 2);
    EXPECT_TRUE(of->begin(0, now)) << "all four run";
    of->finish(0, 0, 0, now);
    EXPECT_FALSE(of->begin(0, now));
}

TEST_F(shared_limiter, works_alone_from_what_was_known_when_the_source_is_lost) {
    const auto of = make({.requests_per_minute = 100, .concurrent_requests = 2});
    source.buckets[0].set_rate(100);
    source.buckets[0].charge(70, now);
    auto refused = of->begin(0, now);
    ASSERT_TRUE(refused && refused->pending);
    source.round(*of, now);
    refused = of->begin(0, now);
    ASSERT_FALSE(refused);
    refused = of->begin(0, now);
    ASSERT_TRUE(refused && refused->pending);
    bool woken = false;
    EXPECT_TRUE(of->when_answered(refused->ticket, [&] { woken = true; }));
    source.be_available(false);
    of->work_alone(now);
    of->wake_waiting();
    EXPECT_TRUE(woken);
    EXPECT_FALSE(of->begin(0, now));
    EXPECT_EQ(of->begin(0, now)->what, limit_refusal::kind::concurrent);
    for (int i = 0; i < 2; ++i) of->finish(0, 0, 0, now);
    int passed = 2;
    for (; !of->begin(0, now); ++passed) of->finish(0, 0, 0, now);
    EXPECT_EQ(passed, 30);
    // When it is back, the shared bucket hears how much was used.
    source.be_available(true);
    EXPECT_EQ(of->ask(now, 2, second).buckets[0].missing_us_min, minute);
}

TEST_F(shared_limiter, many_threads_and_rounds_together_never_exceed_the_limit) {
    const auto of = make({.requests_per_minute = 20'000, .input_tokens_per_minute = 100'000, .concurrent_requests = 3});
    std::atomic<std::int64_t> passed{0};
    std::atomic<int> running{0}, at_work{6};
    std::latch together(7);
    std::vector<std::thread> threads;
    for (int n = 0; n < 6; ++n) {
        threads.emplace_back([&] {
            together.arrive_and_wait();
            for (int i = 0; i < 20'000; ++i) {
                if (of->begin(5, now)) {
                    std::this_thread::yield();
                    continue;
                }
                if (running.fetch_add(1) >= 3) ADD_FAILURE() << "more run than may";
                passed.fetch_add(1);
                running.fetch_sub(1);
                of->finish(5, 5, 0, now);
            }
            at_work.fetch_sub(1);
        });
    }
    threads.emplace_back([&] {
        together.arrive_and_wait();
        while (at_work > 0) source.round(*of, now);
    });
    for (auto& each : threads) each.join();
    EXPECT_GT(passed, 1'000);
    EXPECT_LE(passed, 20'000);
    EXPECT_EQ(of->running(), 0);
    const auto left = of->leave();
    EXPECT_EQ(20'000 - source.buckets[0].remaining(now) + left.buckets[0].charge, passed);
    EXPECT_EQ(100'000 - source.buckets[1].remaining(now) + left.buckets[1].charge, 5 * passed);
}

}  // namespace
}  // namespace governance
