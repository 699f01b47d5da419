// The thread that writes: takes what has been asked for since its last transaction, commits it together, and tells
// everybody. Thread rule: any thread; the listeners are set before the first operation.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "database/connection.hpp"
#include "jobs/operations.hpp"
#include "jobs/options.hpp"

namespace jobs {

struct committer_hooks {
    time_ms (*now)() = nullptr;
    const governance::budget_registry* budgets = nullptr;  // where claims hold their money; null: nowhere
    std::function<void(const change&)> changed;
    std::function<void(bool reachable, const std::string& why)> database;
    std::function<void(const std::string& why)> refused;  // it answers, and will not do this
};

class committer {
public:
    committer(std::unique_ptr<database::connection> on, const options& rules, std::string replica);
    ~committer();  // what was asked for is committed, for at most write_patience
    committer(const committer&) = delete;
    committer& operator=(const committer&) = delete;

    committer_hooks hooks;

    // Too much waiting: `done` hears `unavailable` before this returns.
    void ask(operation what);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace jobs
