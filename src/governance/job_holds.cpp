#include "governance/job_holds.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <limits>
#include <utility>

namespace governance {
namespace {

// The jobs' lease ends with the jobs, never by itself.
constexpr time_ms never = std::numeric_limits<time_ms>::max() / 2;
// What was handed over stands at least so long for a replica that had no lease: until its keeper renews it.
constexpr time_ms handed_over_ms = 30'000;

void add_to_jobs(database::connection& on, const std::string& budget, time_ms period, pico_dollars amount) {
    on.execute(
        "INSERT INTO claude_proxy.budget_leases"
        " (budget_id, period_start, replica, granted_pico, consumed_pico, wanted_until, expires_at)"
        " VALUES ($1, $2, $3, $4, 0, 0, $5) ON CONFLICT (budget_id, period_start, replica)"
        " DO UPDATE SET granted_pico = budget_leases.granted_pico + $4",
        {budget, period, std::string(jobs_replica), amount, never});
}

}  // namespace

std::vector<budget_hold> job_claim::holds() {
    std::vector<budget_hold> made;
    moving_.clear();
    for (budget_account* account : held_.accounts_held()) {
        if (!account->view().hard || held_.amount() == 0) continue;
        moving_.push_back(account);
        made.push_back({account->who().budget_id, account->who().begins, held_.amount()});
    }
    return made;
}

void job_claim::committed(time_ms now) {
    held_.hand_over(moving_, now);
    moving_.clear();
}

void job_claim::abandoned(time_ms now) {
    held_.give_up(now);
    moving_.clear();
}

arrived_money::arrived_money(const budget_registry& budgets, std::span<const budget_hold> holds, time_ms now)
    : now_(now) {
    for (const auto& hold : holds) {
        budget_account* const account = budgets.find(hold.budget_id, hold.period_start, now);
        if (account == nullptr) continue;
        account->expect(hold.amount);
        parts_.push_back({account, hold.amount});
    }
}

void arrived_money::committed() {
    for (const auto& part : parts_) part.on->look_again();
}

void arrived_money::give_to(budget_claim& claim) {
    std::erase_if(parts_, [&](const part& each) { return claim.bring(each.on, each.amount); });
}

void arrived_money::give_up() {
    for (const auto& part : std::exchange(parts_, {})) part.on->settle(part.amount, 0, now_);
}

void hold_moves::set_aside(std::span<const budget_hold> holds) {
    for (const auto& hold : holds) {
        of(hold).consumed += hold.amount;
        of(hold).jobs += hold.amount;
    }
}

void hold_moves::hand_over(std::span<const budget_hold> holds) {
    for (const auto& hold : holds) {
        of(hold).jobs -= hold.amount;
        of(hold).granted += hold.amount;
    }
}

void hold_moves::give_back(std::span<const budget_hold> holds) {
    for (const auto& hold : holds) of(hold).jobs -= hold.amount;
}

void hold_moves::write(database::connection& on, std::string_view replica, time_ms now) const {
    // The keeper writes what its lease was granted as a whole, under the budget's lock: an addition has to hold it too.
    for (const auto& [key, sum] : sums_) {
        if (sum.granted == 0) continue;
        on.execute("UPDATE claude_proxy.budgets SET updated_at = updated_at WHERE id = $1", {key.first});
    }
    for (const auto& [key, sum] : sums_) {
        const auto& [budget, period] = key;
        if (sum.consumed != 0 || sum.granted != 0) {
            // A lease that has expired protects nothing any more: what was left of it must not come back to life.
            on.execute(
                "INSERT INTO claude_proxy.budget_leases"
                " (budget_id, period_start, replica, granted_pico, consumed_pico, wanted_until, expires_at)"
                " VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT (budget_id, period_start, replica) DO UPDATE SET"
                " granted_pico = CASE WHEN $4 <> 0 AND budget_leases.expires_at <= $7"
                "                     THEN budget_leases.consumed_pico + $4 ELSE budget_leases.granted_pico + $4 END,"
                " consumed_pico = budget_leases.consumed_pico + $5,"
                " expires_at = CASE WHEN $4 <> 0 AND budget_leases.expires_at < $6 THEN $6"
                "                   ELSE budget_leases.expires_at END",
                {budget, period, std::string(replica), sum.granted, sum.consumed, now + handed_over_ms, now});
        }
        if (sum.jobs != 0) add_to_jobs(on, budget, period, sum.jobs);
    }
}

std::string holds_text(std::span<const budget_hold> holds) {
    boost::json::array made;
    for (const auto& hold : holds) {
        made.push_back({{"budget", hold.budget_id}, {"period", hold.period_start}, {"amount", hold.amount}});
    }
    return boost::json::serialize(made);
}

std::vector<budget_hold> read_holds(std::string_view json) {
    std::vector<budget_hold> made;
    if (json == "[]") return made;
    boost::system::error_code problem;
    const auto list = boost::json::parse(json, problem);
    if (problem || !list.is_array()) return made;
    for (const auto& item : list.get_array()) {
        const auto* const one = item.if_object();
        const auto* const budget = one ? one->if_contains("budget") : nullptr;
        const auto* const period = one ? one->if_contains("period") : nullptr;
        const auto* const amount = one ? one->if_contains("amount") : nullptr;
        if (!budget || !budget->is_string() || !period || !period->is_int64() || !amount || !amount->is_int64())
            continue;
        made.push_back({std::string(budget->get_string()), period->get_int64(), amount->get_int64()});
    }
    return made;
}

std::uint32_t repair_job_leases(database::connection& on, const std::function<hold_sums()>& expected) {
    // An update is a lock.
    const auto rows = on.query(
        "UPDATE claude_proxy.budget_leases SET granted_pico = granted_pico WHERE replica = $1"
        " RETURNING budget_id, period_start, granted_pico",
        {std::string(jobs_replica)});
    hold_sums differs = expected();
    for (const auto& row : rows) {
        differs[{database::text_of(row[0]), database::integer_of(row[1])}] -= database::integer_of(row[2]);
    }
    std::uint32_t wrong = 0;
    for (const auto& [key, difference] : differs) {
        if (difference == 0) continue;
        add_to_jobs(on, key.first, key.second, difference);
        ++wrong;
    }
    on.execute("DELETE FROM claude_proxy.budget_leases WHERE replica = $1 AND granted_pico = 0",
               {std::string(jobs_replica)});
    return wrong;
}

}  // namespace governance
