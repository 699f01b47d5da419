// The database goes away for real: stopped, killed in the middle of a commit, frozen.
#include "ledger_fixture.hpp"

namespace contract {
namespace {

class ledger_outage : public ledger_suite {
public:
    std::string server() const { return GetParam(); }

    // Rows are finished all the time while `trouble` comes and goes `times` times; then everything is there once.
    void expect_exact_books(std::string_view begin, std::string_view end, int times) {
        std::atomic<int> began = 0, ended = 0;
        ledger::writer_hooks hooks;
        hooks.outage_began = [&](const std::string&) { ++began; };
        hooks.outage_ended = [&](milliseconds) { ++ended; };
        limits.statement_timeout = milliseconds(500);
        limits.connect_timeout = milliseconds(500);
        ledger::journal journal(settings);
        ledger::lane& lane = journal.add_lane();
        const auto writer = writer_of(journal, hooks);
        std::uint64_t next = 0;
        const auto some = [&](milliseconds time) {
            const auto until = std::chrono::steady_clock::now() + time;
            while (std::chrono::steady_clock::now() < until) {
                run(lane, next, 50);
                next += 50;
                std::this_thread::sleep_for(milliseconds(2));
            }
        };
        for (int i = 0; i < times; ++i) {
            some(milliseconds(150));
            const auto before = writer->counts().rows_written.load();
            outage trouble(std::string(begin) + " " + server(), std::string(end) + " " + server());
            some(milliseconds(700));
            // The lag is told before each try, and a try may take as long as a connection's timeout.
            const auto told_until = in(10);
            while (writer->counts().lag_ms == 0 && std::chrono::steady_clock::now() < told_until)
                some(milliseconds(50));
            EXPECT_GT(writer->counts().lag_ms, 0u);
            EXPECT_GT(journal.unread(), 0u);
            EXPECT_GE(writer->counts().rows_written, before);
            trouble.end();
        }
        EXPECT_TRUE(writer->flush(in(60)).is_complete());
        EXPECT_GE(began, 1);
        EXPECT_EQ(began, ended);
        on = connect();
        expect_exactly(next);
    }
};

TEST_P(ledger_outage, stopped) { expect_exact_books("stop", "start", 2); }
TEST_P(ledger_outage, killed) { expect_exact_books("kill", "start", 3); }
TEST_P(ledger_outage, frozen) { expect_exact_books("freeze", "thaw", 2); }

// Whoever reads the ledger keeps the month's partition from being made, and nothing else.
TEST_P(ledger_outage, a_long_query_holds_no_rows_back) {
    const auto reader = connect();
    transaction long_one(*reader);
    reader->query("SELECT COUNT(*) FROM claude_proxy.attempts");
    std::mutex mutex;
    std::vector<std::string> troubles;
    ledger::writer_hooks hooks;
    hooks.trouble = [&](const std::string& what) {
        const std::lock_guard lock(mutex);
        troubles.push_back(what);
    };
    ledger::journal journal(settings);
    ledger::lane& lane = journal.add_lane();
    const auto writer = writer_of(journal, hooks);
    run(lane, 0, 100);
    EXPECT_TRUE(writer->flush(in(20)).is_complete());
    expect_exactly(100);
    const std::lock_guard lock(mutex);
    ASSERT_EQ(troubles.size(), 1u);
    EXPECT_NE(troubles[0].find("partitions"), std::string::npos) << troubles[0];
}

INSTANTIATE_TEST_SUITE_P(of, ledger_outage, testing::Values("postgres", "pgbouncer"), name_of_database);

}  // namespace
}  // namespace contract
