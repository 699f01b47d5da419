// A durable job as a value: a Messages request that a worker carries out, its states and its history.
//
//     queued -> running -> succeeded | failed | cancelled
//        ^         |-> queued: asked to wait, handed back, or its lease was lost (attempt + 1 at the next claim)
//        |         '-> dead: attempts used up          queued -> expired | cancelled
//        '---- dead: redriven by an administrator
//
// The database is the truth. `attempt` counts claims and is the fencing token: every write of a worker names the
// attempt that it holds, and is refused when the job has moved on. Value types; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "governance/budget_hold.hpp"

namespace governance {
class arrived_money;  // job_holds.hpp
}

namespace jobs {

using time_ms = std::int64_t;  // since 1970 UTC

enum class status : std::uint8_t { queued, running, succeeded, failed, cancelled, expired, dead };
inline constexpr std::size_t statuses = 7;
std::string_view name_of(status what);
std::optional<status> status_named(std::string_view name);
constexpr bool is_final(status what) { return what != status::queued && what != status::running; }

enum class lane : std::uint8_t { realtime, batch };
std::string_view name_of(lane what);
std::optional<lane> lane_named(std::string_view name);

inline constexpr int priority_min = -100;
inline constexpr int priority_max = 100;

// Ids in the order of their jobs: "job_" and 24 digits and lower-case letters, in which any database sorts, 11 of the
// time, 13 that the caller makes up. `beyond`: of them as many as are needed.
std::string new_id(std::int64_t created_at_us, std::string_view beyond);
// When a job with such an id was created; also of one that is gone.
std::optional<time_ms> created_at_of(std::string_view id);

// Who submitted it. Another team never sees it; a key sees the jobs of its team.
struct owner {
    std::string team_id;
    std::string key_id;
    std::string subject;  // of a JWT; else empty
};

using hold = governance::budget_hold;  // set aside for a queued job

struct submission {
    std::string id;  // "job_" and 24 characters
    owner who;
    std::string model;
    std::string request;         // the Messages body, byte for byte
    std::string headers = "{}";  // JSON object: anthropic-version, anthropic-beta, user-agent of the submitter
    std::string metadata = "{}";
    int priority = 0;
    jobs::lane where = jobs::lane::realtime;
    std::string webhook_url;      // empty: none
    std::string idempotency_key;  // empty: none
    std::string digest;           // of what was submitted, in hex: the same key with another digest is a conflict
    std::vector<hold> holds;      // hard budgets, already held on this replica (governance/job_holds.hpp)
    time_ms created_at = 0;
    time_ms expires_at = 0;  // not started by then: expired
    std::uint32_t attempts_max = 3;
};

// A job without its bodies.
struct summary {
    std::string id;
    owner who;
    jobs::status state = jobs::status::queued;
    jobs::lane where = jobs::lane::realtime;
    std::string model;
    std::string metadata = "{}";
    int priority = 0;
    std::uint32_t attempt = 0;  // claims so far
    std::uint32_t attempts_max = 3;
    bool cancel_asked = false;
    std::string webhook_url;
    std::string error;         // JSON: the error envelope of its last failure; empty: none
    std::string usage;         // JSON: the usage of its result; empty: none yet
    std::uint64_t events = 0;  // id of the last event in the log
    time_ms created_at = 0;
    time_ms updated_at = 0;
    std::optional<time_ms> started_at;   // of the last attempt
    std::optional<time_ms> finished_at;  // final since
    time_ms run_after = 0;               // queued: not before
    time_ms expires_at = 0;
    std::optional<time_ms> delete_at;  // final: kept until
};

// What a worker gets with its claim.
struct claimed {
    summary about;
    std::string request;
    std::string headers;
    std::uint64_t events = 0;  // the log has so many from earlier attempts: go on behind
    // What was held for it: for its admission (give_to), and given up with the last copy of this. Null: nothing was.
    std::shared_ptr<governance::arrived_money> money{};
};

// One entry of a job's history.
struct attempt_entry {
    std::uint32_t attempt = 0;
    std::string worker;  // replica id
    time_ms started_at = 0;
    std::optional<time_ms> ended_at;
    std::string outcome;     // succeeded, failed, cancelled, waiting, handed_back, lost; empty: under way
    std::string reason;      // error type or reason, may be empty
    std::string request_id;  // ours; the ledger has its row; may be empty
};

}  // namespace jobs
