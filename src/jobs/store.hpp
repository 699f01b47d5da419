// The jobs in the database. Writes are collected and committed in groups: one thread takes whatever has been asked for
// since its last transaction and commits it together, so that thousands of submits a second cost a few transactions.
//
// Calls return at once; `done` is called on one of the store's threads after the commit, exactly once, and must be
// short (a net::signal's notifier, a post to a reactor). When the database is away, writes wait and are tried again
// until `write_patience` is over; then `done` hears `unavailable`. Reads answer `unavailable` at once. Queues are
// bounded: over operations_max waiting, `done` hears `unavailable` before the call returns. Thread rule: any thread.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "database/connection.hpp"
#include "jobs/job.hpp"
#include "jobs/options.hpp"

namespace governance {
class budget_registry;  // budget.hpp
}

namespace jobs {

enum class outcome : std::uint8_t {
    done,
    not_found,    // no such job for this owner
    conflict,     // submit: the same idempotency key with another digest; others: the job's state does not allow it
    fenced,       // the attempt is not the job's current one, or the job is not running: stop working on it
    too_many,     // submit: the team has open_per_team_max jobs that are queued or running
    unavailable,  // the database is away, or too much is waiting
    refused,      // the database will not do it, now or later: a bug of ours, a migration that is missing. Workers hear
                  // unavailable instead: what they hold is worth another try
};

// One piece of a job's log: whole events with their `id:` lines, in order. The first one of a job has id 1 and there
// are no gaps: a piece goes on behind the last one.
struct log_piece {
    std::uint64_t first_id = 0;
    std::uint64_t last_id = 0;
    std::string bytes;
};

// How a worker leaves a job. Whatever makes a job final, here or in a cancel or a sweep, also writes the last event of
// its log (`event: job`, rules.hpp) and its webhook's delivery, in the same transaction: callers never do. After retry,
// waiting, handed_back and a lost lease the log stays open, and the next attempt goes on behind it.
struct ending {
    std::string id;
    std::uint32_t attempt = 0;
    enum class way : std::uint8_t {
        succeeded,
        failed,       // for good: the request is at fault
        cancelled,    // because cancel_asked
        retry,        // later; becomes dead when the attempts are used up
        waiting,      // later, and the attempt does not count: the upstream, a limit or a budget said "not now"
        handed_back,  // at once, and the attempt does not count: this worker ends
    } how = way::succeeded;
    time_ms run_after = 0;        // retry, waiting
    std::optional<lane> where{};  // where it is tried again; nothing: where it was
    std::string result;           // succeeded: the message's JSON
    std::string usage;            // JSON, may be empty
    std::string error;            // JSON error envelope, may be empty
    std::string reason;           // for the history, may be empty
    std::string request_id;       // for the history, may be empty
    log_piece last;               // goes into the log in the same transaction; bytes may be empty
};
// Of a job whose cancel was asked for: retry, waiting and handed_back mean cancelled.

struct filter {
    std::string team_id;  // empty: all teams (administrators)
    std::string key_id;   // empty: all
    std::optional<status> state;
    std::optional<lane> where;
    std::string model;         // empty: all
    std::string before_id;     // cursor: jobs created before this one; empty: from the newest
    std::uint32_t count = 20;  // 1 to 101
};

struct counts_by_status {
    std::uint64_t queued = 0, running = 0, dead = 0, waiting_webhooks = 0;
    time_ms oldest_queued_at = 0;  // created; 0: none
};

// What has changed; told to every listener after the commit, on a store thread.
struct change {
    std::string id;
    enum class what : std::uint8_t { submitted, log, state, cancel_asked } kind = what::submitted;
    status state = status::queued;
    std::shared_ptr<const log_piece> piece{};  // `log`, and `state` when it came with one; null: read it
};

class store {
public:
    // `replica` names this process in claims and history. `now`: for tests; null: the system's clock.
    store(const database::options& where, const options& rules, std::string replica, time_ms (*now)() = nullptr);
    // The same with a connection for its writes that is given: for tests.
    store(std::unique_ptr<database::connection> writes, const database::options& reads, const options& rules,
          std::string replica, time_ms (*now)() = nullptr);
    ~store();  // commits what was asked for, for at most write_patience
    store(const store&) = delete;
    store& operator=(const store&) = delete;

