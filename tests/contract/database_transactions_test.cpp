// Transactions: all or nothing, and nothing lost when many write at once.
#include "database_fixture.hpp"

namespace contract {
namespace {

class transactions : public database_suite {
public:
    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on = connect();
        if (!is_sqlite()) on->run_script("CREATE SCHEMA claude_proxy");
        on->run_script(
            "CREATE TABLE claude_proxy.counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL);"
            "INSERT INTO claude_proxy.counters (name, n) VALUES ('a', 0), ('b', 0)");
    }
    static void add(connection& to, std::string_view name, std::int64_t amount = 1) {
        to.execute("UPDATE claude_proxy.counters SET n = n + $1 WHERE name = $2", {amount, std::string(name)});
    }
    static std::int64_t read(connection& from, std::string_view name) {
        return integer_of(
            from.query("SELECT n FROM claude_proxy.counters WHERE name = $1", {std::string(name)}).at(0).at(0));
    }
    std::unique_ptr<connection> on;
};

TEST_P(transactions, what_is_not_committed_never_happened) {
    {
        transaction whole(*on);
        add(*on, "a");
        EXPECT_EQ(read(*on, "a"), 1);
        EXPECT_EQ(read(*connect(), "a"), 0) << "others must not see it";
    }
    EXPECT_EQ(read(*on, "a"), 0);
    transaction whole(*on);
    add(*on, "a");
    whole.commit();
    EXPECT_EQ(read(*connect(), "a"), 1);
}

TEST_P(transactions, do_not_nest) {
    transaction whole(*on);
    EXPECT_EQ(kind_of_failure([&] { on->begin(); }), failure_kind::invalid);
    add(*on, "a");
    whole.commit();
    EXPECT_EQ(kind_of_failure([&] { on->commit(); }), failure_kind::invalid);
    on->rollback();  // nothing is open: does nothing
    EXPECT_EQ(read(*on, "a"), 1);
}

TEST_P(transactions, after_a_failure_can_only_be_rolled_back) {
    {
        transaction whole(*on);
        add(*on, "a");
        EXPECT_EQ(kind_of_failure([&] { on->execute("INSERT INTO claude_proxy.counters VALUES ('b', 1)"); }),
                  failure_kind::conflict);
        EXPECT_EQ(kind_of_failure([&] { add(*on, "a"); }), failure_kind::conflict);
        EXPECT_EQ(kind_of_failure([&] { on->run_script("SELECT 1"); }), failure_kind::conflict);
        EXPECT_EQ(kind_of_failure([&] { whole.commit(); }), failure_kind::conflict);
    }
    EXPECT_EQ(read(*on, "a"), 0);
    add(*on, "a");
    EXPECT_EQ(read(*on, "a"), 1);
}

TEST_P(transactions, an_exception_of_the_caller_rolls_back) {
    EXPECT_THROW(
        {
            transaction whole(*on);
            add(*on, "a");
            throw std::runtime_error("the caller's");
        },
        std::runtime_error);
    EXPECT_EQ(read(*on, "a"), 0);
}

constexpr int threads = 4, rounds = 200;

TEST_P(transactions, increments_of_many_connections_all_count) {
    on_threads(threads, [&](int) {
        const auto own = connect();
        for (int i = 0; i < rounds; ++i) {
            until_not_busy([&] {
                transaction whole(*own);
                add(*own, "a");
                add(*own, "b", read(*own, "a"));
                whole.commit();
            });
        }
    });
    constexpr std::int64_t all = threads * rounds;
    EXPECT_EQ(read(*on, "a"), all);
    EXPECT_EQ(read(*on, "b"), all * (all + 1) / 2) << "each saw its own place in the order";
}

TEST_P(transactions, who_reads_decides_and_writes_under_a_lock_is_alone) {
    on_threads(threads, [&](int) {
        const auto own = connect();
        for (int i = 0; i < rounds; ++i) {
            until_not_busy([&] {
                transaction whole(*own);
                database::lock(*own, "the counters");
                const auto seen = read(*own, "a");
                own->execute("UPDATE claude_proxy.counters SET n = $1 WHERE name = 'a'", {seen + 1});
                whole.commit();
            });
        }
    });
    EXPECT_EQ(read(*on, "a"), threads * rounds);
}

TEST_P(transactions, a_lock_ends_with_its_transaction_and_waits_only_for_its_name) {
    {
        transaction whole(*on);
        database::lock(*on, "one");
        if (!is_sqlite()) {
            const auto other = connect();
            transaction beside(*other);
            database::lock(*other, "another");
        }
    }
    const auto other = connect({.statement_timeout = milliseconds(2'000)});
    transaction after(*other);
    database::lock(*other, "one");
}

TEST_P(transactions, two_that_take_rows_in_opposite_order_both_happen_in_the_end) {
    on_threads(2, [&](int i) {
        const auto own = connect();
        for (int round = 0; round < 20; ++round) {
            until_not_busy([&] {
                transaction whole(*own);
                add(*own, i == 0 ? "a" : "b");
                add(*own, i == 0 ? "b" : "a");
                whole.commit();
            });
        }
    });
    EXPECT_EQ(read(*on, "a"), 40);
    EXPECT_EQ(read(*on, "b"), 40);
}

TEST_P(transactions, a_reader_is_not_held_up_by_a_writer) {
    transaction whole(*on);
    add(*on, "a");
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(read(*connect({.statement_timeout = milliseconds(20'000)}), "a"), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(10'000));
}

RUN_ON_EVERY_DATABASE(transactions);

}  // namespace
}  // namespace contract
