// What `serve` keeps about limits, budgets and the ledger: the live sides of the directory, the journal and its writer,
// the leases on budgets, Redis. Thread rule: built and taken apart by the main thread; the parts have their own rules.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "config/settings.hpp"
#include "governance/budget_keeper.hpp"
#include "governance/directory.hpp"
#include "ledger/writer.hpp"
#include "redis/shared_limits.hpp"

namespace app {

class enforcement final : public governance::live_parts {
public:
    // Makes the journal's folder. Throws std::runtime_error with the cure.
    enforcement(const config::settings& settings, telemetry::hub& hub);
    ~enforcement() override;

    // The database is migrated: begins to write the ledger and to take leases.
    void start();
    // The reactors have ended. Everything goes into the database, if it can be reached in time; else the journal keeps
    // it for the next start.
    void finish();

    ledger::lane& add_lane() { return journal_.add_lane(); }
    const governance::budget_registry& budgets() const { return budgets_; }
    const governance::budget_keeper& money() const { return *keeper_; }
    const std::string& replica() const { return journal_.replica(); }  // this process

    std::shared_ptr<governance::limiter> limiter_for(const governance::limit& what) override;
    std::shared_ptr<governance::budget_book> book_for(const governance::budget& what) override;

    void add_metrics(telemetry::hub& hub);

private:
    ledger::writer_hooks hooks();

    const config::settings& settings_;
    telemetry::hub& hub_;
    ledger::journal journal_;
    governance::budget_registry budgets_;
    std::atomic<bool> redis_reachable_{false};
    std::atomic<std::uint64_t> budget_alerts_{0};
    std::unique_ptr<redis::shared_limits> redis_;
    std::mutex limiters_mutex_;
    std::map<std::tuple<governance::scope, std::string, std::string>, std::shared_ptr<governance::limiter>> limiters_;
    std::unique_ptr<governance::budget_keeper> keeper_;
    std::unique_ptr<ledger::writer> writer_;
};

}  // namespace app
