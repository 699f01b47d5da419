// What tests of the worker share: a store on a database of its own with a clock that the test moves, a queue in the
// process, and one reactor with what its jobs would share.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>

#include "database/migrations.hpp"
#include "worker/announcer.hpp"
#include "worker/lane.hpp"

namespace worker {

// A folder that goes with the test.
class scratch_folder {
public:
    scratch_folder() {
        if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no folder for the test");
    }
    ~scratch_folder() { std::filesystem::remove_all(path_); }
    scratch_folder(const scratch_folder&) = delete;
    scratch_folder& operator=(const scratch_folder&) = delete;
    std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_ = testing::TempDir() + "worker-XXXXXX";
};

inline std::atomic<jobs::time_ms> test_clock{1'800'000'000'000};

// Until it is true, for a while that nothing here needs.
template <class Condition>
bool comes_true(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    std::promise<void> never;
    const auto pause = never.get_future();
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        pause.wait_for(std::chrono::milliseconds(1));
    }
    return true;
}

struct test_rig {
    static database::options migrated(const std::string& file) {
        database::options made;
        made.url = base::secret("sqlite:" + file);
        database::migrate(*database::open(made.url.reveal(), made));
        return made;
    }
    static jobs::options quick() {
        jobs::options made;
        made.cancel_look_every = std::chrono::milliseconds(5);
        made.heartbeat_every = std::chrono::hours(1);
        return made;
    }
    static jobs::time_ms now() { return test_clock; }

    // These wait for the answer.
    jobs::store::swept sweep() {
        std::promise<jobs::store::swept> told;
        store.sweep([&](jobs::outcome how, jobs::store::swept found) {
            EXPECT_EQ(how, jobs::outcome::done);
            told.set_value(std::move(found));
        });
        return told.get_future().get();
    }
    void submit(const std::string& id) {
        jobs::submission what;
        what.id = id;
        what.who = {.team_id = "team", .key_id = "key", .subject = {}};
        what.model = "claude-sonnet-4-5";
        what.request = R"({"model":"claude-sonnet-4-5"})";
        what.created_at = now();
        what.expires_at = now() + 86'400'000;
        std::promise<jobs::outcome> told;
        store.submit(what, [&](jobs::store::submitted answer) { told.set_value(answer.how); });
        EXPECT_EQ(told.get_future().get(), jobs::outcome::done);
    }
    jobs::summary find(const std::string& id) {
        std::promise<jobs::summary> told;
        store.find(id, "", [&](jobs::outcome, jobs::summary about) { told.set_value(std::move(about)); });
        return told.get_future().get();
    }

    scratch_folder folder;
    jobs::options rules = quick();
    database::options where = migrated(folder.file("jobs.db"));
    telemetry::hub log{{}, open("/dev/null", O_WRONLY | O_CLOEXEC)};
    net::reactor reactor;  // outlives the store, whose answers are posted to it
    jobs::store store{where, rules, "replica_1", now};
    std::unique_ptr<queue::port> queue = queue::open({});
    http::server_options inside;
    http::server_load load;
    shared_counts counts;
    // No job comes so far that it would use the gateway.
    alignas(gateway::service) std::byte no_gateway[sizeof(gateway::service)];
    lane here{.reactor = reactor,
              .parts = reinterpret_cast<gateway::service&>(no_gateway),
              .store = store,
              .rules = rules,
              .http = inside,
              .load = load,
              .counts = counts};
};

}  // namespace worker
