// One suite for every database: each test runs on SQLite, on PostgreSQL, and on PostgreSQL behind PgBouncer in
// transaction mode, and begins with an empty database. tools/with_servers starts the servers.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "database/connection.hpp"

namespace contract {

using database::batch;
using database::column;
using database::connection;
using database::failure;
using database::failure_kind;
using database::integer_of;
using database::text_of;
using database::transaction;
using database::value;
using std::chrono::milliseconds;

inline std::string environment(const char* name) {
    const char* found = std::getenv(name);
    return found ? found : "";
}

// How much longer waits may take in a slow build.
inline int time_scale() {
    const auto scale = environment("TEST_TIME_SCALE");
    return scale.empty() ? 1 : std::max(1, std::atoi(scale.c_str()));
}

// postgresql://HOST:PORT of a server's URL, with another user and database.
inline std::string url_for(std::string_view server, std::string_view user, std::string_view database) {
    const auto at = server.find('@');
    const auto address = server.substr(at + 1, server.find('/', at) - at - 1);
    return "postgresql://" + std::string(user) + "@" + std::string(address) + "/" + std::string(database);
}

// Tells tools/with_servers to stop, kill, start, freeze or thaw one of its servers; returns when that is done.
inline void tell_servers(std::string_view command) {
    const auto path = environment("TEST_SERVERS_CONTROL");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        throw std::runtime_error("TEST_SERVERS_CONTROL names no socket: run this by tools/with_servers");
    }
    std::memcpy(address.sun_path, path.c_str(), path.size());
    const int control = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto line = std::string(command) + "\n";
    std::string answer(4'096, '\0');
    ssize_t got = -1;
    if (::connect(control, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        ::send(control, line.data(), line.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(line.size())) {
        got = ::recv(control, answer.data(), answer.size(), 0);
    }
    ::close(control);
    answer.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    if (answer != "ok\n") throw std::runtime_error(std::string(command) + ": " + answer);
}

// A server that is out of order until the end of the scope, however that is reached.
class outage {
public:
    outage(std::string begin, std::string end) : end_(std::move(end)) { tell_servers(begin); }
    ~outage() { end(); }
    outage(const outage&) = delete;
    outage& operator=(const outage&) = delete;
    void end() {
        if (!over_) tell_servers(end_);
        over_ = true;
    }

private:
    std::string end_;
    bool over_ = false;
};

template <class Work>
failure_kind kind_of_failure(Work work) {
    try {
        work();
    } catch (const failure& problem) {
        return problem.kind;
    }
    throw std::runtime_error("it did not fail");
}

// Runs `work(0)` to `work(count - 1)` at once; an exception of any of them is thrown here.
template <class Work>
void on_threads(int count, Work work) {
    std::vector<std::exception_ptr> problems(static_cast<std::size_t>(count));
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) {
        threads.emplace_back([&, i] {
            try {
                work(i);
            } catch (const std::exception&) {
                problems[static_cast<std::size_t>(i)] = std::current_exception();
            }
        });
    }
    for (auto& thread : threads) thread.join();
    for (const auto& problem : problems) {
        if (problem) std::rethrow_exception(problem);
    }
}

// Repeats what another transaction was in the way of, as every user of the port does.
template <class Work>
void until_not_busy(Work work) {
    for (int tries = 1;; ++tries) {
        try {
            work();
            return;
        } catch (const failure& problem) {
            if (problem.kind != failure_kind::busy || tries == 1'000) throw;
        }
    }
}

class database_suite : public testing::TestWithParam<const char*> {
public:
    void SetUp() override {
        name_ = "contract_" + std::string(GetParam()) + "_" + std::to_string(::getpid());
        if (is_sqlite()) {
            folder_ = std::filesystem::temp_directory_path() / name_;
            std::filesystem::remove_all(folder_);
            url_ = "sqlite:" + (folder_ / "sub" / "test.db").string();
            return;
        }
        const bool is_pooled = std::string_view(GetParam()) == "pgbouncer";
        const char* variable = is_pooled ? "TEST_PGBOUNCER_URL" : "TEST_POSTGRES_URL";
        postgres_ = environment("TEST_POSTGRES_URL");
        const auto server = environment(variable);
        ASSERT_FALSE(server.empty() || postgres_.empty()) << variable << " is not set: run this by tools/with_servers";
        const auto admin = as_admin("postgres");
        if (admin->query("SELECT 1 FROM pg_database WHERE datname = $1", {name_}).empty()) {
            admin->execute("CREATE DATABASE " + name_ + " OWNER gateway");
        }
        as_admin()->run_script("DROP SCHEMA IF EXISTS claude_proxy CASCADE");
        url_ = url_for(server, "gateway", name_);
    }
    void TearDown() override {
        if (!folder_.empty()) std::filesystem::remove_all(folder_);
    }

    bool is_sqlite() const { return std::string_view(GetParam()) == "sqlite"; }
    const std::string& url() const { return url_; }
    const std::filesystem::path& folder() const { return folder_; }

    std::unique_ptr<connection> connect(const database::options& limits = {}) const {
        return database::open(url_, limits);
    }
    // A superuser's connection to PostgreSQL itself, never through the pooler.
    std::unique_ptr<connection> as_admin(std::string_view database = {}) const {
        return database::open(url_for(postgres_, "postgres", database.empty() ? name_ : database));
    }

private:
    std::string name_, url_, postgres_;
    std::filesystem::path folder_;
};

inline std::string name_of_database(const testing::TestParamInfo<const char*>& info) { return info.param; }

// In each source one of these, for each of its suites.
#define RUN_ON_EVERY_DATABASE(suite) \
    INSTANTIATE_TEST_SUITE_P(on, suite, testing::Values("sqlite", "postgres", "pgbouncer"), contract::name_of_database)
#define RUN_ON_POSTGRES(suite) \
    INSTANTIATE_TEST_SUITE_P(on, suite, testing::Values("postgres", "pgbouncer"), contract::name_of_database)

}  // namespace contract
