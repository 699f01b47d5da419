// The worker of a process: claims jobs while it has room, spreads them over the reactors, keeps their leases, ends them
// when their owner cancels or this process stops.
//
// Two threads: the listener waits for the queue's messages, which only say "look"; the keeper claims, and renews
// leases. Neither waits for the store: its answers come as calls. A claim is made when somebody says that there may be
// something (a message, a submit in this process, a slot that has become free after a full claim), every poll_every
// while the queue is away, and else every two seconds: a message that went to a worker that died is hidden for a while.
//
// A message whose job was claimed is kept, hidden, until the job has ended: should this process die, it comes again.
// Every other one is removed once a claim that began after it has found nothing more. Thread rule: any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "queue/queue.hpp"
#include "upstream/quota.hpp"
#include "worker/announcer.hpp"
#include "worker/run_job.hpp"

namespace worker {

class pool {
public:
    struct parts {
        jobs::store& store;
        queue::port& queue;
        announcer& courier;
        const jobs::options& rules;
        std::chrono::seconds hidden_for;  // of a received message
        const upstream::quota& quota;
        telemetry::hub& log;
        net::task<void> (*work)(std::shared_ptr<job_in_hand>) = run_job;  // what is done with a job that was claimed
    };
    struct counted {
        std::atomic<std::uint64_t> claimed{0};
        telemetry::histogram start_seconds{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1'800, 3'600};
        std::array<std::atomic<std::uint64_t>, 6> endings{};  // by jobs::ending::way
        std::atomic<std::uint64_t> leases_lost{0};
        std::atomic<std::uint64_t> abandoned{0};  // the process ended before the store had their ending
        std::atomic<std::uint64_t> receive_failures{0};
        std::atomic<std::uint64_t> claims_failed{0};
        std::atomic<std::uint64_t> paused{0};  // claims put off because of the upstream's limits
        // Why jobs were left waiting.
        std::atomic<std::uint64_t> waits_limit{0}, waits_budget{0}, waits_upstream{0}, waits_gateway{0};
    };

    explicit pool(parts with);
    ~pool();  // stops
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;

    void start(std::vector<lane*> lanes);    // which outlive the pool
    void look();                             // something may be queued
    void cancel(const std::string& job_id);  // its owner asked; of no effect when it is not here

    // The end, in this order. The reactors run until `hand_back` was followed by running() == 0, and have ended, and
    // with them their tasks, before `stop`.
    void stop_claiming();
    void hand_back();  // what still runs goes back into the queue
    void stop();       // ends the threads, waits for the store's answers

    std::size_t running() const;
    const counted& counts() const { return counts_; }

private:
    struct state;
    counted counts_;
    std::unique_ptr<state> state_;
};

}  // namespace worker
