// What the tests of governance share: a database with its tables, a clock that the test moves, and an administration.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <utility>

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
