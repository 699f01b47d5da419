// Money of hard budgets that is held for queued jobs, which belong to no replica: what was held for them survives every
// process. It stands as one lease a budget and period whose replica is called `jobs`: granted is the sum of what the
// queued jobs hold, consumed is nothing, and to every replica it is a lease of somebody else.
//
// At a submit the gateway holds the bound on its own replica (budget_claim). The transaction that makes the job moves
// the amount from that replica's lease to the one of the jobs, as the ledger moves money from a lease to `spent`: the
// sum of spent and leases stays. At a claim it moves to the lease of the replica that runs the job, where it is
// held for this job (arrived_money) until its admission takes it over. Where a queued job ends it is given back.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "database/connection.hpp"
#include "governance/budget.hpp"
#include "governance/budget_hold.hpp"

namespace governance {

// The lease of the jobs. Not a name that a replica can have.
inline constexpr std::string_view jobs_replica = "jobs";

// What a submit has held. Soft budgets hold nothing beyond the submit: they cannot be overdrawn. Thread rule: one
// thread at a time.
class job_claim {
public:
    job_claim() = default;
    explicit job_claim(budget_claim held) : held_(std::move(held)) {}  // every budget of it is held

    // For jobs::submission. Empty when no hard budget applies.
    std::vector<budget_hold> holds();
    // The transaction that moved the holds was committed: they are not ours any more.
    void committed(time_ms now);
    // It certainly did not happen. Also what the destructor does.
    void abandoned(time_ms now);

private:
    budget_claim held_;
    std::vector<budget_account*> moving_;  // those that `holds` named
};

// What comes to this replica with a job that it claims. It is held from before the claim's commit on, outside of the
// line of those who wait: else whoever stands there would get it, and its job would wait behind. The job's own
// admission takes it over; what nobody has taken is given up at the end. Budgets that this replica does not know, and
// periods that are over, bring nothing. Thread rule: one thread at a time.
class arrived_money {
public:
    arrived_money(const budget_registry& budgets, std::span<const budget_hold> holds, time_ms now);
    ~arrived_money() { give_up(); }
    arrived_money(const arrived_money&) = delete;
    arrived_money& operator=(const arrived_money&) = delete;

    void committed();  // the leases have it now: the keeper should look
    void give_to(budget_claim& claim);
    void give_up();

private:
    struct part {
        budget_account* on = nullptr;
        pico_dollars amount = 0;
    };
    std::vector<part> parts_;
    time_ms now_;
};

// Collects the moves of one transaction and writes them in an order that is the same everywhere. Thread rule: the
// connection's.
class hold_moves {
public:
    void set_aside(std::span<const budget_hold> holds);  // a submit: from our lease to the jobs'
    void hand_over(std::span<const budget_hold> holds);  // a claim: from the jobs' to ours
    void give_back(std::span<const budget_hold> holds);  // the job has left the queue otherwise
    bool empty() const { return sums_.empty(); }

    // Throws database::failure.
    void write(database::connection& in_transaction, std::string_view replica, time_ms now) const;

private:
    struct sum {
        pico_dollars jobs = 0;      // change of the jobs' lease
        pico_dollars consumed = 0;  // of ours
        pico_dollars granted = 0;
    };
    sum& of(const budget_hold& hold) { return sums_[{hold.budget_id, hold.period_start}]; }
    std::map<std::pair<std::string, time_ms>, sum> sums_;
};

// JSON as in the column `holds`: [{"budget":"bud_1","period":0,"amount":12}].
std::string holds_text(std::span<const budget_hold> holds);
std::vector<budget_hold> read_holds(std::string_view json);

// Makes the jobs' lease what `expected` gives, in the caller's transaction: for each budget and period the sum over
// queued jobs. It is asked after the leases were locked, so that whoever moves holds has been seen or comes later.
// Returns how many leases were wrong.
using hold_sums = std::map<std::pair<std::string, time_ms>, pico_dollars>;
std::uint32_t repair_job_leases(database::connection& in_transaction, const std::function<hold_sums()>& expected);

}  // namespace governance
