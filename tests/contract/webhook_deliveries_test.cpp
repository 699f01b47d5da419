// Deliveries of webhooks in every database: who may send one, and what is kept of it.
#include "jobs/webhook_deliveries.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "database/migrations.hpp"
#include "database_fixture.hpp"
#include "webhook_rows.hpp"

namespace jobs {
namespace {

constexpr time_ms start = 1'800'000'000'000;
constexpr time_ms lease = 1'000;
constexpr claim_bounds plenty{.count = 100, .per_destination = 100};

class webhook_deliveries_contract : public contract::database_suite {
protected:
    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on_ = connect();
        database::migrate(*on_);
    }
    database::connection& on() { return *on_; }

    std::string add(std::string url = "https://a.example/hook", time_ms at = start, std::string team = "team_a",
                    std::string job = "job_1") {
        return contract::add_delivery(on(),
                                      {.url = std::move(url),
                                       .body = R"({"type":"job.succeeded"})",
                                       .team_id = std::move(team),
                                       .job_id = std::move(job)},
                                      at);
    }
    std::vector<claimed_delivery> claim(time_ms now, std::string_view who = "one", const claim_bounds& bounds = plenty,
                                        std::vector<destination> not_to = {}) {
        return claim_deliveries(on(), who, bounds, not_to, now, now + lease);
    }
    std::size_t mark(const delivery_mark& what, time_ms now = start, std::string_view who = "one") {
        return mark_deliveries(on(), who, std::span(&what, 1), now);
    }
    delivery_entry look(const std::string& id) {
        const auto found = list_deliveries(on(), {.id = id, .job_id = {}, .team_id = {}, .state = {}}, {}, 1);
        EXPECT_EQ(found.size(), 1u);
        return found.at(0);
    }
    static std::vector<std::string> ids_of(const auto& entries) {
        std::vector<std::string> ids;
        for (const auto& each : entries) ids.push_back(each.id);
        return ids;
    }

private:
    std::unique_ptr<database::connection> on_;
};
RUN_ON_EVERY_DATABASE(webhook_deliveries_contract);

TEST_P(webhook_deliveries_contract, one_that_is_due_is_claimed_with_all_that_is_needed_to_send_it) {
    const auto id = add();
    EXPECT_TRUE(claim(start - 1).empty());
    const auto claimed = claim(start);
    ASSERT_EQ(claimed.size(), 1u);
    EXPECT_EQ(claimed[0].id, id);
    EXPECT_EQ(claimed[0].job_id, "job_1");
    EXPECT_EQ(claimed[0].to, (destination{"team_a", "https://a.example:443"}));
    EXPECT_EQ(claimed[0].url, "https://a.example/hook");
    EXPECT_EQ(claimed[0].body, R"({"type":"job.succeeded"})");
    EXPECT_EQ(claimed[0].tries, 0u);
    EXPECT_EQ(claimed[0].next_at, start);
    EXPECT_EQ(claimed[0].claimed_until, start + lease);
    EXPECT_TRUE(claim(start, "two").empty());
}

TEST_P(webhook_deliveries_contract, the_longest_due_are_claimed_first_and_no_more_than_asked_for) {
    const auto third = add("https://a.example/", start - 1), first = add("https://b.example/", start - 3),
               second = add("https://a.example/", start - 2);
    EXPECT_EQ(ids_of(claim(start, "one", {.count = 2, .per_destination = 9})), (std::vector{first, second}));
    EXPECT_EQ(ids_of(claim(start)), std::vector{third});
}

TEST_P(webhook_deliveries_contract, one_destination_gets_its_share_and_excluded_ones_nothing) {
    for (int i = 0; i < 10; ++i) add("https://slow.example/", start - 100);
    const auto other = add("https://other.example/"), of_other_team = add("https://slow.example/", start, "team_b");
    EXPECT_EQ(claim(start, "one", {.count = 100, .per_destination = 3}).size(), 5u);
    EXPECT_EQ(claim(start, "one", plenty, {{"team_a", "https://slow.example:443"}}).size(), 0u);
    EXPECT_EQ(claim(start, "one", plenty, {{"team_b", "https://slow.example:443"}}).size(), 7u);
    EXPECT_EQ(look(other).last_status, 0u);
    EXPECT_EQ(look(of_other_team).to.team_id, "team_b");
}

TEST_P(webhook_deliveries_contract, more_exclusions_than_a_statement_takes_are_cut) {
    add();
    std::vector<destination> many(excluded_max + 100, {"team_x", "https://x.example:443"});
    EXPECT_EQ(claim(start, "one", plenty, many).size(), 1u);
}

TEST_P(webhook_deliveries_contract, claimants_at_the_same_time_get_each_delivery_once) {
    constexpr int deliveries = 300, claimants = 4;
    for (int i = 0; i < deliveries; ++i) add("https://" + std::to_string(i % 7) + ".example/");
    std::mutex mutex;
    std::map<std::string, int> times;
    contract::on_threads(claimants, [&](int number) {
        const auto own = connect();
        for (int empty = 0; empty < 20;) {
            std::vector<claimed_delivery> got;
            contract::until_not_busy([&] {
                got = claim_deliveries(*own, "replica " + std::to_string(number), {.count = 10, .per_destination = 3},
                                       {}, start, start + lease);
            });
            if (got.empty()) ++empty;
            const std::lock_guard lock(mutex);
            for (const auto& each : got) ++times[each.id];
        }
    });
    EXPECT_EQ(times.size(), static_cast<std::size_t>(deliveries));
    EXPECT_TRUE(std::ranges::all_of(times, [](const auto& each) { return each.second == 1; }));
}

TEST_P(webhook_deliveries_contract, what_came_of_a_try_is_kept) {
    const auto id = add();
    auto claimed = claim(start).at(0);
    EXPECT_EQ(mark({.id = id,
                    .claimed_until = claimed.claimed_until,
                    .next_at = start + 5'000,
                    .status = 503,
                    .error = std::string(1'000, 'x')}),
              1u);
    EXPECT_EQ(look(id).state, delivery_state::waiting);
    EXPECT_EQ(look(id).tries, 1u);
    EXPECT_EQ(look(id).last_status, 503u);
    EXPECT_EQ(look(id).last_error, std::string(300, 'x'));
    EXPECT_EQ(look(id).next_at, start + 5'000);
    EXPECT_TRUE(claim(start + 4'999).empty());
    claimed = claim(start + 5'000).at(0);
    EXPECT_EQ(claimed.tries, 1u);
    EXPECT_EQ(mark({.id = id,
                    .claimed_until = claimed.claimed_until,
                    .state = delivery_state::delivered,
                    .next_at = start + 5'000,
                    .status = 200}),
              1u);
    EXPECT_EQ(look(id).state, delivery_state::delivered);
    EXPECT_EQ(look(id).tries, 2u);
    EXPECT_EQ(look(id).last_error, "");
    EXPECT_TRUE(claim(start + 100'000).empty());
}

TEST_P(webhook_deliveries_contract, one_that_is_handed_back_has_used_no_try) {
    const auto id = add();
    const auto claimed = claim(start).at(0);
    EXPECT_EQ(mark({.id = id, .claimed_until = claimed.claimed_until, .tried = false, .next_at = start}), 1u);
    EXPECT_EQ(look(id).tries, 0u);
    EXPECT_EQ(claim(start, "two").size(), 1u);
}

TEST_P(webhook_deliveries_contract, a_claim_that_ran_out_is_taken_over_and_its_holder_marks_nothing) {
    const auto id = add();
    const auto lost = claim(start).at(0);
    EXPECT_TRUE(claim(start + lease - 1, "two").empty());
    const auto won = claim(start + lease, "two").at(0);
    EXPECT_EQ(won.id, id);
    const delivery_mark late{.id = id,
                             .claimed_until = lost.claimed_until,
                             .state = delivery_state::given_up,
                             .next_at = start,
                             .status = 410};
    EXPECT_EQ(mark(late), 0u);
    EXPECT_EQ(look(id).state, delivery_state::waiting);
    EXPECT_EQ(look(id).tries, 0u);
    // The same process may have claimed it a second time.
    const auto again = claim(start + 3 * lease).at(0);
    EXPECT_EQ(mark(late), 0u);
    EXPECT_EQ(mark({.id = id, .claimed_until = again.claimed_until, .state = delivery_state::delivered}), 1u);
}

TEST_P(webhook_deliveries_contract, what_has_waited_too_long_is_given_up_unless_it_is_held_or_was_replayed) {
    const auto old = add("https://a.example/", start - 1'000), fresh = add("https://a.example/", start),
               held = add("https://b.example/", start - 1'000), replayed = add("https://c.example/", start - 1'000);
    ASSERT_EQ(claim(start, "one", plenty, {{"team_a", "https://a.example:443"}, {"team_a", "https://c.example:443"}})
                  .at(0)
                  .id,
              held);
    ASSERT_EQ(replay_deliveries(on(), {.id = replayed, .job_id = {}, .team_id = {}, .state = {}}, start), 1u);
    EXPECT_EQ(give_up_deliveries(on(), start - 500, start), 1u);
    EXPECT_EQ(look(old).state, delivery_state::given_up);
    EXPECT_EQ(look(old).last_error, "waited too long");
    for (const auto& id : {fresh, held, replayed}) EXPECT_EQ(look(id).state, delivery_state::waiting) << id;
    EXPECT_EQ(count_waiting_deliveries(on()), 3u);
}

TEST_P(webhook_deliveries_contract, a_replay_makes_them_due_with_all_their_tries) {
    const auto id = add(), of_other_job = add("https://a.example/", start, "team_a", "job_2"),
               of_other_team = add("https://a.example/", start, "team_b", "job_3");
    for (const auto& each : claim(start))
        mark({.id = each.id,
              .claimed_until = each.claimed_until,
              .state = delivery_state::given_up,
              .next_at = start + 1,
              .status = 500,
              .error = "status 500"});
    const auto replay = [&](delivery_filter which) { return replay_deliveries(on(), which, start + 100); };
    EXPECT_EQ(replay({.id = id, .job_id = "job_2", .team_id = {}, .state = {}}), 0u);
    EXPECT_EQ(replay({.id = {}, .job_id = {}, .team_id = "team_a", .state = delivery_state::delivered}), 0u);
    EXPECT_EQ(replay({.id = {}, .job_id = "job_1", .team_id = {}, .state = {}}), 1u);
    EXPECT_EQ(look(id).state, delivery_state::waiting);
    EXPECT_EQ(look(id).tries, 0u);
    EXPECT_EQ(look(id).next_at, start + 100);
    EXPECT_EQ(look(id).replayed_at, start + 100);
    EXPECT_EQ(look(id).last_status, 500u) << "the history of before";
    EXPECT_EQ(replay({.id = {}, .job_id = {}, .team_id = "team_a", .state = delivery_state::given_up}), 1u);
    EXPECT_EQ(look(of_other_job).state, delivery_state::waiting);
    EXPECT_EQ(look(of_other_team).state, delivery_state::given_up);
    const auto claimed = claim(start + 100);
    EXPECT_EQ(claimed.size(), 2u);
    EXPECT_EQ(replay({.id = id, .job_id = {}, .team_id = {}, .state = {}}), 0u) << "it is being sent right now";
}

TEST_P(webhook_deliveries_contract, lists_are_the_newest_first_in_pages) {
    std::vector<std::string> made;
    for (int i = 0; i < 5; ++i) made.push_back(add("https://a.example/", start + i / 2, "team_a", "job_1"));
    add("https://a.example/", start, "team_b", "job_2");
    std::vector<std::string> seen;
    std::string after;
    for (int page = 0; page < 3; ++page) {
        const auto entries = list_deliveries(on(), {.id = {}, .job_id = "job_1", .team_id = {}, .state = {}}, after, 2);
        ASSERT_EQ(entries.size(), page < 2 ? 2u : 1u);
        for (const auto& each : entries) seen.push_back(each.id);
        after = entries.back().id;
    }
    EXPECT_EQ(seen.front(), made.back());
    EXPECT_EQ(std::set(seen.begin(), seen.end()), std::set(made.begin(), made.end()));
    EXPECT_TRUE(
        list_deliveries(on(), {.id = {}, .job_id = {}, .team_id = {}, .state = delivery_state::delivered}, {}, 9)
            .empty());
    EXPECT_TRUE(list_deliveries(on(), {}, "evt_of_nobody", 9).empty());
}

}  // namespace
}  // namespace jobs
