// What the tests of the jobs' store share: a database with its tables, a clock that the test moves, and stores whose
// answers are waited for.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "database/migrations.hpp"
#include "database_fixture.hpp"
#include "jobs/rules.hpp"
#include "jobs/store.hpp"

namespace jobs {

// A real connection whose transactions fail when somebody says so.
enum class trouble : std::uint8_t {
    none,
    at_begin,       // the database is away
    before_commit,  // nothing happens, and nobody knows
    after_commit,   // it happens, and nobody knows
    refused,        // the statement is at fault: asked before each insert only
};
class unreliable : public database::connection {
public:
    enum class place : std::uint8_t { begin, insert, commit };
    using word = std::function<trouble(place, const database::batch*)>;
    unreliable(std::unique_ptr<database::connection> real, word says)
        : real_(std::move(real)), says_(std::move(says)) {}
    using database::connection::execute;
    using database::connection::query;
    database::engine kind() const override { return real_->kind(); }
    std::vector<database::row> query(std::string_view sql, std::span<const database::value> with) override {
        return real_->query(sql, with);
    }
    std::uint64_t execute(std::string_view sql, std::span<const database::value> with) override {
        return real_->execute(sql, with);
    }
    void run_script(std::string_view sql) override { real_->run_script(sql); }
    std::vector<database::value> insert(const database::batch& rows) override {
        if (says_(place::insert, &rows) == trouble::refused) {
            throw database::failure(database::failure_kind::invalid, "refused by the test");
        }
        return real_->insert(rows);
    }
    void begin() override {
        if (says_(place::begin, nullptr) == trouble::at_begin) lose();
        real_->begin();
    }
    void commit() override {
        const auto now = says_(place::commit, nullptr);
        if (now == trouble::before_commit) lose();
        real_->commit();
        if (now == trouble::after_commit) lose();
    }
    void rollback() noexcept override { real_->rollback(); }

private:
    [[noreturn]] static void lose() {
        throw database::failure(database::failure_kind::unavailable, "lost by the test");
    }
    std::unique_ptr<database::connection> real_;
    word says_;
};

// A store whose calls return their answers.
class waiting_store {
public:
    waiting_store(std::unique_ptr<database::connection> writes, const database::options& reads, const options& rules,
                  std::string replica, time_ms (*now)())
        : store_(std::move(writes), reads, rules, std::move(replica), now) {
        store_.on_change([this](const change& told) {
            const std::lock_guard lock(mutex_);
            changes_.push_back(told);
        });
    }

