// What the suites of the ledger share: a journal in a folder of its own, a database with its tables, connections that
// fail on purpose.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "database/migrations.hpp"
#include "database_fixture.hpp"
#include "ledger/journal.hpp"
#include "ledger/reconcile.hpp"
#include "ledger/writer.hpp"

namespace contract {

// A connection that passes everything on, after asking whether it may.
class unreliable final : public connection {
public:
    enum class step : std::uint8_t { statement, insert, before_commit, after_commit };
    using judge = std::function<void(step)>;  // throws failure to break the step

    unreliable(std::unique_ptr<connection> real, judge ask) : real_(std::move(real)), ask_(std::move(ask)) {}

    database::engine kind() const override { return real_->kind(); }
    std::vector<database::row> query(std::string_view sql, std::span<const value> parameters) override {
        ask_(step::statement);
        return real_->query(sql, parameters);
    }
    std::uint64_t execute(std::string_view sql, std::span<const value> parameters) override {
        ask_(step::statement);
        return real_->execute(sql, parameters);
    }
    void run_script(std::string_view sql) override { real_->run_script(sql); }
    std::vector<value> insert(const batch& rows) override {
        ask_(step::insert);
        return real_->insert(rows);
    }
    void begin() override { real_->begin(); }
    void commit() override {
        ask_(step::before_commit);
        real_->commit();
        ask_(step::after_commit);
    }
    void rollback() noexcept override { real_->rollback(); }

private:
    std::unique_ptr<connection> real_;
    judge ask_;
};

// Texts of one attempt that live as long as it.
struct kept_attempt {
    std::string request_id, team_id, key_id, model, tags;
    std::int64_t started_ms = 0;
    base::pico_dollars cost = 0;
    std::uint64_t input = 0;

    ledger::attempt made() const {
        ledger::attempt of;
        of.request_id = request_id;
        of.started_ms = started_ms;
        of.finished_ms = started_ms + 500;
        of.team_id = team_id;
        of.key_id = key_id;
        of.model = model;
        of.tags = tags;
        of.model_asked = model;
        of.route = "messages";
        of.status = 200;
        of.result = ledger::outcome::complete;
        of.usage.tokens.input_tokens = input;
        of.usage.tokens.output_tokens = 7;
        of.cost = of.cost_low = of.cost_high = cost;
        of.hold = cost * 2;
        of.price_table = "0123456789abcdef";
        return of;
    }
};

class ledger_suite : public database_suite {
public:
    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on = connect();
        database::migrate(*on);
        settings.directory = (std::filesystem::temp_directory_path() /
                              ("ledger_" + std::string(GetParam()) + std::to_string(::getpid())))
                                 .string();
        std::filesystem::remove_all(settings.directory);
        settings.write_every = milliseconds(10);
        settings.sync_every = milliseconds(100);
        settings.segment_bytes = 256 * 1024;
    }
    void TearDown() override {
        on.reset();
        std::filesystem::remove_all(settings.directory);
        database_suite::TearDown();
    }

    // The n-th of a stream of attempts over three teams, six keys, two models and 49 hours.
    static kept_attempt attempt_number(std::uint64_t n, const std::string& of = "req_cp_") {
        kept_attempt made;
        made.request_id = of + std::to_string(n);
        made.team_id = "team_" + std::to_string(n % 3);
        made.key_id = "key_" + std::to_string(n % 6);
        made.model = n % 2 == 0 ? "claude-a" : "claude-b";
        made.tags = n % 4 == 0 ? R"(["blue","red"])" : "[]";
        made.started_ms =
            1'780'000'000'000 + static_cast<std::int64_t>(n % 49) * 3'600'000 + static_cast<std::int64_t>(n);
        made.cost = static_cast<base::pico_dollars>(1'000'000 + n);
        made.input = n;
        return made;
    }
    static void run(ledger::lane& lane, std::uint64_t from, std::uint64_t count, const std::string& of = "req_cp_") {
        for (std::uint64_t n = from; n < from + count; ++n) {
            const kept_attempt each = attempt_number(n, of);
            const auto slot = lane.open(each.made());
            ASSERT_NE(slot, ledger::lane::no_slot);
            const std::vector<ledger::account_id> accounts = {0, static_cast<ledger::account_id>(1 + n % 3)};
            lane.finish(slot, each.made(), accounts);
        }
    }
    static base::pico_dollars cost_of(std::uint64_t count) {
        return static_cast<base::pico_dollars>(count * 1'000'000 + count * (count - 1) / 2);
    }

    std::unique_ptr<ledger::writer> writer_of(ledger::journal& journal, ledger::writer_hooks hooks = {},
                                              unreliable::judge ask = {}) {
        auto connection = connect(limits);
        if (ask) connection = std::make_unique<unreliable>(std::move(connection), std::move(ask));
        return std::make_unique<ledger::writer>(journal, settings, std::move(connection), std::move(hooks));
    }
    static auto in(int seconds) {
        return std::chrono::steady_clock::now() + std::chrono::seconds(seconds * time_scale());
    }

    std::size_t ledger_folders() const {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator(settings.directory)) count += entry.is_directory();
        return count;
    }
    std::int64_t number(const std::string& sql) { return integer_of(on->query(sql).at(0).at(0)); }
    std::int64_t attempts() { return number("SELECT COUNT(*) FROM claude_proxy.attempts"); }
    std::int64_t spent() {
        return number("SELECT COALESCE(SUM(spent_pico), 0) FROM claude_proxy.spend_daily WHERE scope = 'root'");
    }
    // Exactly the attempts 0 .. count-1, once each, and all sums as they should be.
    void expect_exactly(std::uint64_t count) {
        EXPECT_EQ(attempts(), static_cast<std::int64_t>(count));
        EXPECT_EQ(spent(), cost_of(count));
        EXPECT_EQ(number("SELECT COALESCE(SUM(cost_pico), 0) FROM claude_proxy.usage_hourly"), cost_of(count));
        const auto check = ledger::verify_sums(*on);
        EXPECT_EQ(check.attempts, count);
        for (const std::string& difference : check.differences) ADD_FAILURE() << difference;
    }

    ledger::options settings;
    database::options limits;
    std::unique_ptr<connection> on;
};

}  // namespace contract
