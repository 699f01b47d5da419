// Owners and callers' batches on a real database: who owns what over replicas, money that is held and settled once
// whatever is repeated, and who looks at which batch.
#include <future>
#include <thread>

#include "database/migrations.hpp"
#include "database_fixture.hpp"
#include "governance/job_holds.hpp"
#include "governance_suite.hpp"
#include "ledger/row_buffer.hpp"
#include "resources/batch_rows.hpp"
#include "resources/claim.hpp"
#include "resources/owners.hpp"

namespace resources {
namespace {

using governance::budget_hold;

time_ms clock_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

class resources_suite : public governance::governance_suite {
protected:
    static constexpr time_ms begun = 1'800'000'000'000;
    static constexpr base::pico_dollars limit = 1'000'000;

    void SetUp() override {
        governance_suite::SetUp();
        if (HasFatalFailure()) return;
        on().execute(
            "INSERT INTO claude_proxy.budgets (id, scope, scope_id, period, limit_pico, created_at, updated_at)"
            " VALUES ('bud_1', 'team', 'team_1', 'total', $1, 0, 0)",
            {limit});
        on().execute(
            "INSERT INTO claude_proxy.budget_leases (budget_id, period_start, replica, granted_pico, consumed_pico,"
            " wanted_until, expires_at) VALUES ('bud_1', 0, 'rep_1', $1, 0, 0, $2)",
            {limit, INT64_MAX / 2});
    }

