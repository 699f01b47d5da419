// What a stopped, frozen, slow or crowded database looks like to its user, and that all is well afterwards.
#include "database_fixture.hpp"

namespace contract {
namespace {

using std::chrono::seconds;
using clock = std::chrono::steady_clock;

constexpr const char* endless_sql[] = {
    "WITH RECURSIVE endless(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless) SELECT COUNT(*) FROM endless",
    "SELECT pg_sleep(120)",
};

class trouble : public database_suite {
public:
    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on = connect(impatient());
        if (!is_sqlite()) on->run_script("CREATE SCHEMA claude_proxy");
        on->run_script("CREATE TABLE claude_proxy.notes (n BIGINT NOT NULL)");
    }
    // Short, but long enough for a commit on a busy machine.
    static database::options impatient() {
        return {.connect_timeout = milliseconds(2'000), .statement_timeout = milliseconds(2'000) * time_scale()};
    }
    static void note(connection& to, std::int64_t n) {
        to.execute("INSERT INTO claude_proxy.notes (n) VALUES ($1)", {n});
    }
    static std::int64_t count(connection& from) {
        return integer_of(from.query("SELECT COUNT(*) FROM claude_proxy.notes").at(0).at(0));
    }
    // The server answers again: a pooler takes its time to find out.
    void wait_until_back(connection& to) {
        const auto deadline = clock::now() + seconds(30) * time_scale();
        for (;;) {
            try {
                count(to);
                return;
            } catch (const failure& problem) {
                ASSERT_EQ(problem.kind, failure_kind::unavailable) << problem.what();
                ASSERT_LT(clock::now(), deadline) << problem.what();
                std::this_thread::sleep_for(milliseconds(50));
            }
        }
    }
    // No statement of ours runs or waits on the server: one that was given up is cancelled a moment later.
    void wait_until_idle() const {
        const auto admin = as_admin();
        const auto deadline = clock::now() + seconds(20) * time_scale();
        while (!admin
                    ->query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
                            "AND usename = 'gateway'")
                    .empty()) {
            ASSERT_LT(clock::now(), deadline);
            std::this_thread::sleep_for(milliseconds(20));
        }
    }
    std::unique_ptr<connection> on;
};
class trouble_of_postgres : public trouble {};
class trouble_without_pooler : public trouble {};

TEST_P(trouble, a_statement_that_takes_too_long_is_given_up) {
    const auto began = clock::now();
    EXPECT_EQ(kind_of_failure([&] { on->query(endless_sql[is_sqlite() ? 0 : 1]); }), failure_kind::unavailable);
    const auto took = clock::now() - began;
    EXPECT_GE(took, impatient().statement_timeout);
    EXPECT_LT(took, impatient().statement_timeout + seconds(10) * time_scale());
    note(*on, 1);
    EXPECT_EQ(count(*on), 1);
}

TEST_P(trouble, a_transaction_whose_statement_takes_too_long_is_rolled_back) {
    {
        transaction whole(*on);
        note(*on, 1);
        EXPECT_EQ(kind_of_failure([&] { on->query(endless_sql[is_sqlite() ? 0 : 1]); }), failure_kind::unavailable);
        EXPECT_EQ(kind_of_failure([&] { note(*on, 2); }), failure_kind::unavailable);
        EXPECT_EQ(kind_of_failure([&] { whole.commit(); }), failure_kind::unavailable);
    }
    EXPECT_EQ(count(*on), 0);
    transaction next(*on);
    note(*on, 3);
    next.commit();
    EXPECT_EQ(count(*on), 1);
}

TEST_P(trouble, a_lock_that_another_keeps_is_not_waited_for_without_end) {
    const auto other = connect();
    transaction whole(*other);
    other->execute(is_sqlite() ? "DELETE FROM claude_proxy.notes" : "LOCK TABLE claude_proxy.notes");
    const auto began = clock::now();
    const auto why = kind_of_failure([&] { note(*on, 1); });
    EXPECT_TRUE(why == failure_kind::busy || why == failure_kind::unavailable);
    EXPECT_LT(clock::now() - began, impatient().statement_timeout + seconds(10) * time_scale());
    // What was given up must not get the lock when it is free.
    if (!is_sqlite()) wait_until_idle();
    whole.commit();
    note(*on, 2);
    EXPECT_EQ(on->query("SELECT n FROM claude_proxy.notes"), (std::vector<database::row>{{std::int64_t{2}}}));
}

TEST_P(trouble_of_postgres, a_statement_that_was_given_up_ends_on_the_server_too) {
    EXPECT_EQ(kind_of_failure([&] { on->query("SELECT pg_sleep(120)"); }), failure_kind::unavailable);
    wait_until_idle();
}

TEST_P(trouble_of_postgres, a_stopped_server_is_unavailable_and_its_return_is_seen) {
    note(*on, 1);
    {
        const outage stopped("stop postgres", "start postgres");
        for (int i = 0; i < 2; ++i) {
            EXPECT_EQ(kind_of_failure([&] { note(*on, 2); }), failure_kind::unavailable);
            EXPECT_EQ(kind_of_failure([&] { count(*connect(impatient())); }), failure_kind::unavailable);
        }
    }
    wait_until_back(*on);
    note(*on, 3);
    EXPECT_EQ(count(*on), 2);
}

TEST_P(trouble_of_postgres, a_transaction_does_not_go_on_after_the_server_crashed) {
    {
        transaction whole(*on);
        note(*on, 1);
        {
            const outage crashed("kill postgres", "start postgres");
        }
        wait_until_back(*connect(impatient()));
        EXPECT_EQ(kind_of_failure([&] { note(*on, 2); }), failure_kind::unavailable);
        EXPECT_EQ(kind_of_failure([&] { note(*on, 3); }), failure_kind::unavailable);
        EXPECT_EQ(kind_of_failure([&] { whole.commit(); }), failure_kind::unavailable);
    }
    wait_until_back(*on);
    EXPECT_EQ(count(*on), 0);
}

