// What the tests of governance share: a database with its tables, a clock that the test moves, and an administration.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "database/migrations.hpp"
#include "database_fixture.hpp"
#include "governance/administration.hpp"
#include "governance/directory_rows.hpp"

namespace governance {

template <class T>
std::optional<base::errc> kind_of(const base::result<T>& outcome) {
    return outcome ? std::nullopt : std::optional(outcome.error().kind);
}

inline team_draft named(std::string name) {
    team_draft made;
    made.name = std::move(name);
    return made;
}

inline key_draft key_named(std::string name, std::string team) {
    key_draft made;
    made.name = std::move(name);
    made.team = std::move(team);
    return made;
}

// A real connection, and a word before each statement: whoever is asked may throw what a database in trouble throws.
class interposed : public database::connection {
public:
    using word = std::function<void(std::string_view sql)>;
    interposed(std::unique_ptr<database::connection> real, word before)
        : real_(std::move(real)), before_(std::move(before)) {}
    using database::connection::execute;
    using database::connection::query;
    database::engine kind() const override { return real_->kind(); }
    std::vector<database::row> query(std::string_view sql, std::span<const database::value> with) override {
        before_(sql);
        return real_->query(sql, with);
    }
    std::uint64_t execute(std::string_view sql, std::span<const database::value> with) override {
        before_(sql);
        return real_->execute(sql, with);
    }
    void run_script(std::string_view sql) override { real_->run_script(sql); }
    std::vector<database::value> insert(const database::batch& rows) override { return real_->insert(rows); }
    void begin() override {
        before_("BEGIN");
        real_->begin();
    }
    void commit() override {
        before_("COMMIT");
        real_->commit();
    }
    void rollback() noexcept override { real_->rollback(); }

private:
    std::unique_ptr<database::connection> real_;
    word before_;
};

class governance_suite : public contract::database_suite {
protected:
    static time_ms now() { return clock_; }
    static void tick(time_ms by = 1) { clock_ += by; }

    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on_ = connect();
        database::migrate(*on_);
        admin_.emplace(*on_, hasher_, now);
    }

    database::connection& on() { return *on_; }
    administration& admin() { return *admin_; }
    const key_hasher& hasher() const { return hasher_; }

    const actor boss{.id = "boss", .as = role::admin};

private:
    static inline std::atomic<time_ms> clock_{1'800'000'000'000};
    const key_hasher hasher_{base::secret("a pepper of the tests")};
    std::unique_ptr<database::connection> on_;
    std::optional<administration> admin_;
};

}  // namespace governance
