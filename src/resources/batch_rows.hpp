// Callers' batches in the database: what is held for one, what it is called upstream, and its end. Blocking; thread
// rule: the connection's. Every function throws database::failure, and each may be repeated.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "database/connection.hpp"
#include "governance/budget_hold.hpp"
#include "ledger/row_writer.hpp"

namespace resources {

using time_ms = std::int64_t;

enum class batch_phase : std::uint8_t {
    creating,  // may or may not exist upstream
    open,      // exists; its results are not in the ledger yet
    settled,   // every result is in the ledger, nothing is held
    failed,    // never existed, or is gone: nothing is held
};

struct batch_entry {
    std::string id;           // of the request that made it
    std::string upstream_id;  // empty while `creating`
    batch_phase phase = batch_phase::creating;
    std::string team_id, key_id, subject;
    std::string tags = "[]";
    std::string user_agent;
    std::string digest;  // of the custom ids (custom_ids.hpp)
    std::uint64_t requests = 0;
    base::pico_dollars bound = 0;   // what it costs at most
    std::string upstream_status{};  // processing_status as it was last seen
    time_ms created_at = 0;
    time_ms updated_at = 0;
    std::vector<governance::budget_hold> holds{};
};

// The row of a batch that is about to be made, in one transaction with the money that is set aside for it. The replica
// owns it as long as it renews it (renew_creating). Nothing happens when the row is there already.
void insert_batch(database::connection& on, const batch_entry& what, std::string_view replica, time_ms now,
                  time_ms owned_until);
bool batch_exists(database::connection& on, std::string_view id);

// Upstream has made it: it is the team's. Also when another replica had given it up meanwhile.
void open_batch(database::connection& on, std::string_view id, std::string_view upstream_id, time_ms look_at,
                time_ms now);
// It never was, or is gone upstream: what is held is given back.
void fail_batch(database::connection& on, std::string_view id, time_ms now);
// Nobody knows whether upstream has made it: a poller looks from `look_at` on.
void doubt_batch(database::connection& on, std::string_view id, time_ms look_at, time_ms now);

std::optional<batch_entry> find_batch(database::connection& on, std::string_view upstream_id);
// Of these, the ids that belong to no batch and to no team yet.
std::vector<std::string> unknown_batches(database::connection& on, std::span<const std::string> upstream_ids);

// Who makes batches: callers, or the lane of jobs (worker/batch_lane.hpp), whose rows of teams are its own.
enum class batch_origin : std::uint8_t { caller, lane };

// Looks to be made now: they are the replica's until `owned_until`. Also renews what the replica is creating.
std::vector<batch_entry> take_due_batches(database::connection& on, batch_origin origin, std::string_view replica,
                                          time_ms now, time_ms owned_until, std::uint32_t count_max);
// The look is over; the next one at `look_at`.
void looked_at_batch(database::connection& on, std::string_view id, std::string_view upstream_status, time_ms look_at,
                     time_ms now);
// Somebody waits for its end.
void hurry_batch(database::connection& on, std::string_view upstream_id, time_ms now);

// Results as rows of the ledger: each counts once, however often it comes, and what it costs is taken from what is
// held. False: the batch is not open any more.
bool settle_results(database::connection& on, ledger::row_writer& writer, std::string_view id,
                    std::span<const ledger::journal_row> rows, time_ms owned_until, time_ms now);
// All results are in the ledger: the rest of the hold is given back.
void finish_batch(database::connection& on, std::string_view id, time_ms now);

}  // namespace resources