TEST_P(trouble_of_postgres, a_frozen_server_is_given_up_in_time) {
    note(*on, 1);
    const auto began = clock::now();
    {
        outage frozen("freeze postgres", "thaw postgres");
        EXPECT_EQ(kind_of_failure([&] { count(*on); }), failure_kind::unavailable);
        EXPECT_EQ(kind_of_failure([&] { count(*on); }), failure_kind::unavailable);
        EXPECT_LT(clock::now() - began, 2 * impatient().statement_timeout + seconds(20) * time_scale());
    }
    wait_until_back(*on);
    EXPECT_EQ(count(*on), 1);
}

// Not behind a pooler, which keeps the client's connection and may hand it a session that has just ended.
TEST_P(trouble_without_pooler, a_connection_that_ended_while_idle_costs_no_failure) {
    for (int round = 1; round <= 5; ++round) {
        note(*on, round);
        const auto pid = integer_of(on->query("SELECT pg_backend_pid()").at(0).at(0));
        as_admin()->query("SELECT pg_terminate_backend($1::int)", {pid});
        const auto deadline = clock::now() + seconds(20) * time_scale();
        // The process and not its row in pg_stat_activity: the socket closes last.
        while (std::filesystem::exists("/proc/" + std::to_string(pid))) {
            ASSERT_LT(clock::now(), deadline);
            std::this_thread::sleep_for(milliseconds(1));
        }
        EXPECT_EQ(count(*on), round);
    }
}

TEST_P(trouble_of_postgres, a_deadlock_and_a_serialization_failure_are_busy) {
    note(*on, 1);
    const auto other = connect();
    transaction first(*on);
    on->execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    EXPECT_EQ(count(*on), 1);
    {
        transaction second(*other);
        other->execute("UPDATE claude_proxy.notes SET n = 2");
        second.commit();
    }
    EXPECT_EQ(kind_of_failure([&] { on->execute("UPDATE claude_proxy.notes SET n = 3"); }), failure_kind::busy);
}

// A transaction that the server has given up on its own commits as ROLLBACK without an error; ours says so.
TEST_P(trouble_of_postgres, a_missing_privilege_or_table_inside_a_transaction_does_not_look_committed) {
    transaction whole(*on);
    note(*on, 1);
    EXPECT_EQ(kind_of_failure([&] { on->query("SELECT * FROM claude_proxy.nowhere"); }), failure_kind::invalid);
    EXPECT_EQ(kind_of_failure([&] { whole.commit(); }), failure_kind::invalid);
}

class pooler : public trouble {};

TEST_P(pooler, statements_of_many_threads_do_not_see_each_others_sessions) {
    constexpr int threads = 8, statements = 1'000;
    constexpr column columns[] = {{"n", column::type::integer}};
    const std::int64_t others = count(*on);
    on_threads(threads, [&](int thread) {
        const auto own = connect();
        std::int64_t kept = 0;
        batch rows("claude_proxy.notes", columns, "", "n");
        for (int i = 0; i < statements; ++i) {
            const std::int64_t mine = thread * 1'000'000 + i;
            switch (i % 6) {
                case 0: {
                    const auto answer = own->query("SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT)", {mine, "text"});
                    if (answer != std::vector<database::row>{{mine, std::string("text")}}) {
                        throw std::runtime_error("the answer of another statement");
                    }
                    break;
                }
                case 1:
                    note(*own, mine);
                    ++kept;
                    break;
                case 2: {
                    transaction whole(*own);
                    database::lock(*own, "one of many " + std::to_string(i % 3));
                    own->execute("SET LOCAL statement_timeout = '9s'");
                    note(*own, mine);
                    if (i % 4 == 0) {
                        whole.commit();
                        ++kept;
                    }
                    break;
                }
                case 3:
                    if (kind_of_failure([&] { own->query("SELECT * FROM claude_proxy.nowhere"); }) !=
                        failure_kind::invalid) {
                        throw std::runtime_error("the failure of another statement");
                    }
                    break;
                case 4: {
                    const auto limit = own->query("SHOW statement_timeout");
                    if (text_of(limit.at(0).at(0)) != "0") throw std::runtime_error("a setting of another session");
                    break;
                }
                default:
                    rows.clear();
                    rows.add(mine);
                    rows.add(mine);
                    if (own->insert(rows) != std::vector<value>{mine, mine}) throw std::runtime_error("another batch");
                    kept += 2;
            }
        }
        const auto written = own->query("SELECT COUNT(*) FROM claude_proxy.notes WHERE n >= $1 AND n < $2",
                                        {thread * 1'000'000, (thread + 1) * 1'000'000});
        if (integer_of(written.at(0).at(0)) != kept) throw std::runtime_error("rows were lost or came twice");
    });
    EXPECT_GT(count(*on), others);
    const auto admin = as_admin();
    EXPECT_TRUE(admin->query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").empty());
    EXPECT_TRUE(on->query("SELECT name FROM pg_prepared_statements").empty());
    if (std::string_view(GetParam()) == "pgbouncer") {
        EXPECT_LE(
            integer_of(admin->query("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                                    "pid <> pg_backend_pid()")[0][0]),
            3)
            << "else this was no test of a pool that is too small";
    }
}

RUN_ON_EVERY_DATABASE(trouble);
RUN_ON_POSTGRES(trouble_of_postgres);
INSTANTIATE_TEST_SUITE_P(on, trouble_without_pooler, testing::Values("postgres"), name_of_database);
RUN_ON_POSTGRES(pooler);

}  // namespace
}  // namespace contract