    static batch_entry entry(std::string id, base::pico_dollars held) {
        batch_entry made;
        made.id = std::move(id);
        made.team_id = "team_1";
        made.key_id = "key_1";
        made.requests = 3;
        made.created_at = begun;
        made.holds = {{"bud_1", 0, held}};
        return made;
    }
    void make(const std::string& id, base::pico_dollars held, const std::string& upstream_id) {
        insert_batch(on(), entry(id, held), "rep_1", begun, begun + 1'000);
        open_batch(on(), id, upstream_id, begun + 5, begun);
    }
    static void add(ledger::row_buffer& to, const std::string& request_id, base::pico_dollars cost) {
        ledger::attempt row;
        row.request_id = request_id;
        row.started_ms = row.finished_ms = begun;
        row.team_id = "team_1";
        row.key_id = "key_1";
        row.model = "m";
        row.tags = "[]";
        row.result = ledger::outcome::complete;
        row.cost = row.cost_low = row.cost_high = cost;
        to.add(row);
    }

    std::int64_t number(std::string_view sql) { return database::integer_of(on().query(sql).at(0).at(0)); }
    std::int64_t jobs_lease() {
        return number(
            "SELECT COALESCE(SUM(granted_pico - consumed_pico), 0) FROM claude_proxy.budget_leases"
            " WHERE replica = 'jobs'");
    }
    // What the invariant is about: spent, and everything that anybody may still spend.
    std::int64_t promised() {
        return number("SELECT COALESCE(SUM(granted_pico - consumed_pico), 0) FROM claude_proxy.budget_leases") +
               spent();
    }
    std::int64_t spent() {
        return number("SELECT COALESCE(SUM(spent_pico), 0) FROM claude_proxy.spend_daily WHERE scope = 'team'");
    }
};

TEST_P(resources_suite, what_is_held_for_a_batch_moves_to_the_jobs_and_becomes_spent_result_by_result) {
    make("req_1", 1'000, "msgbatch_1");
    EXPECT_EQ(jobs_lease(), 1'000);
    EXPECT_EQ(promised(), limit);
    ledger::row_writer writer;
    ledger::row_buffer first("rep_1");
    add(first, "req_1:a", 100);
    add(first, "req_1:b", 50);
    ASSERT_TRUE(settle_results(on(), writer, "req_1", first.rows(), 0, begun));
    EXPECT_EQ(jobs_lease(), 850);
    EXPECT_EQ(spent(), 150);
    EXPECT_EQ(promised(), limit);
    finish_batch(on(), "req_1", begun);
    EXPECT_EQ(jobs_lease(), 0);
    EXPECT_EQ(promised(), limit - 850);
    EXPECT_EQ(find_batch(on(), "msgbatch_1")->phase, batch_phase::settled);
}

TEST_P(resources_suite, results_that_come_again_count_once) {
    make("req_1", 1'000, "msgbatch_1");
    ledger::row_writer writer;
    ledger::row_buffer first("rep_1");
    add(first, "req_1:a", 100);
    ledger::row_buffer again("rep_2");
    add(again, "req_1:a", 100);
    add(again, "req_1:b", 10);
    ASSERT_TRUE(settle_results(on(), writer, "req_1", first.rows(), 0, begun));
    ASSERT_TRUE(settle_results(on(), writer, "req_1", again.rows(), 0, begun));
    ASSERT_TRUE(settle_results(on(), writer, "req_1", again.rows(), 0, begun));
    EXPECT_EQ(spent(), 110);
    EXPECT_EQ(jobs_lease(), 890);
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.attempts"), 2);
    finish_batch(on(), "req_1", begun);
    finish_batch(on(), "req_1", begun);
    fail_batch(on(), "req_1", begun);
    EXPECT_EQ(jobs_lease(), 0);
    EXPECT_FALSE(settle_results(on(), writer, "req_1", again.rows(), 0, begun)) << "it is over";
}

TEST_P(resources_suite, two_that_settle_at_the_same_time_settle_once) {
    make("req_1", 100'000, "msgbatch_1");
    std::vector<std::thread> threads;
    for (int each = 0; each < 4; ++each) {
        threads.emplace_back([&] {
            const auto own = connect();
            ledger::row_writer writer;
            for (int page = 0; page < 10; ++page) {
                ledger::row_buffer rows("rep_1");
                for (int i = 0; i < 20; ++i) add(rows, "req_1:" + std::to_string(page * 20 + i), 7);
                for (int tried = 0; tried < 50; ++tried) {
                    try {
                        settle_results(*own, writer, "req_1", rows.rows(), 0, begun);
                        break;
                    } catch (const database::failure& problem) {
                        if (problem.kind != database::failure_kind::busy) throw;
                    }
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(spent(), 200 * 7);
    EXPECT_EQ(jobs_lease(), 100'000 - 200 * 7);
}

TEST_P(resources_suite, more_than_was_held_gives_back_no_more_than_was_held) {
    make("req_1", 100, "msgbatch_1");
    make("req_2", 1'000, "msgbatch_2");
    ledger::row_writer writer;
    ledger::row_buffer rows("rep_1");
    add(rows, "req_1:a", 5'000);
    ASSERT_TRUE(settle_results(on(), writer, "req_1", rows.rows(), 0, begun));
    finish_batch(on(), "req_1", begun);
    EXPECT_EQ(jobs_lease(), 1'000) << "what another batch holds stays held";
}

TEST_P(resources_suite, a_batch_that_is_entered_twice_holds_once_and_one_that_failed_nothing) {
    insert_batch(on(), entry("req_1", 500), "rep_1", begun, begun + 1'000);
    insert_batch(on(), entry("req_1", 500), "rep_1", begun, begun + 1'000);
    EXPECT_TRUE(batch_exists(on(), "req_1"));
    EXPECT_EQ(jobs_lease(), 500);
    fail_batch(on(), "req_1", begun);
    EXPECT_EQ(jobs_lease(), 0);
    // Another replica had given it up, and then it was made after all: it is accounted for, without a hold.
    open_batch(on(), "req_1", "msgbatch_1", begun, begun);
    EXPECT_EQ(find_batch(on(), "msgbatch_1")->phase, batch_phase::open);
    open_batch(on(), "req_1", "msgbatch_2", begun, begun);
    EXPECT_FALSE(find_batch(on(), "msgbatch_2")) << "it has its name";
}

TEST_P(resources_suite, one_replica_looks_at_a_batch_and_another_when_it_is_lost) {
    make("req_1", 1, "msgbatch_1");
    const auto other = connect();
    EXPECT_TRUE(take_due_batches(on(), batch_origin::caller, "rep_1", begun + 1, begun + 100, 10).empty()) << "not yet";
    EXPECT_EQ(take_due_batches(on(), batch_origin::caller, "rep_1", begun + 10, begun + 100, 10).size(), 1U);
    EXPECT_TRUE(take_due_batches(*other, batch_origin::caller, "rep_2", begun + 50, begun + 150, 10).empty())
        << "rep_1 is at it";
    EXPECT_EQ(take_due_batches(*other, batch_origin::caller, "rep_2", begun + 100, begun + 200, 10).size(), 1U)
        << "rep_1 is lost";
    looked_at_batch(*other, "req_1", "in_progress", begun + 1'000, begun + 120);
    EXPECT_TRUE(take_due_batches(on(), batch_origin::caller, "rep_1", begun + 999, begun + 2'000, 10).empty());
    hurry_batch(on(), "msgbatch_1", begun + 500);
    EXPECT_EQ(take_due_batches(on(), batch_origin::caller, "rep_1", begun + 500, begun + 2'000, 10).size(), 1U);
}

TEST_P(resources_suite, what_is_being_made_is_left_alone_as_long_as_its_replica_says_so) {
    insert_batch(on(), entry("req_1", 1), "rep_1", begun, begun + 100);
    EXPECT_TRUE(take_due_batches(on(), batch_origin::caller, "rep_1", begun + 50, begun + 150, 0).empty())
        << "renews it";
    EXPECT_TRUE(take_due_batches(on(), batch_origin::caller, "rep_2", begun + 149, begun + 250, 10).empty());
    const auto lost = take_due_batches(on(), batch_origin::caller, "rep_2", begun + 150, begun + 250, 10);
    ASSERT_EQ(lost.size(), 1U);
    EXPECT_EQ(lost[0].phase, batch_phase::creating);
    doubt_batch(on(), "req_1", begun + 500, begun + 200);
    EXPECT_TRUE(take_due_batches(on(), batch_origin::caller, "rep_2", begun + 499, begun + 900, 10).empty());
    EXPECT_EQ(take_due_batches(on(), batch_origin::caller, "rep_2", begun + 500, begun + 900, 10).size(), 1U);
}

TEST_P(resources_suite, a_batch_upstream_that_has_an_owner_is_not_unknown) {
    make("req_1", 1, "msgbatch_1");
    on().execute(
        "INSERT INTO claude_proxy.resources (id, kind, team_id, key_id, created_at)"
        " VALUES ('msgbatch_2', 'batch', 't', '', 0)");
    const std::vector<std::string> all = {"msgbatch_1", "msgbatch_2", "msgbatch_3"};
    EXPECT_EQ(unknown_batches(on(), all), std::vector<std::string>{"msgbatch_3"});
}

// Owners.

found asked(owners& of, std::vector<std::string> ids, const std::string& team) {
    std::promise<found> answer;
    of.ask(std::move(ids), team, [&](found told) { answer.set_value(std::move(told)); });
    return answer.get_future().get();
}

TEST_P(resources_suite, an_id_has_one_owner_over_all_replicas) {
    owners one(connect(), {}, clock_ms, {});
    owners two(connect(), {}, clock_ms, {});
    std::promise<void> written;
    one.record({"file_1", kind::file, "team_1", "key_1"}, [&] { written.set_value(); });
    EXPECT_EQ(one.look("file_1", "team_1"), finding::mine) << "before the database has it";
    written.get_future().get();
    EXPECT_FALSE(two.look("file_1", "team_1"));
    EXPECT_EQ(asked(two, {"file_1"}, "team_2").what, finding::not_mine);
    EXPECT_EQ(asked(two, {"file_1"}, "team_1").what, finding::mine);
    EXPECT_EQ(two.look("file_1", "team_2"), finding::not_mine) << "now it is in memory";
    // Who says that it is another's comes too late.
    std::promise<void> again;
    two.record({"file_1", kind::file, "team_2", "key_2"}, [&] { again.set_value(); });
    again.get_future().get();
    EXPECT_EQ(asked(one, {"file_1"}, "team_1").what, finding::mine);
    const auto mixed = asked(two, {"file_1", "file_2"}, "team_1");
    EXPECT_EQ(mixed.what, finding::not_mine);
    EXPECT_EQ(mixed.id, "file_2");
}

TEST_P(resources_suite, what_is_gone_is_nobodys_and_lists_have_the_rest) {
    owners all(connect(), {}, clock_ms, {});
    const auto listed = [&] {
        std::promise<std::vector<std::string>> answer;
        all.list(kind::file, "team_1", [&](auto ids) { answer.set_value(ids.value_or(std::vector<std::string>{})); });
        auto ids = answer.get_future().get();
        std::ranges::sort(ids);
        return ids;
    };
    for (const char* id : {"file_1", "file_2"}) all.record({id, kind::file, "team_1", "k"}, {});
    all.record({"file_3", kind::file, "team_2", "k"}, {});
    all.record({"skill_1", kind::skill, "team_1", "k"}, {});
    EXPECT_EQ(listed(), (std::vector<std::string>{"file_1", "file_2"}));
    all.forget("file_1");
    while (asked(all, {"file_1"}, "team_1").what == finding::mine) std::this_thread::yield();
    EXPECT_EQ(asked(all, {"file_1"}, "team_1").what, finding::not_mine);
    EXPECT_EQ(listed(), std::vector<std::string>{"file_2"});
}

TEST_P(resources_suite, a_claim_is_for_what_nobody_has) {
    EXPECT_TRUE(claim(on(), boss, "file_1", "team_1", now()));
    EXPECT_TRUE(claim(on(), boss, "file_1", "team_1", now())) << "it is the team's already";
    EXPECT_EQ(governance::kind_of(claim(on(), boss, "file_1", "team_2", now())), base::errc::conflict);
    for (const char* id : {"", "file", "x_1", "file_'1", "file_ 1"}) {
        EXPECT_EQ(governance::kind_of(claim(on(), boss, id, "team_1", now())), base::errc::invalid_argument) << id;
    }
    const governance::actor viewer{.id = "v", .as = governance::role::viewer};
    EXPECT_EQ(governance::kind_of(claim(on(), viewer, "file_2", "team_1", now())), base::errc::permission_denied);
}

RUN_ON_EVERY_DATABASE(resources_suite);

}  // namespace
}  // namespace resources
