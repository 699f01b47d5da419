// What the store has been asked to write, each with the answer that its caller will hear. Plain data; the committer's
// thread has them while it works.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "jobs/store.hpp"

namespace jobs {

struct submit_operation {
    submission what;
    std::function<void(store::submitted)> done;
    std::function<void(bool)> holds_fate;
    store::submitted answer{};
    bool moved_holds = false;  // the job is new
};
struct append_operation {
    std::string id;
    std::uint32_t attempt = 0;
    std::shared_ptr<const log_piece> piece;
    std::function<void(outcome)> done;
    outcome answer = outcome::unavailable;
};
struct finish_operation {
    ending how;
    std::function<void(outcome)> done;
    outcome answer = outcome::unavailable;
};
struct heartbeat_operation {
    std::vector<store::running_job> held;
    std::function<void(outcome, store::heartbeat_news)> done;
    store::heartbeat_news answer{};
};
struct change_operation {
    enum class what : std::uint8_t { cancel, remove, redrive } kind = what::cancel;
    std::string id;
    std::string team_id;  // empty: any
    std::function<void(outcome)> done;
    outcome answer = outcome::unavailable;
};
struct announced_operation {
    std::vector<std::string> ids;
    std::function<void(outcome)> done;
};
struct claim_operation {
    std::size_t count = 0;
    lane where = lane::realtime;
    std::uint64_t bytes_max = 0;  // of the requests together
    std::function<void(outcome, std::vector<claimed>)> done;
    std::vector<claimed> answer{};
    // By a transaction whose outcome nobody knows.
    struct try_of {
        store::running_job job;
        std::shared_ptr<governance::arrived_money> money;
    };
    std::vector<try_of> tried{};
};
struct sweep_operation {
    std::function<void(outcome, store::swept)> done;
    bool check_holds = false;  // the money of queued jobs and its leases differed: under their lock now
    store::swept answer{};
};

struct operation {
    std::variant<submit_operation, append_operation, finish_operation, heartbeat_operation, change_operation,
                 announced_operation, claim_operation, sweep_operation>
        what;
    std::size_t bytes = 0;
    std::chrono::steady_clock::time_point asked_at{};
    bool is_urgent = true;           // not only to ride along
    bool may_have_happened = false;  // a commit of it was tried, and nobody heard the answer

    // The caller hears the answer (`done`: it was committed), or why there is none: unavailable or refused. Of a submit
    // whose outcome is unknown only `done` is called.
    void tell(outcome of_all);
};

}  // namespace jobs
