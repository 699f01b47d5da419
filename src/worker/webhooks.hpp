// Delivers the webhooks of jobs that have ended, from any number of replicas: takes what is due from the database,
// signs it, has it sent, and marks what came of it.
//
// At least once, always under the same id: a delivery that was sent and could not be marked is made again. While the
// database is away nothing new is sent. A slow or broken receiver holds up nobody else (webhook_book.hpp). Thread rule:
// built and taken apart by one thread; the other calls from any. Its threads: webhooks, webhook-send.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "database/options.hpp"
#include "governance/key_secret.hpp"
#include "jobs/webhook_options.hpp"
#include "jobs/webhook_target.hpp"

namespace worker {

struct webhook_counts {
    std::atomic<std::uint64_t> delivered{0};
    std::atomic<std::uint64_t> failed{0};    // tries
    std::atomic<std::uint64_t> given_up{0};  // deliveries
    std::atomic<std::uint64_t> waiting{0};   // in the database, as of the last look
    std::atomic<std::uint64_t> under_way{0};
    std::atomic<std::uint64_t> breakers_open{0};
};

// For the log; called on the webhooks' thread, must not block or throw.
struct webhook_report {
    enum class what : std::uint8_t { delivered, failed, given_up, breaker_opened, breaker_closed } event;
    std::string_view id{};
    std::string_view job_id{};
    std::string_view team_id{};
    std::string_view endpoint{};
    std::uint32_t tries = 0;
    std::uint32_t status = 0;
    std::string_view error{};
};
struct webhook_reports {
    std::function<void(const webhook_report&)> on_report;
    std::function<void(std::string_view why)> on_outage;  // once an outage of the database
    std::function<void()> on_recovery;
};

class webhooks {
public:
    // `replica` names this process in claims. `hasher` outlives this object. Throws when there is no memory or no
    // thread; the database may be away.
    webhooks(const database::options& where, const jobs::webhook_options& options, const jobs::webhook_rules& rules,
             const governance::key_hasher& hasher, std::string replica, webhook_reports tell);
    ~webhooks();  // stops
    webhooks(const webhooks&) = delete;
    webhooks& operator=(const webhooks&) = delete;

    // There is, or may be, something new to deliver: look at once. Cheap enough to be called for every job.
    void wake();
    // Takes nothing more; what is being sent may end within stop_patience, and is marked; the rest is handed back.
    void stop();

    const webhook_counts& counts() const;  // as long as this object lives

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace worker
