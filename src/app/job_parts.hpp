// What `serve` keeps about durable jobs: their store, the followers of their logs, and the channel on which replicas
// tell each other what has changed. Thread rule: built and taken apart by the main thread; the parts have their own
// rules.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "config/settings.hpp"
#include "gateway/job_desk.hpp"
#include "redis/channel.hpp"
#include "telemetry/telemetry.hpp"

namespace app {

class job_parts {
public:
    enum class origin : std::uint8_t { this_replica, another };
    using listener = std::function<void(jobs::change::what, const std::string& job_id, origin)>;

    // `replica` names this process in claims and history. The database is migrated.
    job_parts(const config::settings& settings, std::string replica, const jobs::webhook_rules& webhooks,
              telemetry::hub& hub);
    ~job_parts();
    job_parts(const job_parts&) = delete;
    job_parts& operator=(const job_parts&) = delete;

    gateway::job_desk& desk() { return *desk_; }
    jobs::store& store() { return *store_; }

    // Before `start`: who else wants to hear of changes, those of this replica and those that others tell of.
    void on_change(listener also) { listeners_.push_back(std::move(also)); }
    void start();
    // The reactors have ended, and nobody follows any more: what was asked for is committed, and told to the others.
    void finish();

    void add_metrics(telemetry::hub& hub);

private:
    void heard(std::string_view line);

    const config::settings& settings_;
    telemetry::hub& hub_;
    std::vector<listener> listeners_;
    std::array<std::atomic<std::uint64_t>, jobs::statuses> ended_{};  // here, by status
    std::unique_ptr<jobs::store> store_;
    std::unique_ptr<jobs::tail> tail_;
    std::unique_ptr<redis::channel> channel_;
    std::unique_ptr<gateway::job_desk> desk_;
};

}  // namespace app