    store::submitted submit(submission what, std::function<void(bool)> fate = {}) {
        std::promise<store::submitted> told;
        store_.submit(
            std::move(what), [&](store::submitted answer) { told.set_value(std::move(answer)); }, std::move(fate));
        return told.get_future().get();
    }
    outcome cancel(const std::string& id, const std::string& team = "") {
        return one([&](auto done) { store_.cancel(id, team, done); });
    }
    outcome remove(const std::string& id, const std::string& team = "") {
        return one([&](auto done) { store_.remove(id, team, done); });
    }
    outcome redrive(const std::string& id) {
        return one([&](auto done) { store_.redrive(id, done); });
    }
    outcome append(const std::string& id, std::uint32_t attempt, log_piece piece) {
        return one([&](auto done) { store_.append(id, attempt, std::move(piece), done); });
    }
    outcome finish(ending how, bool again = false) {
        return one([&](auto done) { store_.finish(std::move(how), done, again); });
    }
    outcome announced(std::vector<std::string> ids) {
        return one([&](auto done) { store_.announced(std::move(ids), done); });
    }
    auto find(const std::string& id, const std::string& team = "") {
        return both<summary>([&](auto done) { store_.find(id, team, done); });
    }
    summary of(const std::string& id) { return find(id).second; }
    auto list(filter which) {
        return both<std::vector<summary>>([&](auto done) { store_.list(std::move(which), done); }).second;
    }
    std::tuple<outcome, summary, std::string> result(const std::string& id, const std::string& team = "") {
        std::promise<std::tuple<outcome, summary, std::string>> told;
        store_.result(id, team, [&](outcome how, summary about, std::string text) {
            told.set_value({how, std::move(about), std::move(text)});
        });
        return told.get_future().get();
    }
    auto read_logs(std::vector<store::log_wish> wishes, std::size_t bytes_max = 1u << 20) {
        return both<std::vector<store::log_news>>(
                   [&](auto done) { store_.read_logs(std::move(wishes), bytes_max, done); })
            .second;
    }
    // The whole log, checked to be without gaps.
    std::string log(const std::string& id) {
        std::string bytes;
        std::uint64_t after = 0;
        for (;;) {
            const auto news = read_logs({{id, after}});
            if (news.empty() || news.at(0).gone) return bytes;
            for (const auto& piece : news.at(0).pieces) {
                EXPECT_EQ(piece.first_id, after + 1);
                EXPECT_GE(piece.last_id, piece.first_id);
                after = piece.last_id;
                bytes += piece.bytes;
            }
        }
    }
    auto history(const std::string& id) {
        return both<std::vector<attempt_entry>>([&](auto done) { store_.history(id, done); }).second;
    }
    std::vector<claimed> claim(std::size_t count, lane where = lane::realtime) {
        auto [how, jobs] = both<std::vector<claimed>>([&](auto done) { store_.claim(count, where, done); });
        EXPECT_EQ(how, outcome::done);
        return std::move(jobs);
    }
    auto heartbeat(std::vector<store::running_job> held) {
        return both<store::heartbeat_news>([&](auto done) { store_.heartbeat(std::move(held), done); }).second;
    }
    auto look_for_cancels(std::vector<store::running_job> held) {
        return both<std::vector<store::running_job>>([&](auto done) { store_.look_for_cancels(std::move(held), done); })
            .second;
    }
    store::swept sweep() {
        auto [how, told] = both<store::swept>([&](auto done) { store_.sweep(done); });
        EXPECT_EQ(how, outcome::done);
        return told;
    }
    counts_by_status count() {
        return both<counts_by_status>([&](auto done) { store_.count(done); }).second;
    }
    std::vector<change> changes() {
        const std::lock_guard lock(mutex_);
        return std::exchange(changes_, {});
    }
    store& itself() { return store_; }

private:
    template <class Ask>
    outcome one(Ask ask) {
        std::promise<outcome> told;
        ask([&](outcome how) { told.set_value(how); });
        return told.get_future().get();
    }
    template <class Value, class Ask>
    std::pair<outcome, Value> both(Ask ask) {
        std::promise<std::pair<outcome, Value>> told;
        ask([&](outcome how, Value value) { told.set_value({how, std::move(value)}); });
        return told.get_future().get();
    }

    std::mutex mutex_;
    std::vector<change> changes_;
    store store_;
};

class jobs_suite : public contract::database_suite {
protected:
    static time_ms now() { return clock_; }
    static void tick(time_ms by) { clock_ += by; }

    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on_ = connect();
        database::migrate(*on_);
    }

    database::connection& on() { return *on_; }
    std::int64_t number(std::string_view sql, std::initializer_list<database::value> with = {}) {
        return database::integer_of(on_->query(sql, with).at(0).at(0));
    }
    database::options where() const {
        database::options made;
        made.url = base::secret(url());
        return made;
    }
    std::unique_ptr<waiting_store> open(std::string replica = "replica_1") {
        return std::make_unique<waiting_store>(connect(), where(), rules, std::move(replica), now);
    }
    // A store whose writes meet trouble when `word` says so.
    std::unique_ptr<waiting_store> open_in_trouble(unreliable::word word, std::string replica = "replica_1") {
        return std::make_unique<waiting_store>(std::make_unique<unreliable>(connect(), std::move(word)), where(), rules,
                                               std::move(replica), now);
    }

    static std::string new_id() {
        static std::atomic<std::uint64_t> next{1};
        auto digits = std::to_string(next++);
        return "job_" + std::string(24 - digits.size(), '0') + digits;
    }
    static submission job_of(std::string team, int priority = 0) {
        submission made;
        made.id = new_id();
        made.who = {.team_id = std::move(team), .key_id = "key_1", .subject = {}};
        made.model = "claude-sonnet-4-5";
        made.request = R"({"model":"claude-sonnet-4-5"})";
        made.priority = priority;
        made.created_at = now();
        made.expires_at = now() + 86'400'000;
        return made;
    }
    // `count` events from `first`, as one piece.
    static log_piece piece(std::uint64_t first, std::uint64_t count = 1) {
        log_piece made{.first_id = first, .last_id = first + count - 1, .bytes = {}};
        for (auto id = first; id < first + count; ++id) {
            made.bytes += "id: " + std::to_string(id) + "\nevent: ping\ndata: {}\n\n";
        }
        return made;
    }
    static ending ending_of(const claimed& job, ending::way how) {
        ending made;
        made.id = job.about.id;
        made.attempt = job.about.attempt;
        made.how = how;
        return made;
    }

    options rules;

private:
    static inline std::atomic<time_ms> clock_{1'800'000'000'000};
    std::unique_ptr<database::connection> on_;
};

}  // namespace jobs
