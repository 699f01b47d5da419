// Every row once, and every sum exact, whatever fails and whoever dies.
#include <csignal>
#include <ctime>
#include <fstream>
#include <map>

#include <sys/wait.h>

#include "ledger/usage_query.hpp"
#include "ledger_fixture.hpp"

namespace contract {
namespace {

using ledger::account_sum;

class ledger_writer : public ledger_suite {};

TEST_P(ledger_writer, rows_and_their_sums_arrive) {
    ledger::journal journal(settings);
    ledger::lane& lane = journal.add_lane();
    const auto writer = writer_of(journal);
    run(lane, 0, 5'000);
    lane.refuse({.request_id = "req_cp_refused",
                 .at_ms = 1'780'000'000'000,
                 .team_id = "team_0",
                 .key_id = "key_0",
                 .model = "claude-a",
                 .status = 429,
                 .reason = "budget_exhausted",
                 .detail = "The \"budget\" is used."});
    const auto left = writer->flush(in(30));
    EXPECT_TRUE(left.is_complete()) << left.rows_left;
    expect_exactly(5'000);
    EXPECT_EQ(writer->counts().rows_written, 5'000u);
    EXPECT_EQ(writer->counts().failures, 0u);
    EXPECT_EQ(writer->counts().lag_ms, 0u);
    const auto refusals = on->query("SELECT request_id, status, reason, details FROM claude_proxy.refusals");
    EXPECT_EQ(refusals, (std::vector<database::row>{{std::string("req_cp_refused"), std::int64_t{429},
                                                     std::string("budget_exhausted"),
                                                     std::string(R"({"detail":"The \"budget\" is used."})")}}));
    const auto row = on->query(
        "SELECT attempt_id, replica, team_id, key_id, model, tags, status, outcome, input_tokens, output_tokens, "
        "cost_pico, price_table, details FROM claude_proxy.attempts WHERE attempt_id = $1",
        {"req_cp_8.1"});
    ASSERT_EQ(row.size(), 1u);
    EXPECT_EQ(row[0], (database::row{std::string("req_cp_8.1"), journal.replica(), std::string("team_2"),
                                     std::string("key_2"), std::string("claude-a"), std::string(R"(["blue","red"])"),
                                     std::int64_t{200}, std::string("complete"), std::int64_t{8}, std::int64_t{7},
                                     std::int64_t{1'000'008}, std::string("0123456789abcdef"),
                                     std::string(R"({"route":"messages","hold_pico":2000016})")}));
}

TEST_P(ledger_writer, accounts_learn_in_the_transaction_what_is_new_and_afterwards_what_is_there) {
    std::map<ledger::account_id, std::int64_t> in_transaction, written;  // the writer's thread's until the flush
    std::atomic<int> unknown_commits = 3;
    std::atomic<bool> has_rows = false;
    ledger::writer_hooks hooks;
    hooks.in_transaction = [&](connection& with, std::span<const account_sum> sums) {
        for (const account_sum& each : sums) {
            with.execute(
                "INSERT INTO claude_proxy.state (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = "
                "CAST(CAST(state.value AS BIGINT) + CAST(excluded.value AS BIGINT) AS TEXT)",
                {"account_" + std::to_string(each.account), std::to_string(each.amount)});
        }
    };
    hooks.written = [&](std::span<const account_sum> sums) {
        for (const account_sum& each : sums) written[each.account] += each.amount;
    };
    {
        ledger::journal journal(settings);
        ledger::lane& lane = journal.add_lane();
        const auto writer = writer_of(journal, hooks, [&](unreliable::step at) {
            if (at == unreliable::step::insert) has_rows = true;
            if (at == unreliable::step::after_commit && has_rows.exchange(false) && unknown_commits-- > 0)
                throw failure(failure_kind::unavailable, "the connection broke after the commit");
        });
        run(lane, 0, 3'000);
        ASSERT_TRUE(writer->flush(in(60)).is_complete());
        EXPECT_GE(writer->counts().failures, 3u);
    }
    expect_exactly(3'000);
    EXPECT_EQ(written[0], cost_of(3'000));
    EXPECT_EQ(written[1] + written[2] + written[3], cost_of(3'000));
    for (const auto& [account, amount] : written) {
        const auto noted =
            on->query("SELECT value FROM claude_proxy.state WHERE name = $1", {"account_" + std::to_string(account)});
        ASSERT_EQ(noted.size(), 1u);
        EXPECT_EQ(text_of(noted[0][0]), std::to_string(amount)) << "in the transaction every row counts once";
    }
}

TEST_P(ledger_writer, every_row_is_there_once_although_every_step_fails_now_and_then) {
    std::minstd_rand random(20'26);
    std::atomic<int> broken = 0;
    std::atomic<bool> is_over = false;
    int began = 0, ended = 0;
    ledger::writer_hooks hooks;
    hooks.outage_began = [&](const std::string&) { ++began; };
    hooks.outage_ended = [&](milliseconds) { ++ended; };
    settings.batch_rows_max = 100;
    ledger::journal journal(settings);
    ledger::lane& lane = journal.add_lane();
    auto writer = writer_of(journal, hooks, [&](unreliable::step at) {
        if (is_over || random() % 10 != 0) return;
        ++broken;
        const bool is_busy = at == unreliable::step::insert && random() % 2 == 0;
        throw failure(is_busy ? failure_kind::busy : failure_kind::unavailable, "broken on purpose");
    });
    for (std::uint64_t n = 0; n < 2'000; n += 100) {
        run(lane, n, 100);
        writer->flush(std::chrono::steady_clock::now() + milliseconds(50));
    }
    EXPECT_TRUE(writer->flush(in(120)).is_complete());
    is_over = true;
    writer.reset();
    EXPECT_GT(broken, 5);
    EXPECT_GT(began, 0);
    EXPECT_EQ(began, ended);
    expect_exactly(2'000);
}

TEST_P(ledger_writer, a_row_that_the_database_refuses_is_put_aside_and_the_others_go_on) {
    on->run_script("CREATE UNIQUE INDEX no_second_details ON claude_proxy.attempts (price_table" +
                   std::string(is_sqlite() ? ") WHERE price_table <> '0123456789abcdef'"
                                           : ", started_at) WHERE price_table <> '0123456789abcdef'"));
    std::vector<std::string> troubles;
    ledger::writer_hooks hooks;
    hooks.trouble = [&](const std::string& what) { troubles.push_back(what); };
    base::pico_dollars told = 0;
    hooks.written = [&](std::span<const account_sum> sums) {
        for (const account_sum& each : sums)
            if (each.account == 9) told += each.amount;
    };
    ledger::journal journal(settings);
    ledger::lane& lane = journal.add_lane();
    auto writer = writer_of(journal, hooks);
    run(lane, 0, 700);
    const kept_attempt good = attempt_number(700);
    kept_attempt bad = attempt_number(701);
    bad.started_ms = good.started_ms;
    for (const kept_attempt* each : std::initializer_list<const kept_attempt*>{&good, &bad}) {
        ledger::attempt done = each->made();
        done.price_table = "unique";
        lane.finish(lane.open(done), done, std::vector<ledger::account_id>{9});
    }
    run(lane, 702, 300);
    EXPECT_TRUE(writer->flush(in(60)).is_complete());
    EXPECT_EQ(writer->counts().rows_rejected, 1u);
    writer.reset();
    EXPECT_EQ(attempts(), 1001);
    EXPECT_EQ(told, good.cost + bad.cost) << "what the refused row cost must not stay held";
    EXPECT_TRUE(ledger::verify_sums(*on).add_up());
    ASSERT_EQ(troubles.size(), 1u);
    EXPECT_NE(troubles[0].find("rejected.jsonl"), std::string::npos) << troubles[0];
    std::ifstream file(settings.directory + "/rejected.jsonl");
    std::string line, more;
    ASSERT_TRUE(std::getline(file, line));
    EXPECT_NE(line.find(R"("attempt_id":"req_cp_701.1")"), std::string::npos) << line;
    EXPECT_NE(line.find(R"("cost_pico":1000701)"), std::string::npos) << line;
    EXPECT_FALSE(std::getline(file, more));
}

TEST_P(ledger_writer, an_absurd_row_takes_no_other_with_it) {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    ledger::journal journal(settings);
    ledger::lane& lane = journal.add_lane();
    base::pico_dollars told = 0;
    ledger::writer_hooks hooks;
    hooks.written = [&](std::span<const account_sum> sums) {
        for (const account_sum& each : sums) told = base::add_saturated(told, each.amount);
    };
    auto writer = writer_of(journal, hooks);
    for (std::uint64_t n = 0; n < 6; ++n) {
        kept_attempt each = attempt_number(0);
        each.request_id += "_" + std::to_string(n);
        ledger::attempt done = each.made();
        if (n % 3 != 2) {
            done.cost = done.cost_high = most;
            done.usage.tokens.input_tokens = std::numeric_limits<std::uint64_t>::max();
        }
        lane.finish(lane.open(done), done, std::vector<ledger::account_id>{0});
        if (n == 2) EXPECT_TRUE(writer->flush(in(20)).is_complete());
    }
    EXPECT_TRUE(writer->flush(in(20)).is_complete());
    EXPECT_EQ(writer->counts().rows_rejected, 0u);
    writer.reset();
    EXPECT_EQ(told, most);
    EXPECT_EQ(attempts(), 6);
    EXPECT_EQ(spent(), most);
    run(lane, 1, 48);  // other hours: sums of sums
    EXPECT_TRUE(writer_of(journal)->flush(in(20)).is_complete());
    const auto report = ledger::query_usage(*on, {});
    EXPECT_EQ(report.totals.attempts, 54);
    EXPECT_EQ(report.totals.cost, most);
    EXPECT_EQ(report.totals.input_tokens, most);
    EXPECT_LT(report.totals.cost_low, most);
    EXPECT_EQ(ledger::query_usage(*on, {.group_by = {ledger::usage_group::tag}}).totals.cost, most);
}

TEST_P(ledger_writer, a_schema_that_is_not_there_yet_is_an_outage_and_rejects_nothing) {
    on->run_script("ALTER TABLE claude_proxy.usage_hourly RENAME TO usage_away");
    std::atomic<int> began = 0;
    ledger::writer_hooks hooks;
    hooks.outage_began = [&](const std::string&) { ++began; };
    ledger::journal journal(settings);
    ledger::lane& lane = journal.add_lane();
    auto writer = writer_of(journal, hooks);
    run(lane, 0, 300);
    const auto left = writer->flush(std::chrono::steady_clock::now() + milliseconds(700));
    EXPECT_EQ(left.rows_left, 300u);
    EXPECT_EQ(began, 1);
    on->run_script("ALTER TABLE claude_proxy.usage_away RENAME TO usage_hourly");
    EXPECT_TRUE(writer->flush(in(60)).is_complete());
    EXPECT_EQ(writer->counts().rows_rejected, 0u);
    writer.reset();
    expect_exactly(300);
}

TEST_P(ledger_writer, a_hook_that_the_database_refuses_holds_no_row_back) {
    std::vector<std::string> troubles;
    ledger::writer_hooks hooks;
    hooks.in_transaction = [](connection& with, std::span<const account_sum>) {
        with.execute("INSERT INTO claude_proxy.no_such_table (id) VALUES ($1)", {1});
    };
    hooks.trouble = [&](const std::string& what) { troubles.push_back(what); };
    ledger::journal journal(settings);
    ledger::lane& lane = journal.add_lane();
    auto writer = writer_of(journal, hooks);
    run(lane, 0, 50);
    EXPECT_TRUE(writer->flush(in(60)).is_complete());
    writer.reset();
    expect_exactly(50);
    EXPECT_FALSE(troubles.empty());
}

TEST_P(ledger_writer, what_a_dead_process_left_is_adopted_once_by_one_of_two) {
    std::string dead;
    {
        ledger::journal journal(settings);
        dead = journal.replica();
        ledger::lane& lane = journal.add_lane();
        run(lane, 0, 3'000);
        for (std::uint64_t n = 0; n < 5; ++n) {
            const kept_attempt each = attempt_number(n, "req_cp_open_");
            lane.open(each.made());
        }
    }
    std::atomic<int> adopted = 0;
    ledger::writer_hooks hooks;
    hooks.adopted = [&](std::string_view replica, connection& with) {
        EXPECT_EQ(replica, dead);
        with.execute("DELETE FROM claude_proxy.budget_leases WHERE replica = $1", {std::string(replica)});
        ++adopted;
    };
    on->execute(
        "INSERT INTO claude_proxy.budget_leases (budget_id, period_start, replica, granted_pico, consumed_pico, "
        "expires_at) VALUES ('b', 0, $1, 5, 0, 0)",
        {dead});
    ledger::journal first(settings), second(settings);
    first.add_lane();
    second.add_lane();
    {
        const auto one = writer_of(first, hooks);
        const auto other = writer_of(second, hooks);
        const auto until = in(60);
        while (std::filesystem::exists(settings.directory + "/" + dead) && std::chrono::steady_clock::now() < until)
            std::this_thread::sleep_for(milliseconds(10));
        EXPECT_EQ(one->counts().rows_adopted + other->counts().rows_adopted, 3'005u);
    }
    EXPECT_FALSE(std::filesystem::exists(settings.directory + "/" + dead));
    EXPECT_EQ(adopted, 1);
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.budget_leases"), 0);
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.attempts WHERE replica = '" + dead + "'"), 3'005);
    const auto lost = on->query(
        "SELECT cost_pico, cost_low_pico, cost_high_pico, tags, details, finished_at FROM claude_proxy.attempts "
        "WHERE outcome = 'lost' AND attempt_id = 'req_cp_open_4.1'");
    ASSERT_EQ(lost.size(), 1u);
    EXPECT_EQ(integer_of(lost[0][0]), 0);
    EXPECT_EQ(integer_of(lost[0][1]), 0);
    EXPECT_EQ(integer_of(lost[0][2]), 2'000'008) << "at most what was held";
    EXPECT_EQ(text_of(lost[0][3]), R"(["blue","red"])");
    EXPECT_EQ(text_of(lost[0][4]), R"({"route":"messages","hold_pico":2000008})");
    EXPECT_GT(integer_of(lost[0][5]), 1'780'000'000'000);
    EXPECT_EQ(spent(), cost_of(3'000));
    EXPECT_TRUE(ledger::verify_sums(*on).add_up());
}

// A process that dies over and over, at any instruction; the next one carries on.
TEST_P(ledger_writer, processes_that_are_killed_leave_exact_books) {
    std::uint64_t next = 0;
    for (int round = 0; round < 6; ++round) {
        int told[2];
        ASSERT_EQ(::pipe(told), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(told[0]);
            settings.write_every = milliseconds(1);
            settings.batch_rows_max = 50;
            ledger::journal journal(settings);
            ledger::lane& lane = journal.add_lane();
            const auto writer = writer_of(journal);
            for (std::uint64_t n = next;; ++n) {
                run(lane, n, 1);
                if (::write(told[1], &n, sizeof n) != sizeof n) ::_exit(1);
            }
        }
        ::close(told[1]);
        std::uint64_t n = 0;
        for (int i = 0; i < 1'500 && ::read(told[0], &n, sizeof n) == sizeof n; ++i) next = n + 1;
        ASSERT_EQ(::kill(child, SIGKILL), 0);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        while (::read(told[0], &n, sizeof n) == sizeof n) next = n + 1;
        ::close(told[0]);
    }
    {
        ledger::journal journal(settings);
        journal.add_lane();
        const auto writer = writer_of(journal);
        const auto until = in(60);
        while (ledger_folders() > 1 && std::chrono::steady_clock::now() < until)
            std::this_thread::sleep_for(milliseconds(10));
        EXPECT_EQ(ledger_folders(), 1u);
    }
    // The kill may fall between a row's end and its being told: then the next process writes that row again, and it is
    // the same row. What was open is a row of its own only when it was not.
    EXPECT_GE(attempts(), static_cast<std::int64_t>(next));
    EXPECT_LE(attempts(), static_cast<std::int64_t>(next) + 1);
    EXPECT_GT(next, 5'000u);
    EXPECT_TRUE(ledger::verify_sums(*on).add_up());
}

TEST_P(ledger_writer, rows_are_many_a_second) {
    settings = {.directory = settings.directory};
    ledger::journal journal(settings);
    ledger::lane& lane = journal.add_lane();
    constexpr std::uint64_t rows = 60'000;
    const auto writer = writer_of(journal);
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t cpu_begin = std::clock();
    for (std::uint64_t n = 0; n < rows; n += 1'000) {
        run(lane, n, 1'000);
        if (n % 10'000 == 0) std::this_thread::sleep_for(milliseconds(1));
    }
    ASSERT_TRUE(writer->flush(in(60)).is_complete());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double cpu_us = static_cast<double>(std::clock() - cpu_begin) * 1e6 / CLOCKS_PER_SEC;
    const auto a_second = static_cast<std::uint64_t>(rows / seconds);
    RecordProperty("rows_a_second", std::to_string(a_second));
    std::cout << "[ MEASURED ] " << GetParam() << ": " << a_second << " rows/s from the journal into the database, "
              << cpu_us / rows << " us CPU of this process each\n";
    expect_exactly(rows);
    if (environment("TEST_THROUGHPUT") == "1") EXPECT_GE(a_second, 20'000u);
}

RUN_ON_EVERY_DATABASE(ledger_writer);

}  // namespace
}  // namespace contract
