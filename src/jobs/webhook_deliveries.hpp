// Deliveries of webhooks in the database: one row a job that wants one and has ended, made in the transaction that ends
// it: state `waiting`, next_at now, `endpoint` from webhook_endpoint (webhook_target.hpp). Whoever sends takes rows by
// compare-and-set, for a time, and marks what came of it; a claim that ran out is somebody else's to take, so that a
// delivery is made at least once, always under the same id.
//
// Calls throw database::failure. Blocking; thread rule: the connection's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "database/connection.hpp"
#include "jobs/job.hpp"

namespace jobs {

enum class delivery_state : std::uint8_t { waiting, delivered, given_up };
std::string_view name_of(delivery_state what);
std::optional<delivery_state> delivery_state_named(std::string_view name);

// --- whoever sends ---

// Breakers and bounds are per endpoint and team: what one team's receiver does is no other team's loss.
struct destination {
    std::string team_id;
    std::string endpoint;

    auto operator<=>(const destination&) const = default;
};

struct claimed_delivery {
    std::string id;
    std::string job_id;
    destination to;
    std::string url;
    std::string body;
    std::uint32_t tries = 0;  // before this one
    time_ms next_at = 0;      // when it was due
    time_ms claimed_until = 0;
};
struct claim_bounds {
    std::size_t count = 0;            // in all
    std::size_t per_destination = 0;  // of them to each
};
// Of those that are due the longest due first, without those to `not_to` (at most excluded_max). Nothing may also mean
// that another claimant was faster: look again soon.
inline constexpr std::size_t excluded_max = 500;
std::vector<claimed_delivery> claim_deliveries(database::connection& on, std::string_view claimant,
                                               const claim_bounds& bounds, std::span<const destination> not_to,
                                               time_ms now, time_ms until);

struct delivery_mark {
    std::string id;
    time_ms claimed_until = 0;  // as it was claimed
    delivery_state state = delivery_state::waiting;
    bool tried = true;  // false: handed back; tries, status and error stay as they are
    time_ms next_at = 0;
    std::uint32_t status = 0;
    std::string error{};
};
// All or none. Claims that were lost meanwhile are left alone. How many were still held.
std::size_t mark_deliveries(database::connection& on, std::string_view claimant, std::span<const delivery_mark> marks,
                            time_ms now);

// Gives up what waits since before `since` and is held by nobody. How many.
std::size_t give_up_deliveries(database::connection& on, time_ms since, time_ms now);

std::uint64_t count_waiting_deliveries(database::connection& on);

// --- administrators ---

struct delivery_entry {
    std::string id;
    std::string job_id;
    destination to;
    std::string url;
    std::string event;
    delivery_state state = delivery_state::waiting;
    std::uint32_t tries = 0;
    time_ms next_at = 0;
    std::uint32_t last_status = 0;  // 0: there was no answer
    std::string last_error;
    time_ms created_at = 0;
    time_ms updated_at = 0;
    std::optional<time_ms> replayed_at;
};
struct delivery_filter {  // empty: all
    std::string id;
    std::string job_id;
    std::string team_id;
    std::optional<delivery_state> state;
};
// The newest first; `after_id`: those behind that one.
std::vector<delivery_entry> list_deliveries(database::connection& on, const delivery_filter& which,
                                            std::string_view after_id, std::uint32_t limit);
// Due at once, and with all tries before them. Those that are being sent right now are left alone. How many.
std::size_t replay_deliveries(database::connection& on, const delivery_filter& which, time_ms now);

}  // namespace jobs
