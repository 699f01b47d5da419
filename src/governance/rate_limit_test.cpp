#include "governance/rate_limit.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <random>
#include <thread>

namespace governance {
namespace {

constexpr std::int64_t second = 1'000'000;
constexpr std::int64_t minute = 60 * second;
constexpr std::int64_t rates[] = {1,
                                  2,
                                  7,
                                  59,
                                  60,
                                  600,
                                  4'000,
                                  6'000,
                                  60'000,
                                  2'000'000,
                                  7'777'777,
                                  1'000'000'000,
                                  99'999,
                                  3'000'001,
                                  1'000'003,
                                  123'456'789,
                                  1'000'000'000'000};

struct bucket : token_bucket {
    explicit bucket(std::int64_t per_minute) { set_rate(per_minute); }
};

limit limit_of(rate_limits amounts, std::string id = "team_x") {
    return {.where = scope::team, .scope_id = std::move(id), .model_class = "", .amounts = amounts};
}

TEST(token_bucket, holds_exactly_a_minutes_worth) {
    for (const std::int64_t rate : {1, 2, 7, 59, 60, 600, 4'000, 6'000, 60'000, 99'999}) {
        bucket held(rate);
        const std::int64_t now = 1'000 * minute;
        for (std::int64_t i = 0; i < rate; ++i) ASSERT_EQ(held.take(1, now), 0) << i << " of " << rate;
        EXPECT_GT(held.take(1, now), 0) << rate;
        EXPECT_EQ(held.remaining(now), 0);
    }
}

TEST(token_bucket, refills_without_steps_and_never_beyond_full) {
    bucket held(60);
    std::int64_t now = minute;
    EXPECT_EQ(held.take(60, now), 0);
    EXPECT_EQ(held.full_in_us(now), minute);
    EXPECT_EQ(held.take(1, now), second);
    now += second / 2;
    EXPECT_EQ(held.remaining(now), 0);
    EXPECT_EQ(held.take(1, now), second / 2);
    now += second / 2;
    EXPECT_EQ(held.take(1, now), 0);
    now += 100 * minute;
    EXPECT_EQ(held.remaining(now), 60);
    EXPECT_EQ(held.full_in_us(now), 0);
    EXPECT_EQ(held.take(60, now), 0);
    EXPECT_GT(held.take(1, now), 0);
}

TEST(token_bucket, the_wait_it_tells_is_the_time_until_the_same_amount_passes) {
    std::mt19937_64 random(7);
    for (const auto rate : rates) {
        bucket held(rate);
        std::int64_t now = 12'345 * minute;
        int refusals = 0;
        for (int i = 0; i < 4'000; ++i) {
            const auto amount = 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(rate + rate / 3));
            const auto wait = held.take(amount, now);
            if (wait == 0) continue;
            ++refusals;
            ASSERT_GT(held.take(amount, now + wait - 1), 0) << "earlier than told, at " << rate;
            now += wait;
            ASSERT_EQ(held.wait_us(amount, now), 0);
            ASSERT_EQ(held.take(amount, now), 0) << amount << " after " << wait << " at " << rate;
            now += static_cast<std::int64_t>(random() % minute) / 10;
        }
        EXPECT_GT(refusals, rate == 1 ? 100 : 1'000);
    }
}

TEST(token_bucket, what_remains_is_what_passes) {
    std::mt19937_64 random(8);
    for (const auto rate : rates) {
        bucket held(rate);
        std::int64_t now = 5 * minute;
        for (int i = 0; i < 2'000; ++i) {
            now += static_cast<std::int64_t>(random() % second) * 10;
            const auto remaining = held.remaining(now);
            ASSERT_GE(remaining, 0);
            ASSERT_LE(remaining, rate);
            const auto in_one_ns = 1 + rate / (minute * 1'000);
            if (remaining < rate) ASSERT_GT(held.wait_us(remaining + in_one_ns, now), 0) << rate;
            ASSERT_EQ(held.wait_us(remaining, now), 0) << remaining << " of " << rate;
            const auto amount = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(remaining + 1));
            ASSERT_EQ(held.take(amount, now), 0);
        }
    }
}

TEST(token_bucket, over_time_it_admits_its_rate_and_a_minutes_worth) {
    std::mt19937_64 random(9);
    for (const auto rate : rates) {
        if (rate < 60) continue;
        bucket held(rate);
        const std::int64_t from = minute;
        std::int64_t now = from, admitted = 0;
        while (now < from + 30 * minute) {
            const auto amount = 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(rate / 20));
            if (held.take(amount, now) == 0)
                admitted += amount;
            else
                now += second / 3;
        }
        const auto ideal = static_cast<double>(rate) * (1 + static_cast<double>(now - from) / minute);
        EXPECT_LE(static_cast<double>(admitted), ideal * (1 + 1e-6) + 1);
        EXPECT_GE(static_cast<double>(admitted), ideal * 0.99);
    }
}

TEST(token_bucket, an_amount_over_a_minutes_worth_passes_when_it_is_full_and_leaves_debt) {
    bucket held(100);
    std::int64_t now = minute;
    EXPECT_EQ(held.take(1, now), 0);
    const auto wait = held.take(1'000, now);
    EXPECT_EQ(wait, minute / 100);
    EXPECT_EQ(held.take(1'000, now + wait), 0);
    now += wait;
    EXPECT_EQ(held.debt_us(now), 9 * minute);
    EXPECT_EQ(held.remaining(now), 0);
    EXPECT_EQ(held.take(1, now), 9 * minute + minute / 100);
}

TEST(token_bucket, what_is_given_back_is_as_if_it_was_never_taken) {
    std::mt19937_64 random(10);
    for (const auto rate : rates) {
        bucket held(rate);
        const std::int64_t now = 3 * minute;
        held.charge(rate / 2, now);
        const auto before = held.missing_ns(now);
        for (int i = 0; i < 1'000; ++i) {
            const auto amount = 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(rate));
            held.charge(amount, now);
            held.charge(-amount, now);
        }
        EXPECT_EQ(held.missing_ns(now), before) << rate;
        held.charge(-2 * rate, now);
        EXPECT_EQ(held.remaining(now), rate) << "never more than a minute's worth";
        EXPECT_EQ(held.take(rate, now), 0);
    }
}

TEST(token_bucket, absurd_amounts_end_in_a_long_debt_and_nowhere_else) {
    for (const auto rate : rates) {
        bucket held(rate);
        const std::int64_t now = 20LL * 365 * 24 * 60 * minute;
        for (int i = 0; i < 1'000; ++i) held.charge(4'000'000'000'000'000'000, now);
        const auto debt = held.debt_us(now);
        EXPECT_GT(debt, 0);
        EXPECT_LE(debt, 10LL * 365 * 24 * 60 * minute);
        EXPECT_GT(held.take(1, now), 0);
        EXPECT_EQ(held.take(1, now + debt + minute), 0);
        for (int i = 0; i < 1'000; ++i) held.charge(-4'000'000'000'000'000'000, now);
        EXPECT_EQ(held.remaining(now), rate);
    }
}

TEST(token_bucket, a_changed_rate_keeps_the_share_that_was_used) {
    bucket held(60);
    const std::int64_t now = minute;
    EXPECT_EQ(held.take(45, now), 0);
    held.set_rate(600);
    EXPECT_EQ(held.remaining(now), 150);
    EXPECT_EQ(held.full_in_us(now), 45 * second);
    held.set_rate(12);
    EXPECT_EQ(held.remaining(now), 3);
    held.set_rate(0);
    EXPECT_EQ(held.take(1'000'000'000, now), 0) << "no limit";
    EXPECT_EQ(held.debt_us(now), 0);
    held.set_rate(12);
    EXPECT_EQ(held.remaining(now), 3) << "what passes without a limit does not count";
}

TEST(token_bucket, eight_threads_get_exactly_what_is_there) {
    bucket held(100'000);
    const std::int64_t now = minute;
    std::atomic<std::int64_t> admitted{0};
    std::latch together(8);
    std::vector<std::thread> threads;
    for (int n = 0; n < 8; ++n) {
        threads.emplace_back([&, n] {
            together.arrive_and_wait();
            for (int i = 0; i < 20'000; ++i) {
                if (held.take(1 + n % 3, now) == 0) admitted.fetch_add(1 + n % 3);
            }
        });
    }
    for (auto& each : threads) each.join();
    EXPECT_EQ(admitted, 100'000);
}

TEST(limiter, tells_of_several_reasons_the_one_that_lasts_longest) {
    limiter of(limit_of({.requests_per_minute = 60, .input_tokens_per_minute = 1'000}));
    const std::int64_t now = minute;
    for (int i = 0; i < 60; ++i) ASSERT_FALSE(of.begin(10, now));
    const auto short_one = of.begin(0, now);
    ASSERT_TRUE(short_one);
    EXPECT_EQ(short_one->what, limit_refusal::kind::requests);
    const auto refused = of.begin(500, now);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->what, limit_refusal::kind::input_tokens);
    EXPECT_EQ(refused->limit, 1'000);
    EXPECT_EQ(refused->wait_us, 6 * second);
    EXPECT_TRUE(of.begin(500, now + refused->wait_us - 1));
    EXPECT_FALSE(of.begin(500, now + refused->wait_us));
}

TEST(limiter, a_refused_request_takes_nothing) {
    limiter of(limit_of({.requests_per_minute = 10, .input_tokens_per_minute = 100, .concurrent_requests = 5}));
    const std::int64_t now = minute;
    EXPECT_FALSE(of.begin(90, now));
    for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(of.begin(20, now));
    EXPECT_EQ(of.requests().remaining(now), 9);
    EXPECT_EQ(of.input_tokens().remaining(now), 10);
    EXPECT_EQ(of.running(), 1);
    EXPECT_FALSE(of.begin(10, now));
}

TEST(limiter, corrects_the_estimate_by_what_the_answer_says) {
    limiter of(
        limit_of({.requests_per_minute = 100, .input_tokens_per_minute = 1'000, .output_tokens_per_minute = 500}));
    const std::int64_t now = minute;
    EXPECT_FALSE(of.begin(400, now));
    of.finish(400, 100, 50, now);
    EXPECT_EQ(of.input_tokens().remaining(now), 900);
    EXPECT_EQ(of.output_tokens().remaining(now), 450);
    EXPECT_FALSE(of.begin(400, now));
    of.finish(400, {}, 0, now);
    EXPECT_EQ(of.input_tokens().remaining(now), 500) << "nothing known: the estimate stays";
    EXPECT_FALSE(of.begin(100, now));
    of.finish(100, 2'500, 0, now);
    const auto refused = of.begin(1, now);
    ASSERT_TRUE(refused) << "used more than there was";
    EXPECT_EQ(refused->what, limit_refusal::kind::input_tokens);
    EXPECT_EQ(of.requests().remaining(now), 97);
}

TEST(limiter, output_tokens_refuse_only_in_debt) {
    limiter of(limit_of({.output_tokens_per_minute = 600}));
    const std::int64_t now = minute;
    EXPECT_FALSE(of.begin(0, now));
    EXPECT_FALSE(of.begin(0, now));
    of.finish(0, 10, 600, now);
    EXPECT_FALSE(of.begin(0, now)) << "empty is not in debt";
    of.finish(0, 10, 100, now);
    const auto refused = of.begin(0, now);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->what, limit_refusal::kind::output_tokens);
    EXPECT_EQ(refused->wait_us, 10 * second);
    EXPECT_FALSE(of.begin(0, now + 10 * second));
}

TEST(limiter, undo_leaves_no_trace) {
    limiter of(limit_of({.requests_per_minute = 7, .input_tokens_per_minute = 777, .concurrent_requests = 1}));
    const std::int64_t now = minute;
    for (int i = 0; i < 100; ++i) {
        ASSERT_FALSE(of.begin(333, now));
        of.undo(333, now);
    }
    EXPECT_EQ(of.requests().remaining(now), 7);
    EXPECT_EQ(of.input_tokens().remaining(now), 777);
    EXPECT_EQ(of.running(), 0);
}

TEST(limiter, places_are_told_last) {
    limiter of(limit_of({.requests_per_minute = 3, .concurrent_requests = 2}));
    const std::int64_t now = minute;
    EXPECT_FALSE(of.begin(0, now));
    EXPECT_FALSE(of.begin(0, now));
    auto refused = of.begin(0, now);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->what, limit_refusal::kind::concurrent);
    EXPECT_EQ(refused->wait_us, 0);
    EXPECT_EQ(refused->limit, 2);
    of.finish(0, {}, 0, now);
    EXPECT_FALSE(of.begin(0, now));
    refused = of.begin(0, now);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->what, limit_refusal::kind::requests) << "that one has a time to come back";
    of.set({});
    EXPECT_FALSE(of.begin(1'000'000, now));
    EXPECT_EQ(of.running(), 3);
}

TEST(limiter, eight_threads_never_exceed_a_limit_and_use_all_of_it) {
    limiter of(limit_of({.requests_per_minute = 50'000, .input_tokens_per_minute = 400'000, .concurrent_requests = 3}));
    const std::int64_t now = minute;
    std::atomic<std::int64_t> admitted{0};
    std::atomic<int> running{0};
    std::latch together(8);
    std::vector<std::thread> threads;
    for (int n = 0; n < 8; ++n) {
        threads.emplace_back([&] {
            together.arrive_and_wait();
            for (int i = 0; i < 10'000;) {
                const auto refused = of.begin(8, now);
                if (refused && refused->what == limit_refusal::kind::concurrent) {
                    std::this_thread::yield();
                    continue;
                }
                ++i;
                if (refused) continue;
                if (running.fetch_add(1) >= 3) ADD_FAILURE() << "more run than may";
                admitted.fetch_add(1);
                running.fetch_sub(1);
                of.finish(8, 8, 1, now);
            }
        });
    }
    for (auto& each : threads) each.join();
    EXPECT_EQ(admitted, 50'000);
    EXPECT_EQ(of.running(), 0);
}

TEST(limiter, a_limit_changed_under_load_ends_in_the_new_one) {
    limiter of(limit_of({.requests_per_minute = 1'000, .concurrent_requests = 100}));
    std::atomic<bool> ends{false};
    std::vector<std::thread> threads;
    for (int n = 0; n < 4; ++n) {
        threads.emplace_back([&] {
            for (std::int64_t now = minute; !ends; now += second) {
                if (!of.begin(10, now)) of.finish(10, 5, 5, now);
            }
        });
    }
    for (int i = 0; i < 100; ++i) {
        of.set({.requests_per_minute = i % 3 * 100,
                .input_tokens_per_minute = i % 5 * 1'000,
                .output_tokens_per_minute = i % 2 * 50,
                .concurrent_requests = i % 4});
        std::this_thread::yield();
    }
    const rate_limits last{.requests_per_minute = 5,
                           .input_tokens_per_minute = 0,
                           .output_tokens_per_minute = 0,
                           .concurrent_requests = 2};
    of.set(last);
    ends = true;
    for (auto& each : threads) each.join();
    EXPECT_EQ(of.amounts(), last);
    EXPECT_EQ(of.running(), 0);
    const std::int64_t later = 1'000'000'000 * second;
    for (int i = 0; i < 5; ++i) {
        EXPECT_FALSE(of.begin(0, later));
        of.finish(0, 0, 0, later);
    }
    EXPECT_TRUE(of.begin(0, later));
}

TEST(begin_all, takes_from_all_limiters_or_from_none) {
    limiter team(limit_of({.requests_per_minute = 10, .concurrent_requests = 10}));
    limiter key(limit_of({.requests_per_minute = 4, .input_tokens_per_minute = 1'000}));
    limiter* const both[] = {&team, &key};
    const std::int64_t now = minute;
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(begin_all(both, 10, now));
    const auto refused = begin_all(both, 10, now);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->by, &key);
    EXPECT_EQ(refused->why.what, limit_refusal::kind::requests);
    EXPECT_EQ(team.requests().remaining(now), 6);
    EXPECT_EQ(team.running(), 4);
    EXPECT_EQ(key.running(), 4);
    for (int i = 0; i < 6; ++i) EXPECT_FALSE(team.begin(0, now));
    const auto longest = begin_all(both, 10, now);
    ASSERT_TRUE(longest);
    EXPECT_EQ(longest->by, &key) << "15 seconds for one of the key's, 6 for one of the team's";
    EXPECT_EQ(longest->why.wait_us, 15 * second);
    EXPECT_FALSE(begin_all({}, 10, now));
}

TEST(limiter, is_named_by_what_it_limits) {
    EXPECT_EQ(limiter(limit_of({})).id(), "team:team_x:");
    EXPECT_EQ(limiter({.where = scope::root, .scope_id = "", .model_class = "claude-opus-*", .amounts = {}}).id(),
              "root::claude-opus-*");
}

TEST(limiter, a_request_that_runs_later_counts_as_one_and_asks_for_neither_place_nor_tokens) {
    limiter one(limit_of({.requests_per_minute = 3, .input_tokens_per_minute = 100, .concurrent_requests = 1}));
    limiter two(limit_of({.requests_per_minute = 2}));
    limiter* const both[] = {&one, &two};
    const std::int64_t now = minute;
    ASSERT_FALSE(one.begin(100, now)) << "the place and all tokens are taken";
    EXPECT_FALSE(count_request(both, now));
    EXPECT_FALSE(count_request(both, now));
    const auto refused = count_request(both, now);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->why.what, limit_refusal::kind::requests);
    EXPECT_FALSE(refused->why.pending);
    EXPECT_EQ(one.running(), 1);
    EXPECT_EQ(two.running(), 0);
}

TEST(limiter, a_request_that_one_limit_refuses_is_given_back_to_the_others) {
    limiter wide(limit_of({.requests_per_minute = 10})), narrow(limit_of({.requests_per_minute = 1}));
    limiter* const both[] = {&wide, &narrow};
    EXPECT_FALSE(count_request(both, minute));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(count_request(both, minute)->by, &narrow);
    EXPECT_EQ(wide.requests().remaining(minute), 9);
}

}  // namespace
}  // namespace governance
