// What the tests of governance share: a fresh database with its tables, a clock that the test moves, and an
// administrator.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>

#include "database/connection.hpp"
#include "database/migrations.hpp"
#include "governance/administration.hpp"
#include "governance/directory_rows.hpp"

namespace governance {

template <class T>
std::optional<base::errc> kind_of(const base::result<T>& outcome) {
    return outcome ? std::nullopt : std::optional(outcome.error().kind);
}

inline team_draft named(std::string name) { return {.name = std::move(name), .models = {}, .tags = {}, .metadata = {}}; }

inline key_draft key_named(std::string name, std::string team) {
    key_draft made;
    made.name = std::move(name);
    made.team = std::move(team);
    return made;
}

class governance_suite : public testing::TestWithParam<std::string> {
protected:
    static inline std::atomic<time_ms> clock_{1'800'000'000'000};
    static time_ms now() { return clock_; }
    static void tick(time_ms by = 1) { clock_ += by; }

    void SetUp() override {
        url_ = GetParam();
        if (url_.starts_with("sqlite:")) { url_ = "sqlite:/tmp/tn/db" + std::to_string(::getpid()) + ".db";
            for (auto* e : {"", "-wal", "-shm"}) std::filesystem::remove(url_.substr(7) + e);
        }
        on_ = database::open(url_);
        if (on_->kind() == database::engine::postgres) on_->run_script("DROP SCHEMA IF EXISTS claude_proxy CASCADE; DROP SCHEMA IF EXISTS claude_proxy_migrations CASCADE");
        database::migrate(*on_);
        admin_.emplace(*on_, hasher_, now);
    }

    database::connection& on() { return *on_; }
    std::unique_ptr<database::connection> connect() const { return database::open(url_); }
    administration& admin() { return *admin_; }
    const key_hasher& hasher() const { return hasher_; }

    const actor boss{.id = "boss", .as = role::admin};

private:
    std::string url_;
    key_hasher hasher_{base::secret("a pepper of the tests")};
    std::unique_ptr<database::connection> on_;
    std::optional<administration> admin_;
};

inline std::vector<std::string> urls() { std::vector<std::string> u; std::string all = std::getenv("URLS"); size_t p; while ((p = all.find(' ')) != all.npos) { u.push_back(all.substr(0,p)); all.erase(0,p+1);} u.push_back(all); return u; }
#define RUN_OVER_EVERY_DATABASE(suite) INSTANTIATE_TEST_SUITE_P(every, suite, testing::ValuesIn(urls()), [](auto& i) { return "db" + std::to_string(i.index); })

}  // namespace governance