    void on_change(std::function<void(const change&)> listener);  // before the first call
    // Where the money of claimed jobs is held (claimed::money). Without it nobody holds it, and their admissions stand
    // in line. Before the first call; must outlive the store.
    void hold_claims_on(const governance::budget_registry& budgets);
    // The first failure of a write and the recovery; on a store thread. Before the first call.
    void on_database(std::function<void(bool reachable, const std::string& why)> listener);
    // Why the database refused something; at most once a second, on a store thread. Before the first call.
    void on_refusal(std::function<void(const std::string& why)> listener);

    // --- callers ---
    struct submitted {
        outcome how = outcome::unavailable;
        std::string id;     // the job's: an earlier one's under the same idempotency key
        bool fresh = true;  // false: the earlier one's
    };
    // too_many is exact for what this replica has submitted, and as old as count_every for the rest.
    //
    // `holds_fate` is called exactly once, never after the store is gone: true when what.holds moved to the jobs' lease
    // in the database (governance::job_claim::committed), false when they certainly did not (abandoned: also when the
    // job is an earlier one's). With `done`, or later: after an outcome that nobody knows the store goes on asking.
    void submit(submission what, std::function<void(submitted)> done, std::function<void(bool)> holds_fate = {});
    // Queued, or in a batch: cancelled at once. Running: cancel_asked, and the worker stops within a second. Final:
    // conflict.
    void cancel(std::string id, std::string team_id, std::function<void(outcome)> done);
    void remove(std::string id, std::string team_id, std::function<void(outcome)> done);  // final ones only

    // `team_id` empty: administrators. done(outcome, ...): done, not_found or unavailable.
    void find(std::string id, std::string team_id, std::function<void(outcome, summary)> done);
    void list(filter which, std::function<void(outcome, std::vector<summary>)> done);
    void result(std::string id, std::string team_id, std::function<void(outcome, summary, std::string)> done);
    // Pieces of several logs with events after the given ids: the first piece of a job may begin before. Up to
    // bytes_max in all (but always one piece), fairly from all of them; jobs without news are left out. Whoever gets
    // news asks again until there are none.
    struct log_wish {
        std::string id;
        std::uint64_t after = 0;
    };
    struct log_news {
        std::string id;
        status state = status::queued;
        std::uint64_t events = 0;  // id of the last event when this was read: beyond the pieces, if bytes_max cut them
        std::vector<log_piece> pieces;
    };
    void read_logs(std::vector<log_wish> wishes, std::size_t bytes_max,
                   std::function<void(outcome, std::vector<log_news>)> done);
    void history(std::string id, std::function<void(outcome, std::vector<attempt_entry>)> done);

    // --- workers ---
    // Claims up to `count` queued jobs whose time has come: by priority with ageing, fair between teams (rules.hpp).
    // What was held for them goes over to this replica's lease. `bytes_max`: of their requests together, but always one
    // job; 0: no bound.
    void claim(std::size_t count, lane where, std::function<void(outcome, std::vector<claimed>)> done,
               std::uint64_t bytes_max = 0);
    // Event bytes for the log; committed within flush_every, the first of an attempt at once. fenced: stop. conflict:
    // it does not go on behind the log's end. After `unavailable` nobody knows whether it is in the log: give the job
    // up.
    void append(std::string id, std::uint32_t attempt, log_piece piece, std::function<void(outcome)> done);
    void finish(ending how, std::function<void(outcome)> done);
    // Extends the leases; of these jobs, which are lost (fenced) and which are to be cancelled.
    struct running_job {
        std::string id;
        std::uint32_t attempt = 0;
    };
    struct heartbeat_news {
        std::vector<running_job> lost, cancel;
    };
    void heartbeat(std::vector<running_job> held, std::function<void(outcome, heartbeat_news)> done);
    // Which of these are to be cancelled, without extending anything: cheap, several times a second.
    void look_for_cancels(std::vector<running_job> held, std::function<void(outcome, std::vector<running_job>)> done);

    // --- the sweeper (one call does all its work once; any replica may) ---
    struct swept {
        std::uint32_t requeued = 0, dead = 0, expired = 0, cancelled = 0, deleted = 0;
        std::uint32_t holds_repaired =
            0;  // leases of queued jobs' money that were wrong: a bug, or a database restored
        // Queued, due, and not announced (or long ago): send them to the queue. A few of them, however many there are.
        std::vector<std::string> unannounced;
    };
    void sweep(std::function<void(outcome, swept)> done);
    void announced(std::vector<std::string> ids, std::function<void(outcome)> done);

    // --- administrators ---
    void redrive(std::string id, std::function<void(outcome)> done);  // dead -> queued, attempts start anew
    void count(std::function<void(outcome, counts_by_status)> done);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace jobs
