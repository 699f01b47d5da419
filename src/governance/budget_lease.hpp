// How much of a budget a replica takes from the database, and the statements that take it.
//
// In the database, always: spent + sum of (granted - consumed) over the leases that have not expired <= limit. A grant
// is decided under a lock on the budget's row; the ledger's writer moves money from a lease to `spent` in the
// transaction of its rows, which changes neither side of the sum. Thread rule: the connection's.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "database/connection.hpp"
#include "governance/budget.hpp"

namespace governance {

// What the database says of one budget in one period, as one replica sees it.
struct lease_state {
    bool exists = false;  // the budget is still there
    pico_dollars limit = 0;
    bool hard = true;
    std::vector<int> alerts;
    pico_dollars spent = 0;      // in the period, by everybody
    pico_dollars others = 0;     // leases of other replicas, and what is set aside
    pico_dollars set_aside = 0;  // the lease of the jobs (job_holds.hpp)
    std::uint32_t replicas = 1;  // that have one, ours included
    bool others_want = false;    // another replica has waiting requests and got less than it wanted
    bool want_before = false;    // one of them comes before us: it takes what there is, and we give back
    pico_dollars granted = 0;    // ours
    pico_dollars consumed = 0;
    bool expired = false;  // ours: it protects nothing any more
};

struct lease_wish {
    pico_dollars used = 0;     // held + unreported
    pico_dollars waiting = 0;  // sum of the queue
    pico_dollars waiting_first = 0;
    pico_dollars acknowledged = 0;  // budget_view::acknowledged
    bool idle = false;              // nothing happened since the last look
};

struct lease_plan {
    pico_dollars amount = 0;  // granted - consumed afterwards
    bool wants_more = false;  // waiting requests are not covered
    pico_dollars low = 0;     // budget_account::lease_news::low
};

// Needs first, then a quarter of what is free as slack, shared by the replicas; no slack while another one is waiting.
// Where there is not enough for two that wait, the one with the lower id takes all there is and the other gives back
// what it does not use: else each could hold half of what either needs, for ever. Pure.
lease_plan plan_lease(const lease_state& now, const lease_wish& wish);

// Both in the caller's transaction.
lease_state read_lease(database::connection& on, const budget_account::identity& who, std::string_view replica,
                       time_ms now);
void write_lease(database::connection& on, const budget_account::identity& who, std::string_view replica,
                 pico_dollars granted, pico_dollars consumed_if_new, time_ms wanted_until, time_ms expires_at);

// The ledger's writer, in the transaction of its rows.
struct consumption {
    std::uint32_t account = 0;
    pico_dollars amount = 0;
};
void consume_leases(database::connection& on, const budget_registry& accounts, std::string_view replica,
                    std::span<const consumption> amounts, time_ms expires_at);

// Budgets for which another replica waits, so that we look whether we can give back.
std::vector<std::string> wanted_by_others(database::connection& on, std::string_view replica, time_ms now);

// What a dead replica had taken is free again.
void drop_leases(database::connection& on, std::string_view replica);

}  // namespace governance
