// Limits and budgets: set, changed, removed.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "governance/administration.hpp"
#include "governance/change.hpp"
#include "governance/stored_rows.hpp"
#include "governance/stored_search.hpp"
#include "governance/validation.hpp"

namespace governance {
namespace {

std::unexpected<base::error> no_such_scope(scope where) {
    if (where == scope::root)
        return base::fail(base::errc::invalid_argument, "scope_id: leave it out for the scope root");
    return base::fail(base::errc::not_found, fmt::format("scope_id: there is no {} of that id{}", name_of(where),
                                                         where == scope::team ? " or name" : ""));
}

std::optional<limit> search_limit(database::connection& on, const limit& like) {
    const auto rows = on.query(fmt::format("SELECT {} FROM claude_proxy.limits WHERE scope = $1 AND scope_id = $2 "
                                           "AND model_class = $3",
                                           limit_columns),
                               {std::string(name_of(like.where)), like.scope_id, like.model_class});
    return rows.empty() ? std::nullopt : limit_of(rows.front());
}

std::optional<budget> budget_in(const std::vector<database::row>& rows) {
    if (rows.empty()) return std::nullopt;
    auto read = budget_of(rows.front());
    if (!read) throw_unreadable("budgets", database::text_of(rows.front().at(0)));
    return read;
}

std::string id_of(const limit& what) {
    return fmt::format("{}:{}:{}", name_of(what.where), what.scope_id, what.model_class);
}

void write(database::connection& on, const limit& what, time_ms at) {
    const std::string where(name_of(what.where));
    if (!what.amounts.any()) {
        on.execute("DELETE FROM claude_proxy.limits WHERE scope = $1 AND scope_id = $2 AND model_class = $3",
                   {where, what.scope_id, what.model_class});
        return;
    }
    on.execute(
        "INSERT INTO claude_proxy.limits (scope, scope_id, model_class, requests_per_minute, "
        "input_tokens_per_minute, output_tokens_per_minute, concurrent_requests, updated_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (scope, scope_id, model_class) DO UPDATE SET "
        "requests_per_minute = excluded.requests_per_minute, "
        "input_tokens_per_minute = excluded.input_tokens_per_minute, "
        "output_tokens_per_minute = excluded.output_tokens_per_minute, "
        "concurrent_requests = excluded.concurrent_requests, updated_at = excluded.updated_at",
        {where, what.scope_id, what.model_class, what.amounts.requests_per_minute, what.amounts.input_tokens_per_minute,
         what.amounts.output_tokens_per_minute, what.amounts.concurrent_requests, at});
}

}  // namespace

base::result<limit> administration::set_limit(const actor& by, const limit& wanted) {
    verdict checked = check_amounts(wanted.amounts);
    if (checked && !wanted.model_class.empty()) checked = check_pattern("model_class", wanted.model_class);
    if (!checked) return std::unexpected(checked.error());
    return make_change(on_, by, now_(), [&](change& made) -> base::result<limit> {
        auto scope_id = search_scope(made.on, wanted.where, wanted.scope_id);
        if (!scope_id) return no_such_scope(wanted.where);
        limit changed = wanted;
        changed.scope_id = std::move(*scope_id);
        const auto before = search_limit(made.on, changed);
        if ((before ? before->amounts : rate_limits{}) == changed.amounts) return changed;
        write(made.on, changed, made.at);
        const bool removed = !changed.amounts.any();
        made.record(removed ? "limit.remove" : "limit.set", id_of(changed),
                    details_of(before ? description_of(*before) : "", removed ? "" : description_of(changed)));
        return changed;
    });
}

std::vector<limit> administration::list_limits() {
    std::vector<limit> limits;
    for (const auto& row : on_.query(
             fmt::format("SELECT {} FROM claude_proxy.limits ORDER BY scope, scope_id, model_class", limit_columns))) {
        auto read = limit_of(row);
        if (!read) throw_unreadable("limits", database::text_of(row.at(1)));
        limits.push_back(std::move(*read));
    }
    return limits;
}

base::result<budget> administration::set_budget(const actor& by, const budget& wanted) {
    if (wanted.limit_pico <= 0)
        return base::fail(base::errc::invalid_argument, "limit: give an amount over 0, or remove the budget");
    if (auto checked = check_alerts(wanted.alerts); !checked) return std::unexpected(checked.error());
    return make_change(on_, by, now_(), [&](change& made) -> base::result<budget> {
        auto scope_id = search_scope(made.on, wanted.where, wanted.scope_id);
        if (!scope_id) return no_such_scope(wanted.where);
        const std::string where(name_of(wanted.where)), every(name_of(wanted.every));
        const auto before = budget_in(made.on.query(
            fmt::format("SELECT {} FROM claude_proxy.budgets WHERE scope = $1 AND scope_id = $2 AND period = $3",
                        budget_columns),
            {where, *scope_id, every}));
        budget changed = wanted;
        changed.id = before ? before->id : new_id("bud_");
        changed.scope_id = std::move(*scope_id);
        std::ranges::sort(changed.alerts);
        const auto repeated = std::ranges::unique(changed.alerts);
        changed.alerts.erase(repeated.begin(), repeated.end());
        changed.created_at = before ? before->created_at : made.at;
        changed.updated_at = made.at;
        const std::string was = before ? description_of(*before) : "", is = description_of(changed);
        if (before && was == is) return *before;
        made.on.execute(
            "INSERT INTO claude_proxy.budgets (id, scope, scope_id, period, limit_pico, hard, alerts, "
            "created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
            "ON CONFLICT (scope, scope_id, period) DO UPDATE SET limit_pico = excluded.limit_pico, "
            "hard = excluded.hard, alerts = excluded.alerts, updated_at = excluded.updated_at",
            {changed.id, where, changed.scope_id, every, changed.limit_pico, std::int64_t{changed.hard ? 1 : 0},
             json_of(changed.alerts), changed.created_at, changed.updated_at});
        made.record("budget.set", changed.id, details_of(was, is));
        return changed;
    });
}

base::result<budget> administration::remove_budget(const actor& by, std::string_view id) {
    return make_change(on_, by, now_(), [&](change& made) -> base::result<budget> {
        std::optional<budget> found;
        if (is_id("bud_", id))
            found = budget_in(made.on.query(
                fmt::format("SELECT {} FROM claude_proxy.budgets WHERE id = $1", budget_columns), {std::string(id)}));
        if (!found) return base::fail(base::errc::not_found, "there is no budget of that id");
        made.on.execute("DELETE FROM claude_proxy.budgets WHERE id = $1", {found->id});
        made.record("budget.remove", found->id, details_of(description_of(*found), {}));
        return std::move(*found);
    });
}

std::vector<budget> administration::list_budgets() {
    std::vector<budget> budgets;
    for (const auto& row : on_.query(
             fmt::format("SELECT {} FROM claude_proxy.budgets ORDER BY scope, scope_id, period", budget_columns))) {
        auto read = budget_of(row);
        if (!read) throw_unreadable("budgets", database::text_of(row.at(0)));
        budgets.push_back(std::move(*read));
    }
    return budgets;
}

base::pico_dollars administration::spent_of(const budget& what) {
    const time_ms now = now_();
    const auto rows = on_.query(
        "SELECT COALESCE(SUM(spent_pico), 0) FROM claude_proxy.spend_daily "
        "WHERE scope = $1 AND scope_id = $2 AND day >= $3 AND day < $4",
        {std::string(name_of(what.where)), what.scope_id, period_start(what.every, now),
         period_end(what.every, now).value_or(std::numeric_limits<time_ms>::max())});
    return database::integer_of(rows.at(0).at(0));
}

base::result<budget_amount> parse_budget(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto amount = base::parse_dollars(text.substr(0, slash));
    const auto every = slash == text.npos ? std::optional(period::total) : period_named(text.substr(slash + 1));
    if (!amount || *amount <= 0 || !every)
        return base::fail(base::errc::invalid_argument,
                          "budget: write dollars and a period, such as 50/month, 2.50/day, 10/week or 100/total");
    return budget_amount{*amount, *every};
}

}  // namespace governance
