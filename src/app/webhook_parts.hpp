// The deliverer of webhooks as a process has it: made from the settings, with its log lines and metrics.
// Thread rule: the main thread; `wake` may be called from any.
#pragma once

#include <memory>
#include <string>

#include "config/settings.hpp"
#include "governance/key_secret.hpp"
#include "telemetry/telemetry.hpp"
#include "worker/webhooks.hpp"

namespace app {

class webhook_parts {
public:
    // Throws std::runtime_error with the cure. Everything given outlives this object.
    webhook_parts(const config::settings& settings, const governance::key_hasher& hasher, telemetry::hub& hub);
    webhook_parts(const webhook_parts&) = delete;
    webhook_parts& operator=(const webhook_parts&) = delete;

    // The database is migrated. Adds the metrics: before the first scrape, and this object outlives the last one.
    void start(std::string replica);
    void stop();  // returns when nothing is under way any more
    void wake();  // a job has ended

    // What a URL must be like, for whoever takes jobs.
    const jobs::webhook_rules& rules() const { return rules_; }

private:
    void report(const worker::webhook_report& what);

    const config::settings& settings_;
    const governance::key_hasher& hasher_;
    telemetry::hub& hub_;
    const jobs::webhook_rules rules_;
    std::unique_ptr<worker::webhooks> running_;
};

}  // namespace app
