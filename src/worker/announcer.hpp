// Tells the queue of jobs that wait, and sweeps: what every process with jobs does, with or without a worker.
//
// Two threads: the courier, which alone makes the queue's blocking calls that can wait (sends, removals, extensions),
// and the sweeper, which asks the store once every sweep_every, with jitter, for what was forgotten. What could not be
// sent is found by a later sweep: nothing here has to be remembered. Thread rule: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "jobs/options.hpp"
#include "jobs/store.hpp"
#include "queue/queue.hpp"
#include "telemetry/telemetry.hpp"

namespace worker {

class announcer {
public:
    struct options {
        const jobs::options& rules;
        std::chrono::seconds hidden_for;  // queue::options: what `extend` asks for
        // False: nobody could hear it (the queue of this very process, and no worker): jobs are left for the sweeper of
        // a process that works.
        bool sends = true;
    };
    // Depth and age as last seen; for metrics.
    struct seen {
        std::atomic<std::uint64_t> queue_waiting{0}, queue_in_flight{0}, queue_dead{0};
        std::atomic<std::uint64_t> queued{0}, running{0}, dead{0}, waiting_webhooks{0};
        std::atomic<std::int64_t> oldest_queued_at{0};
        std::atomic<std::uint64_t> send_failures{0}, not_kept{0}, requeued{0}, died{0}, expired{0}, deleted{0};
        std::atomic<std::uint64_t> holds_repaired{0}, sweep_failures{0};
    };

    announcer(jobs::store& store, queue::port& queue, options chosen, telemetry::hub& log);
    ~announcer();  // stops
    announcer(const announcer&) = delete;
    announcer& operator=(const announcer&) = delete;

    void start();
    void stop();  // what waits is still sent, in one try; waits for the calls under way

    void announce(std::string job_id);
    void remove(std::vector<std::string> receipts);
    void extend(std::vector<std::string> receipts);

    const seen& counts() const { return seen_; }

private:
    struct state;
    const options chosen_;
    seen seen_;
    std::unique_ptr<state> state_;
};

}  // namespace worker
