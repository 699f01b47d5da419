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

// Whether a clock that is so far from the database's endangers leases: of two processes that are right by this none
// takes a job from the other while that renews its lease in time.
bool is_clock_off(const jobs::options& rules, jobs::time_ms ahead);

class announcer {
public:
    struct options {
        const jobs::options& rules;
        std::chrono::seconds hidden_for;  // queue::options: what `extend` asks for
        // False: nobody could hear it (the queue of this very process, and no worker): jobs are left for the sweeper of
        // a process that works.
        bool sends = true;
        std::chrono::milliseconds goodbye{2'000};  // at the end: for messages that are to be removed
    };
    // Depth and age as last seen; for metrics.
    struct seen {
        std::atomic<std::uint64_t> queue_waiting{0}, queue_in_flight{0}, queue_dead{0};
        std::atomic<std::uint64_t> queued{0}, running{0}, dead{0}, waiting_webhooks{0};
        std::atomic<std::int64_t> oldest_queued_at{0};
        std::atomic<std::int64_t> clock_ahead_ms{0};  // of the database's
        std::atomic<std::uint64_t> send_failures{0}, not_kept{0}, requeued{0}, died{0}, expired{0}, deleted{0};
        std::atomic<std::uint64_t> holds_repaired{0}, sweep_failures{0};
    };

    announcer(jobs::store& store, queue::port& queue, options chosen, telemetry::hub& log);
    ~announcer();  // stops
    announcer(const announcer&) = delete;
    announcer& operator=(const announcer&) = delete;

    void start();
    // Looks into the database no more: where that hangs, the end would wait for it. The next process sweeps.
    void stop_looking();
    void stop();  // waits for the calls under way, and removes messages for as long as `goodbye`

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
