// What a process keeps about announcing and carrying out jobs: the queue, the announcer with its sweeper, and, when it
// works, the pool and what each reactor lends to it. Thread rule: built and taken apart by the main thread; the parts
// have their own rules.
#pragma once

#include <deque>
#include <memory>
#include <span>

#include "app/job_parts.hpp"
#include "config/settings.hpp"
#include "gateway/exchange.hpp"
#include "jobs/store.hpp"
#include "worker/announcer.hpp"
#include "worker/batch_lane.hpp"
#include "worker/pool.hpp"

namespace app {

class worker_parts {
public:
    // Before `jobs` are started: listens to their changes. Throws queue::failure for a QUEUE_URL that means nothing.
    // `replica`: of the ledger's journal.
    worker_parts(const config::settings& settings, job_parts& jobs, std::string replica, bool works,
                 telemetry::hub& hub);
    ~worker_parts();
    worker_parts(const worker_parts&) = delete;
    worker_parts& operator=(const worker_parts&) = delete;

    // For gateway::service: what is learnt of the upstream's limits; null when this process does not work.
    upstream::quota* quota() { return pool_ ? &quota_ : nullptr; }

    struct seat {
        net::reactor& reactor;
        gateway::service& parts;
    };
    void start(std::span<const seat> seats, http::server_load& load);
    void add_metrics(telemetry::hub& hub);

    // The end, in this order (worker/pool.hpp).
    void stop_claiming();
    void hand_back();
    bool busy() const;  // jobs are running, their requests are settling, or a batch is being made
    void stop();        // after the reactors

private:
    void on_change(jobs::change::what kind, const std::string& job_id, job_parts::origin where);

    void add_lane_metrics(telemetry::hub& hub);

    const config::settings& settings_;
    const std::string replica_;
    jobs::store& store_;
    telemetry::hub& hub_;
    http::server_options inside_;  // of connections inside of the process
    upstream::quota quota_;
    worker::shared_counts shared_;
    std::unique_ptr<queue::port> queue_;
    std::unique_ptr<worker::announcer> announcer_;
    std::deque<worker::lane> lanes_;
    std::unique_ptr<worker::pool> pool_;
    std::unique_ptr<worker::batch_lane> batches_;
};

}  // namespace app
