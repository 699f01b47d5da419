#include "governance/budget_lease.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "governance/job_holds.hpp"

namespace governance {
namespace {

constexpr std::int64_t slack_divisor = 4;  // of what is free, over all replicas

pico_dollars non_negative(pico_dollars amount) { return std::max<pico_dollars>(amount, 0); }

std::vector<int> percents(const std::string& json) {
    std::vector<int> made;
    boost::system::error_code problem;
    const auto list = boost::json::parse(json, problem);
    if (problem || !list.is_array()) return made;
    for (const auto& item : list.get_array()) {
        if (item.is_int64()) made.push_back(static_cast<int>(item.get_int64()));
    }
    return made;
}

}  // namespace

lease_plan plan_lease(const lease_state& now, const lease_wish& wish) {
    // What the database has already moved to `spent` is still in our `used`.
    const pico_dollars told = now.consumed - wish.acknowledged;
    const pico_dollars used = non_negative(wish.used - told);
    const pico_dollars own = now.expired ? 0 : non_negative(now.granted - now.consumed);
    const pico_dollars room = non_negative(now.limit - now.spent - now.others);  // for us, what we have included
    const pico_dollars waiting = now.others_want ? wish.waiting_first : wish.waiting;
    const pico_dollars need = base::add_saturated(used, waiting);

    lease_plan plan;
    if (need >= room) {
        // Holds cannot be taken back: a limit that was lowered under them is overdrawn until they settle.
        const pico_dollars kept = std::min(used, std::max(own, room));
        plan.amount = now.want_before ? kept : std::max(room, kept);
        plan.wants_more = wish.waiting > 0;
        plan.low = 0;
        return plan;
    }
    if (wish.idle && need == 0) return plan;
    pico_dollars slack = now.others_want ? 0 : (room - need) / (slack_divisor * now.replicas);
    // A lease a little larger than planned stays: giving back and taking again is not for nothing.
    if (!now.others_want && own > need + slack && own - need < 4 * slack) slack = std::min(own - need, room - need);
    plan.amount = need + slack;
    plan.wants_more = now.others_want && wish.waiting > waiting;
    plan.low = slack / 2;
    return plan;
}

lease_state read_lease(database::connection& on, const budget_account::identity& who, std::string_view replica,
                       time_ms now) {
    lease_state state;
    // The update is the lock: two replicas never decide about one budget at the same time.
    const auto budgets = on.query(
        "UPDATE claude_proxy.budgets SET updated_at = updated_at WHERE id = $1 RETURNING limit_pico, hard, alerts",
        {who.budget_id});
    if (!budgets.empty()) {
        state.exists = true;
        state.limit = database::integer_of(budgets[0][0]);
        state.hard = database::integer_of(budgets[0][1]) != 0;
        state.alerts = percents(database::text_of(budgets[0][2]));
    }
    // One statement: money that moves from a lease to `spent` meanwhile is seen on exactly one side.
    const auto rows = on.query(
        "SELECT (SELECT COALESCE(SUM(spent_pico), 0) FROM claude_proxy.spend_daily"
        "         WHERE scope = $1 AND scope_id = $2 AND day >= $3 AND day < $4),"
        " COALESCE(SUM(CASE WHEN replica <> $5 AND expires_at > $6 AND granted_pico > consumed_pico"
        "               THEN granted_pico - consumed_pico ELSE 0 END), 0),"
        " COALESCE(SUM(CASE WHEN replica NOT IN ($5, $9) AND expires_at > $6 AND (granted_pico > consumed_pico"
        "               OR wanted_until > $6) THEN 1 ELSE 0 END), 0),"
        " COALESCE(MAX(CASE WHEN replica <> $5 AND wanted_until > $6 THEN 1 ELSE 0 END), 0),"
        " COALESCE(MAX(CASE WHEN replica < $5 AND wanted_until > $6 THEN 1 ELSE 0 END), 0),"
        " COALESCE(SUM(CASE WHEN replica = $5 THEN granted_pico ELSE 0 END), 0),"
        " COALESCE(SUM(CASE WHEN replica = $5 THEN consumed_pico ELSE 0 END), 0),"
        " COALESCE(MAX(CASE WHEN replica = $5 THEN expires_at ELSE 0 END), 0),"
        " COALESCE(SUM(CASE WHEN replica = $9 AND expires_at > $6 AND granted_pico > consumed_pico"
        "               THEN granted_pico - consumed_pico ELSE 0 END), 0)"
        " FROM claude_proxy.budget_leases WHERE budget_id = $7 AND period_start = $8",
        {std::string(name_of(who.where)), who.scope_id, who.begins, who.ends.value_or(INT64_MAX), std::string(replica),
         now, who.budget_id, who.begins, std::string(jobs_replica)});
    const database::row& found = rows.at(0);
    state.spent = database::integer_of(found[0]);
    state.others = database::integer_of(found[1]);
    state.replicas = 1 + static_cast<std::uint32_t>(database::integer_of(found[2]));
    state.others_want = database::integer_of(found[3]) != 0;
    state.want_before = database::integer_of(found[4]) != 0;
    state.granted = database::integer_of(found[5]);
    state.consumed = database::integer_of(found[6]);
    state.expired = database::integer_of(found[7]) <= now;
    state.set_aside = database::integer_of(found[8]);
    return state;
}

void write_lease(database::connection& on, const budget_account::identity& who, std::string_view replica,
                 pico_dollars granted, pico_dollars consumed_if_new, time_ms wanted_until, time_ms expires_at) {
    on.execute(
        "INSERT INTO claude_proxy.budget_leases"
        " (budget_id, period_start, replica, granted_pico, consumed_pico, wanted_until, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (budget_id, period_start, replica)"
        " DO UPDATE SET granted_pico = $4, wanted_until = $6, expires_at = $7",
        {who.budget_id, who.begins, std::string(replica), granted, consumed_if_new, wanted_until, expires_at});
}

void consume_leases(database::connection& on, const budget_registry& accounts, std::string_view replica,
                    std::span<const consumption> amounts, time_ms expires_at) {
    // In the order of job_holds.cpp: who locks the same rows waits and never in a circle.
    std::map<std::pair<std::string, time_ms>, pico_dollars> sums;
    for (const auto& each : amounts) {
        const budget_account* account = accounts.find(each.account);
        if (account == nullptr || each.amount == 0) continue;
        sums[{account->who().budget_id, account->who().begins}] += each.amount;
    }
    for (const auto& [of, amount] : sums) {
        on.execute(
            "INSERT INTO claude_proxy.budget_leases"
            " (budget_id, period_start, replica, granted_pico, consumed_pico, wanted_until, expires_at)"
            " VALUES ($1, $2, $3, 0, $4, 0, $5) ON CONFLICT (budget_id, period_start, replica)"
            " DO UPDATE SET consumed_pico = budget_leases.consumed_pico + $4",
            {of.first, of.second, std::string(replica), amount, expires_at});
    }
}

std::vector<std::string> wanted_by_others(database::connection& on, std::string_view replica, time_ms now) {
    std::vector<std::string> ids;
    for (const auto& row :
         on.query("SELECT DISTINCT budget_id FROM claude_proxy.budget_leases WHERE wanted_until > $1 AND replica <> $2",
                  {now, std::string(replica)})) {
        ids.push_back(database::text_of(row[0]));
    }
    return ids;
}

void drop_leases(database::connection& on, std::string_view replica) {
    on.execute("DELETE FROM claude_proxy.budget_leases WHERE replica = $1", {std::string(replica)});
}

}  // namespace governance
