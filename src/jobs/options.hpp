// Settings of jobs: their store, workers, webhooks and the batch lane.
#pragma once

#include <chrono>
#include <cstdint>

namespace jobs {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct options {
    milliseconds lease{15'000};             // a worker that says nothing for so long has lost its jobs
    milliseconds heartbeat_every{5'000};    // a third of the lease or less
    milliseconds cancel_look_every{250};    // how often a worker looks whether its jobs are to be cancelled
    milliseconds poll_every{250};           // how often changes of other replicas are looked for without Redis
    milliseconds flush_every{100};          // events wait at most so long for their group commit
    milliseconds sweep_every{1'000};        // leases lost, jobs expired, announcements forgotten
    milliseconds announce_again{30'000};    // a queued job that nobody has claimed is announced again after so long
    milliseconds write_patience{10'000};    // a write waits so long for a database that is away
    std::uint32_t operations_max = 50'000;  // waiting for the next group commit; more are refused
    std::uint64_t pending_bytes_max = 256ull << 20;  // of request bodies and events among them
    std::uint32_t attempts_max = 3;                  // claims that count; then the job is dead
    milliseconds backoff_first{1'000};               // doubled at each attempt, with jitter
    milliseconds backoff_max{300'000};
    milliseconds ageing{60'000};                // a job gains one point of priority in so long
    std::uint32_t open_per_team_max = 100'000;  // queued and running; more submits are refused
    std::uint64_t request_bytes_max = 32ull << 20;
    std::uint64_t log_bytes_max = 64ull << 20;  // of one job's events; more: the attempt fails
    std::uint32_t concurrency = 64;             // jobs that one worker process runs at once
    seconds retention{7 * 86'400};              // final jobs are kept so long
    std::uint32_t threads = 2;                  // connections for reads
    milliseconds count_every{5'000};            // how old the count behind open_per_team_max may be
    milliseconds holds_check_every{60'000};     // how often the money of queued jobs is added up and compared

    // The batch lane: jobs that may wait for half the price go upstream together (worker/batch_lane.hpp).
    std::uint32_t batch_count_min = 100;          // as soon as so many wait, ...
    milliseconds batch_age_max{30'000};           // ... or one of them for so long, they become a batch
    std::uint32_t batch_count_max = 10'000;       // jobs in one batch
    std::uint64_t batch_bytes_max = 64ull << 20;  // and of their requests; so many waiting are a batch too
    bool batch_expired_fails = false;             // what a batch left undone fails; else it goes on in realtime

    // Followers of logs on one replica (tail.hpp).
    std::uint32_t followers_max = 100'000;            // open event streams and waits; more are refused
    std::uint64_t tail_job_bytes_max = 256ull << 10;  // newest pieces kept of one followed job
    std::uint64_t tail_bytes_max = 64ull << 20;       // and of all together
    seconds wait_max{60};                             // longest ?wait= of a request
};

}  // namespace jobs
