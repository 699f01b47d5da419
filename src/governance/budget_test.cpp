#include "governance/budget.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "governance/budget_lease.hpp"

namespace governance {
namespace {

constexpr time_ms now = 1'000'000;
constexpr time_ms valid = now + 60'000;

budget month_of(pico_dollars limit) {
    budget made;
    made.id = "bud_1";
    made.limit_pico = limit;
    return made;
}

// A book with one account whose whole budget is leased to us.
struct alone {
    explicit alone(pico_dollars limit) : book(registry.book_for(month_of(limit))), account(book->account_at(now)) {
        account.renew(
            {.limit = limit, .hard = true, .spent = 0, .granted = limit, .consumed = 0, .low = 0, .valid_until = valid},
            now);
    }
    int wishes = 0;
    budget_registry registry{1'000, [this] { ++wishes; }};
    std::shared_ptr<budget_book> book;
    budget_account& account;
};

TEST(budget, a_hold_is_refused_only_when_the_truth_would_overshoot) {
    alone all(100);
    EXPECT_TRUE(all.account.hold_now(60, now));
    const auto waits = std::make_shared<budget_waiter>();
    EXPECT_EQ(all.account.hold_later(60, now, waits), verdict::waiting) << "the first may turn out cheaper";
    const auto large = std::make_shared<budget_waiter>();
    EXPECT_EQ(all.account.hold_later(101, now, large), verdict::never);
    all.account.settle(60, 40, now);
    EXPECT_EQ(all.account.outcome_of(*waits), verdict::held);
    all.account.settle(60, 41, now);
    EXPECT_EQ(all.account.view().spent, 81);
    EXPECT_EQ(all.account.view().held, 0);
}

TEST(budget, who_waits_is_told_when_it_can_no_longer_fit) {
    alone all(100);
    ASSERT_TRUE(all.account.hold_now(60, now));
    int told = 0;
    const auto waits = std::make_shared<budget_waiter>();
    waits->decided = [&] { ++told; };
    ASSERT_EQ(all.account.hold_later(60, now, waits), verdict::waiting);
    all.account.settle(60, 50, now);
    EXPECT_EQ(told, 1);
    EXPECT_EQ(all.account.outcome_of(*waits), verdict::never);
}

TEST(budget, requests_are_served_in_the_order_they_came) {
    alone all(100);
    ASSERT_TRUE(all.account.hold_now(90, now));
    std::vector<int> order;
    std::vector<std::shared_ptr<budget_waiter>> waiters;
    for (int i = 0; i < 3; ++i) {
        waiters.push_back(std::make_shared<budget_waiter>());
        waiters.back()->decided = [&order, i] { order.push_back(i); };
        EXPECT_EQ(all.account.hold_later(i == 0 ? 50 : 1, now, waiters.back()), verdict::waiting);
    }
    EXPECT_FALSE(all.account.hold_now(1, now)) << "it would fit, but others came before";
    all.account.settle(90, 10, now);
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST(budget, who_gives_up_waiting_leaves_nothing_behind) {
    alone all(100);
    ASSERT_TRUE(all.account.hold_now(90, now));
    const auto first = std::make_shared<budget_waiter>();
    const auto second = std::make_shared<budget_waiter>();
    ASSERT_EQ(all.account.hold_later(50, now, first), verdict::waiting);
    ASSERT_EQ(all.account.hold_later(10, now, second), verdict::waiting);
    EXPECT_FALSE(all.account.leave(first, now));
    EXPECT_EQ(all.account.outcome_of(*second), verdict::held) << "the next one fits";
    EXPECT_TRUE(all.account.leave(second, now)) << "it was held in the meantime";
    all.account.settle(10, 0, now);
    all.account.settle(90, 0, now);
    EXPECT_EQ(all.account.view().held, 0);
    EXPECT_EQ(all.account.view().wanted, 0);
    EXPECT_EQ(all.account.view().waiting, 0u);
}

TEST(budget, an_expired_lease_admits_nobody) {
    alone all(100);
    EXPECT_FALSE(all.account.hold_now(1, valid));
    EXPECT_TRUE(all.account.hold_now(1, valid - 1));
}

// What a look of the keeper brings when so much is held for queued jobs and batches.
budget_account::lease_news look_with(pico_dollars set_aside, time_ms at) {
    return {.limit = 100,
            .hard = true,
            .granted = 100 - set_aside,
            .valid_until = valid,
            .set_aside = set_aside,
            .set_aside_wait = 2'000,
            .asked_at = at};
}

TEST(budget, nobody_waits_long_for_what_jobs_and_batches_hold) {
    alone all(100);
    all.account.renew(look_with(70, now), now);
    const auto waits = std::make_shared<budget_waiter>();
    ASSERT_EQ(all.account.hold_later(31, now, waits), verdict::waiting);
    const auto small = std::make_shared<budget_waiter>();
    ASSERT_EQ(all.account.hold_later(30, now, small), verdict::waiting) << "it stands in line";
    all.account.renew(look_with(70, now + 1'999), now + 1'999);
    EXPECT_EQ(all.account.outcome_of(*waits), verdict::waiting);
    all.account.renew(look_with(70, now + 2'000), now + 2'000);
    EXPECT_EQ(all.account.outcome_of(*waits), verdict::set_aside);
    EXPECT_EQ(all.account.outcome_of(*small), verdict::held) << "who fits gets in behind it";
    EXPECT_TRUE(all.account.view().is_set_aside(31));
    EXPECT_FALSE(all.account.view().is_set_aside(30));
}

TEST(budget, who_waits_for_what_jobs_hold_goes_on_while_it_comes_back) {
    alone all(100);
    all.account.renew(look_with(90, now), now);
    const auto waits = std::make_shared<budget_waiter>();
    ASSERT_EQ(all.account.hold_later(50, now, waits), verdict::waiting);
    for (int i = 1; i <= 4; ++i) {
        all.account.renew(look_with(90 - 9 * i, now + 1'500 * i), now + 1'500 * i);
        EXPECT_EQ(all.account.outcome_of(*waits), verdict::waiting) << i;
    }
    all.account.renew(look_with(50, now + 7'500), now + 7'500);
    EXPECT_EQ(all.account.outcome_of(*waits), verdict::held);
}

TEST(budget, who_waits_for_requests_under_way_is_not_sent_away_for_jobs) {
    alone all(100);
    all.account.renew(look_with(40, now), now);
    ASSERT_TRUE(all.account.hold_now(50, now));
    const auto waits = std::make_shared<budget_waiter>();
    ASSERT_EQ(all.account.hold_later(60, now, waits), verdict::waiting) << "the request may turn out to be free";
    all.account.renew(look_with(40, now + 10'000), now + 10'000);
    EXPECT_EQ(all.account.outcome_of(*waits), verdict::waiting);
    all.account.settle(50, 1, now + 10'000);
    EXPECT_EQ(all.account.outcome_of(*waits), verdict::set_aside) << "it was not";
}

TEST(budget, before_the_database_was_asked_nobody_is_refused) {
    budget_registry registry(10, [] {});
    budget_account& fresh = registry.book_for(month_of(10))->account_at(now);
    const auto waits = std::make_shared<budget_waiter>();
    EXPECT_EQ(fresh.hold_later(1'000'000, now, waits), verdict::waiting);
    EXPECT_TRUE(fresh.wishes());
    fresh.renew({.limit = 10, .hard = true, .spent = 0, .granted = 10, .valid_until = valid}, now);
    EXPECT_EQ(fresh.outcome_of(*waits), verdict::never);
}

TEST(budget, the_queue_has_a_limit) {
    budget_registry registry(1, [] {});
    budget_account& fresh = registry.book_for(month_of(10))->account_at(now);
    EXPECT_EQ(fresh.hold_later(1, now, std::make_shared<budget_waiter>()), verdict::waiting);
    EXPECT_EQ(fresh.hold_later(1, now, std::make_shared<budget_waiter>()), verdict::crowded);
}

TEST(budget, money_on_its_way_to_the_database_is_counted_once) {
    alone all(100);
    ASSERT_TRUE(all.account.hold_now(30, now));
    all.account.settle(30, 20, now);
    EXPECT_EQ(all.account.view().spent, 20);
    // The database has the row already, the writer has not told us yet.
    all.account.renew({.limit = 100, .hard = true, .spent = 20, .granted = 100, .consumed = 20, .valid_until = valid},
                      now);
    EXPECT_EQ(all.account.view().spent, 20);
    EXPECT_EQ(all.account.view().lease, 100);
    all.account.acknowledged(20);
    EXPECT_EQ(all.account.view().spent, 20);
    EXPECT_EQ(all.account.view().unreported, 0);
    EXPECT_EQ(all.account.view().lease, 80);
    EXPECT_TRUE(all.account.hold_now(80, now));
    EXPECT_FALSE(all.account.hold_now(1, now));
}

TEST(budget, a_lease_is_only_given_back_where_it_is_not_used) {
    alone all(100);
    ASSERT_TRUE(all.account.hold_now(30, now));
    EXPECT_EQ(all.account.shrink(50), 50);
    EXPECT_EQ(all.account.shrink(50), 20);
    EXPECT_EQ(all.account.view().lease, 30);
    EXPECT_FALSE(all.account.hold_now(1, now));
}

TEST(budget, a_soft_one_holds_whatever_comes) {
    alone all(100);
    all.account.renew({.limit = 100, .hard = false, .spent = 500, .granted = 0, .valid_until = valid}, now);
    EXPECT_TRUE(all.account.hold_now(1'000, now));
    all.account.settle(1'000, 10, now);
    EXPECT_EQ(all.account.view().spent, 510);
}

TEST(budget, every_period_has_an_account_of_its_own) {
    budget_registry registry(10, [] {});
    budget daily = month_of(10);
    daily.every = period::day;
    const auto book = registry.book_for(daily);
    constexpr time_ms day = 86'400'000;
    budget_account& today = book->account_at(5 * day + 1);
    EXPECT_EQ(&book->account_at(6 * day - 1), &today);
    budget_account& tomorrow = book->account_at(6 * day);
    EXPECT_NE(&tomorrow, &today);
    EXPECT_EQ(tomorrow.who().begins, 6 * day);
    EXPECT_EQ(registry.find(tomorrow.who().number), &tomorrow);
    EXPECT_EQ(registry.find(99), nullptr);
}

TEST(budget, who_comes_late_shares_the_account_of_its_period) {
    budget_registry registry(10, [] {});
    budget daily = month_of(10);
    daily.every = period::day;
    const auto book = registry.book_for(daily);
    constexpr time_ms day = 86'400'000;
    budget_account& yesterday = book->account_at(5 * day);
    budget_account& today = book->account_at(6 * day);
    EXPECT_EQ(&book->account_at(6 * day - 1), &yesterday);
    EXPECT_EQ(&book->account_at(6 * day), &today) << "a second account would spend the same lease again";
    EXPECT_EQ(registry.accounts().size(), 2u);
}

TEST(budget, the_first_of_a_new_period_may_be_the_late_one) {
    budget_registry registry(10, [] {});
    budget daily = month_of(10);
    daily.every = period::day;
    const auto book = registry.book_for(daily);
    constexpr time_ms day = 86'400'000;
    budget_account& today = book->account_at(6 * day);
    budget_account& yesterday = book->account_at(6 * day - 1);
    EXPECT_EQ(yesterday.who().begins, 5 * day);
    EXPECT_EQ(&book->account_at(6 * day + 1), &today);
    EXPECT_EQ(&book->account_at(5 * day + 1), &yesterday);
    EXPECT_EQ(registry.accounts().size(), 2u);
}

TEST(budget, an_absurd_amount_is_never_held_and_disturbs_nobody) {
    alone all(100);
    ASSERT_TRUE(all.account.hold_now(1, now));
    EXPECT_FALSE(all.account.hold_now(base::pico_dollars_max, now));
    EXPECT_EQ(all.account.view().held, 1);
    EXPECT_FALSE(all.account.hold_now(100, now));
    EXPECT_TRUE(all.account.hold_now(99, now));
}

TEST(budget, whoever_takes_from_one_that_rests_wakes_the_keeper) {
    alone all(100);
    all.account.renew({.limit = 100, .hard = false, .spent = 0, .granted = 0, .valid_until = valid}, now);
    (void)all.account.take_wish();
    ASSERT_TRUE(all.account.hold_now(5, now));
    EXPECT_FALSE(all.account.wishes());
    all.account.rest(true);
    ASSERT_TRUE(all.account.hold_now(5, now));
    EXPECT_TRUE(all.account.wishes()) << "its alerts would not come any more";
}

TEST(budget_claim, knows_when_the_first_of_its_periods_ends) {
    budget_registry registry(10, [] {});
    budget daily = month_of(50);
    daily.id = "bud_2";
    daily.every = period::day;
    const std::vector books{registry.book_for(month_of(100)), registry.book_for(daily)};
    budget_claim claim(books, 1, now);
    EXPECT_EQ(claim.moment(), now);
    ASSERT_TRUE(claim.ends());
    EXPECT_EQ(*claim.ends(), books[1]->account_at(now).who().ends);
    EXPECT_GT(*claim.ends(), now);
    EXPECT_LE(*claim.ends() - now, 86'400'000);
}

TEST(budget_claim, is_raised_everywhere_or_nowhere) {
    budget_registry registry(10, [] {});
    budget other = month_of(50);
    other.id = "bud_2";
    const std::vector books{registry.book_for(month_of(100)), registry.book_for(other)};
    budget_account& wide = books[0]->account_at(now);
    budget_account& narrow = books[1]->account_at(now);
    wide.renew({.limit = 100, .hard = true, .granted = 100, .valid_until = valid}, now);
    narrow.renew({.limit = 50, .hard = true, .granted = 50, .valid_until = valid}, now);
    budget_claim claim(books, 30, now);
    ASSERT_TRUE(claim.hold_now(now));
    EXPECT_FALSE(claim.raise(21, now));
    EXPECT_EQ(wide.view().held, 30);
    EXPECT_TRUE(claim.raise(20, now));
    EXPECT_EQ(claim.amount(), 50);
    EXPECT_EQ(wide.view().holds, 1);
    claim.settle(45, now);
    EXPECT_EQ(wide.view().held, 0);
    EXPECT_EQ(narrow.view().held, 0);
    EXPECT_EQ(narrow.view().holds, 0);
    EXPECT_EQ(narrow.view().spent, 45);
}

TEST(budget_claim, takes_all_or_nothing_and_settles_once) {
    budget_registry registry(10, [] {});
    budget other = month_of(50);
    other.id = "bud_2";
    const std::vector books{registry.book_for(month_of(100)), registry.book_for(other)};
    budget_account& wide = books[0]->account_at(now);
    budget_account& narrow = books[1]->account_at(now);
    wide.renew({.limit = 100, .hard = true, .granted = 100, .valid_until = valid}, now);
    narrow.renew({.limit = 50, .hard = true, .granted = 50, .valid_until = valid}, now);
    {
        budget_claim claim(books, 60, now);
        EXPECT_EQ(claim.advance(now, [] {}), verdict::never);
        EXPECT_EQ(claim.refused_by(), &narrow);
        claim.give_up(now);
        EXPECT_EQ(wide.view().held, 0);
    }
    {
        budget_claim claim(books, 30, now);
        EXPECT_EQ(claim.advance(now, [] {}), verdict::held);
        EXPECT_EQ(narrow.view().held, 30);
        claim.settle(25, now);
    }
    EXPECT_EQ(wide.view().spent, 25);
    EXPECT_EQ(narrow.view().spent, 25);
    EXPECT_EQ(narrow.view().held, 0);
    {
        const budget_claim forgotten = [&] {
            budget_claim claim(books, 10, now);
            EXPECT_EQ(claim.advance(now, [] {}), verdict::held);
            return claim;
        }();
        EXPECT_EQ(narrow.view().held, 10);
    }
    EXPECT_EQ(narrow.view().held, 0) << "a claim that nobody settled costs nothing";
}

// 8 threads, 4,000 requests, a budget that fits a known number of them: each costs 7 and is held as 20.
TEST(budget, threads_together_spend_what_fits_and_not_more) {
    constexpr pico_dollars cost = 7, held = 20, fitting = 400, limit = (fitting - 1) * cost + held;
    alone all(limit);
    std::atomic<int> served{0}, refused{0};
    const auto work = [&](unsigned seed) {
        std::mt19937 random(seed);
        for (int i = 0; i < 500; ++i) {
            const std::vector books{all.book};
            budget_claim claim(books, held, now);
            std::atomic<bool> woken{false};
            verdict outcome = claim.advance(now, [&] { woken = true; });
            while (outcome == verdict::waiting) {
                std::this_thread::yield();
                if (woken.exchange(false)) outcome = claim.advance(now, [&] { woken = true; });
            }
            if (outcome != verdict::held) {
                ++refused;
                continue;
            }
            if (random() % 4 == 0) std::this_thread::yield();
            ++served;
            claim.settle(cost, now);
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 8; ++i) threads.emplace_back(work, i);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(served, fitting);
    EXPECT_EQ(refused, 4'000 - fitting);
    EXPECT_EQ(all.account.view().spent, fitting * cost);
    EXPECT_EQ(all.account.view().held, 0);
}

TEST(lease_plan, gives_needs_first_and_a_share_of_what_is_free) {
    const lease_state fresh{.exists = true, .limit = 1'000};
    EXPECT_EQ(plan_lease(fresh, {.idle = true}).amount, 0);
    EXPECT_EQ(plan_lease(fresh, {.waiting = 100, .waiting_first = 100}).amount, 100 + 225);
    EXPECT_EQ(plan_lease(fresh, {.waiting = 2'000, .waiting_first = 100}).amount, 1'000) << "never more than there is";
    const lease_state shared{.exists = true, .limit = 1'000, .spent = 200, .others = 400, .replicas = 2};
    EXPECT_EQ(plan_lease(shared, {.used = 100, .waiting = 0}).amount, 100 + 300 / 8);
}

TEST(lease_plan, leaves_no_slack_to_itself_while_another_waits) {
    const lease_state wanted{
        .exists = true, .limit = 1'000, .others = 100, .replicas = 2, .others_want = true, .granted = 500};
    const auto plan = plan_lease(wanted, {.used = 60, .waiting = 300, .waiting_first = 20});
    EXPECT_EQ(plan.amount, 80);
    EXPECT_TRUE(plan.wants_more);
}

TEST(lease_plan, of_two_that_cannot_both_be_served_the_first_takes_all) {
    lease_state state{.exists = true, .limit = 100, .others = 50, .replicas = 2, .others_want = true, .granted = 50};
    const lease_wish wish{.used = 10, .waiting = 70, .waiting_first = 70};
    EXPECT_EQ(plan_lease(state, wish).amount, 50);
    state.want_before = true;
    EXPECT_EQ(plan_lease(state, wish).amount, 10);
    EXPECT_TRUE(plan_lease(state, wish).wants_more);
}

TEST(lease_plan, knows_what_the_database_has_consumed_and_we_were_not_told) {
    // 40 of our 60 used are in `spent` already.
    const lease_state state{.exists = true, .limit = 100, .spent = 40, .granted = 100, .consumed = 40};
    const auto plan = plan_lease(state, {.used = 60, .waiting = 10, .waiting_first = 10, .acknowledged = 0});
    EXPECT_EQ(plan.amount, 20 + 10 + (60 - 30) / 4);
}

TEST(lease_plan, a_limit_that_was_lowered_does_not_take_holds_back) {
    const lease_state state{.exists = true, .limit = 50, .spent = 40, .granted = 100, .consumed = 0};
    EXPECT_EQ(plan_lease(state, {.used = 80}).amount, 80);
}

}  // namespace
}  // namespace governance
