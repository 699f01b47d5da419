#include "governance/job_holds.hpp"

#include <gtest/gtest.h>

namespace governance {
namespace {

// A budget with an account whose lease is 100, in a registry without a keeper.
struct one_budget {
    budget_registry registry{10, [] {}};
    std::shared_ptr<budget_book> book = registry.book_for({.id = "bud_1", .every = period::total, .limit_pico = 1'000});
    budget_account& account = book->account_at(0);

    one_budget() { lease(100); }
    void lease(pico_dollars granted) {
        account.renew({.limit = 1'000, .granted = granted, .consumed = account.view().acknowledged, .valid_until = 99},
                      0);
    }
    budget_claim claim(pico_dollars amount) {
        const std::vector books{book};
        return budget_claim(books, amount, 0);
    }
    arrived_money arrive(pico_dollars amount) {
        const std::vector holds{budget_hold{"bud_1", account.who().begins, amount}};
        return arrived_money(registry, holds, 0);
    }
};

TEST(job_holds, holds_are_text_and_back) {
    const std::vector<budget_hold> holds = {{"bud_1", 1'800'000'000'000, 12}, {"bud_2", 0, 7}};
    EXPECT_EQ(read_holds(holds_text(holds)), holds);
    EXPECT_EQ(holds_text({}), "[]");
    EXPECT_TRUE(read_holds("[]").empty());
    EXPECT_TRUE(read_holds("nonsense").empty());
    EXPECT_TRUE(read_holds(R"([{"budget":1,"period":2,"amount":3},{"budget":"b"}])").empty());
}

TEST(job_holds, a_committed_submit_gives_its_hold_and_the_lease_under_it_away) {
    one_budget of;
    auto held = of.claim(60);
    ASSERT_TRUE(held.hold_now(0));
    job_claim submitted(std::move(held));
    EXPECT_EQ(submitted.holds(), (std::vector<budget_hold>{{"bud_1", of.account.who().begins, 60}}));
    submitted.committed(0);
    const auto view = of.account.view();
    EXPECT_EQ(view.held, 0);
    EXPECT_EQ(view.unreported, 0);
    EXPECT_EQ(view.holds, 0);
    EXPECT_EQ(view.lease, 40);
    EXPECT_EQ(view.spent, 0) << "it is not spent";
    EXPECT_EQ(of.account.view().acknowledged, 60);
    EXPECT_FALSE(of.claim(41).hold_now(0));
    EXPECT_TRUE(of.claim(40).hold_now(0));
}

TEST(job_holds, an_abandoned_submit_has_held_nothing) {
    one_budget of;
    {
        auto held = of.claim(60);
        ASSERT_TRUE(held.hold_now(0));
        job_claim submitted(std::move(held));
        submitted.holds();
    }
    EXPECT_EQ(of.account.view().held, 0);
    EXPECT_EQ(of.account.view().holds, 0);
    EXPECT_TRUE(of.claim(100).hold_now(0));
}

TEST(job_holds, what_arrives_is_held_at_once_and_taken_over_without_the_line) {
    one_budget of;
    auto all = of.claim(100);
    ASSERT_TRUE(all.hold_now(0));
    auto waits = of.claim(30);
    ASSERT_EQ(waits.advance(0, [] {}), verdict::waiting);
    auto money = of.arrive(60);
    EXPECT_EQ(of.account.view().held, 160);
    of.lease(160);  // the claim is committed, and the keeper has looked
    EXPECT_EQ(waits.advance(0, [] {}), verdict::waiting) << "it is not for those who wait";
    auto job = of.claim(60);
    money.give_to(job);
    money.give_up();  // nothing is left of it
    EXPECT_TRUE(job.hold_now(0));
    EXPECT_EQ(of.account.view().held, 160);
    EXPECT_EQ(of.account.view().holds, 2);
    job.settle(10, 0);
    EXPECT_EQ(of.account.view().held, 130) << "who waited took some of what was left";
    EXPECT_EQ(of.account.view().unreported, 10);
    EXPECT_EQ(waits.advance(0, [] {}), verdict::held);
}

TEST(job_holds, what_is_missing_is_asked_for_and_what_is_too_much_goes_back) {
    one_budget of;
    of.lease(160);
    {
        auto money = of.arrive(60);
        auto job = of.claim(70);
        money.give_to(job);
        EXPECT_TRUE(job.hold_now(0));
        EXPECT_EQ(of.account.view().held, 70);
        EXPECT_EQ(of.account.view().holds, 1);
    }
    {
        auto money = of.arrive(60);
        auto job = of.claim(50);
        money.give_to(job);
        EXPECT_TRUE(job.hold_now(0));
        EXPECT_EQ(of.account.view().held, 50);
        EXPECT_EQ(of.account.view().holds, 1);
    }
    auto others = of.claim(95);
    ASSERT_TRUE(others.hold_now(0));
    auto money = of.arrive(60);
    auto job = of.claim(70);
    money.give_to(job);
    EXPECT_EQ(job.advance(0, [] {}), verdict::waiting) << "for the 10 that are missing: 5 are free";
    EXPECT_EQ(of.account.view().wanted, 10);
    others.settle(90, 0);
    EXPECT_EQ(job.advance(0, [] {}), verdict::held);
    EXPECT_EQ(of.account.view().held, 70);
    EXPECT_EQ(of.account.view().holds, 1);
}

TEST(job_holds, what_nobody_takes_is_given_up) {
    one_budget of;
    of.arrive(60);
    EXPECT_EQ(of.account.view().held, 0);
    {
        auto money = of.arrive(60);
        auto job = of.claim(70);
        money.give_to(job);
    }
    EXPECT_EQ(of.account.view().held, 0);
    EXPECT_EQ(of.account.view().holds, 0);
    const std::vector holds{budget_hold{"bud_1", 5, 60}, budget_hold{"bud_unknown", 0, 60}};
    arrived_money nothing(of.registry, holds, 0);
    EXPECT_EQ(of.account.view().held, 0) << "another period and an unknown budget bring nothing";
}

}  // namespace
}  // namespace governance
