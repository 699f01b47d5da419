// The rules of a job's life: what each event makes of it, and which jobs are claimed first. The store applies them to
// rows that it has locked, the model (model.hpp) to rows in memory: one text for both.
//
// Pure functions of values: no I/O, no clock. Each takes the moving part of a job, changes it or leaves it alone, and
// says what else has to be done in the same transaction.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/job.hpp"
#include "jobs/store.hpp"

namespace jobs::rules {

// The part of a job that moves.
struct record {
    status state = status::queued;
    lane where = lane::realtime;
    std::uint32_t attempt = 0;        // claims; the fencing token
    std::uint32_t attempts_used = 0;  // those that count
    std::uint32_t attempts_max = 3;
    bool cancel_asked = false;
    std::string worker{};
    time_ms lease_until = 0;
    time_ms run_after = 0;  // 0: now
    time_ms announced_at = 0;
    time_ms created_at = 0;
    time_ms updated_at = 0;
    time_ms expires_at = 0;
    std::optional<time_ms> started_at{}, finished_at{}, delete_at{};

    bool operator==(const record&) const = default;
};

// A job of the batch lane that is in a batch upstream has no worker that could be lost: it is running until its batch
// says otherwise, and the batch's row is what one process after another looks after (worker/batch_lane.hpp).
inline constexpr time_ms in_batch = std::numeric_limits<time_ms>::max() / 2;  // its lease_until
bool is_in_batch(const record& of);

struct effect {
    outcome how = outcome::done;
    bool moved = false;          // the record was changed
    bool ended = false;          // it is final now: the last event of the log, the webhook
    bool left_queue = false;     // what was held for it goes back; at a claim: over to the claimer
    std::string_view history{};  // how its current attempt ended; empty: it did not
};

// Whether a worker that names this attempt may write.
bool is_held(const record& of, std::uint32_t attempt);

effect claim(record& of, std::string_view worker, time_ms now, time_ms lease);
effect heartbeat(record& of, std::uint32_t attempt, time_ms now, time_ms lease);
effect finish(record& of, std::uint32_t attempt, ending::way how, time_ms run_after, time_ms now, time_ms retention);
// From a worker's hands into a batch.
effect enter_batch(record& of, std::uint32_t attempt, time_ms now);
// In a batch it ends at once: nobody can take one request out of a batch, and what comes of it is dropped.
effect cancel(record& of, time_ms now, time_ms retention);
effect redrive(record& of, time_ms now);
// What time alone does: a lease that was lost, a job that nobody has started by its end.
effect sweep(record& of, time_ms now, time_ms retention);
effect announced(record& of, time_ms now);

// The order of a team's queued jobs, lowest first: a point of priority is worth so much waiting. It never changes, so
// that the oldest of whatever priority is reached in the end.
time_ms rank(time_ms created_at, int priority, std::chrono::milliseconds ageing);

// A team with queued jobs: how many it has running, and the best of those that wait, in order.
struct contender {
    std::uint64_t running = 0;
    struct candidate {
        time_ms rank = 0;
        std::string id;
    };
    std::vector<candidate> waiting;
};
// Up to `count` jobs: each next one goes to the team with the fewest running, those chosen before included; among
// equals to the one whose first job comes first.
std::vector<std::string> choose(std::span<const contender> teams, std::size_t count);

// The last event of the log of a job that has ended, with its id; in it the error that the job shows, out of the
// envelope that is stored (may be empty).
std::string terminal_event(status state, std::string_view envelope, std::uint64_t id);

// How long a retry waits when nobody said otherwise: doubled at each attempt that counted, up to the limit, and
// between half and the whole of that. `random`: 0 to 1.
std::chrono::milliseconds backoff(const options& of, std::uint32_t attempts_used, double random);

}  // namespace jobs::rules
