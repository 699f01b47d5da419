// The thread that keeps the leases of a replica's budget accounts: takes what is wanted, gives back what is not, renews
// before they expire, and raises alerts.
//
// It looks at an account when the account wishes (a request waits, or the lease runs low), every `contended_every`
// while requests wait for what other replicas hold, and every `look_every` as long as it is used. Thread rule: start
// and stop from one thread; `wake` from any.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "database/connection.hpp"
#include "governance/budget_lease.hpp"
#include "governance/options.hpp"

namespace governance {

struct budget_alert {
    std::string budget_id;
    scope where = scope::root;
    std::string scope_id;
    period every = period::total;
    int percent = 0;
    pico_dollars spent = 0;
    pico_dollars limit = 0;
};

struct budget_keeper_hooks {
    time_ms (*now)() = nullptr;
    std::function<void(const budget_alert&)> alert;  // once a budget, period and percent, over all replicas
    std::function<void(bool reachable, const std::string&)> database;  // the first failure, and the recovery
};

class budget_keeper {
public:
    budget_keeper(std::unique_ptr<database::connection> on, budget_registry& accounts, std::string replica,
                  const options& settings, budget_keeper_hooks hooks);
    ~budget_keeper();  // ends the thread; leases expire by themselves
    budget_keeper(const budget_keeper&) = delete;
    budget_keeper& operator=(const budget_keeper&) = delete;

    void start();
    void stop();  // gives the leases back, if the database can be reached
    void wake();

    // One round over all accounts, on the calling thread, instead of `start`: for tests. Throws database::failure.
    void look();

    bool database_reachable() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace governance
