// Budgets and rate limits: /admin/v1/budgets, /admin/v1/limits.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/string.hpp>
#include <map>

#include "admin/amounts.hpp"
#include "admin/endpoint.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"

namespace admin {

using base::errc;

void read_amounts(members& given, governance::rate_limits& into) {
    constexpr std::int64_t amount_max = 1'000'000'000'000;  // buckets count in nanoseconds and must not wrap
    const auto read = [&](std::string_view name, std::int64_t& amount) {
        if (given.is_null(name)) {
            given.note(name);
            amount = 0;
        } else if (const auto wanted = given.count(name, 0, amount_max)) {
            amount = *wanted;
        }
    };
    read("requests_per_minute", into.requests_per_minute);
    read("input_tokens_per_minute", into.input_tokens_per_minute);
    read("output_tokens_per_minute", into.output_tokens_per_minute);
    read("concurrent_requests", into.concurrent_requests);
}

base::result<std::vector<governance::budget_amount>> read_budgets(std::span<const std::string> texts) {
    std::vector<governance::budget_amount> all;
    for (const auto& text : texts) {
        const auto amount = governance::parse_budget(text);
        if (!amount) return std::unexpected(amount.error());
        const auto same = [&](const governance::budget_amount& other) { return other.every == amount->every; };
        if (std::ranges::any_of(all, same)) {
            return base::fail(errc::invalid_argument,
                              fmt::format("`budgets` has two of the period {}.", governance::name_of(amount->every)));
        }
        all.push_back(*amount);
    }
    return all;
}

namespace {

constexpr std::string_view scope_choices = "root, team or key";

struct place {
    governance::scope where = governance::scope::root;
    std::string id;
    std::string name;
};

// What `scope` and `id` mean: the id behind a team's name, and the name behind an id.
base::result<place> find_place(governance::scope where, const std::string& id, workbench& bench) {
    if (where == governance::scope::root) {
        if (id.empty()) return place{};
        return base::fail(errc::invalid_argument, "The scope root has no `id`.");
    }
    if (id.empty()) {
        return base::fail(errc::missing_field,
                          fmt::format("`id` is missing: the {} that it applies to.", governance::name_of(where)));
    }
    if (where == governance::scope::team) {
        const auto team = bench.tenants.find_team(id);
        if (!team) return std::unexpected(team.error());
        return place{where, team->id, team->name};
    }
    const auto key = bench.tenants.find_key(id);
    if (!key) return std::unexpected(key.error());
    return place{where, key->id, key->name};
}

// Names for lists, looked up once each.
class names {
public:
    explicit names(workbench& bench) : bench_(bench) {}
    const std::string& of(governance::scope where, const std::string& id) {
        const auto [entry, fresh] = known_.try_emplace({where, id});
        if (fresh) {
            if (const auto found = find_place(where, id, bench_)) entry->second = found->name;
        }
        return entry->second;
    }

private:
    workbench& bench_;
    std::map<std::pair<governance::scope, std::string>, std::string> known_{};
};

boost::json::object view_with_spent(const governance::budget& what, std::string_view scope_name, workbench& bench) {
    return view_of(what, scope_name, bench.tenants.spent_of(what), bench.now());
}

boost::json::object list_of(boost::json::array entries) { return page_of(std::move(entries), false, nullptr); }

}  // namespace

base::result<reply> list_budgets(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    names known(bench);
    boost::json::array all;
    for (const auto& budget : bench.tenants.list_budgets()) {
        all.emplace_back(view_with_spent(budget, known.of(budget.where, budget.scope_id), bench));
    }
    return reply_of(list_of(std::move(all)));
}

// Absent members stay as they are when there is a budget of that scope and period.
base::result<reply> set_budget(const request& asked, workbench& bench) {
    members given(asked);
    const auto where = given.named("scope", governance::scope_named, scope_choices);
    const std::string id = given.text("id").value_or("");
    const auto every = given.named("period", governance::period_named, "day, week, month or total");
    const auto limit = given.dollars("limit");
    const auto hard = given.flag("hard");
    const auto alerts = given.percents("alerts");
    if (!where) given.missing("scope");
    if (!every) given.missing("period");
    if (!limit) given.missing("limit");
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto at = find_place(*where, id, bench);
    if (!at) return std::unexpected(at.error());

    governance::budget wanted{.id = {}, .where = at->where, .scope_id = at->id, .every = *every};
    for (const auto& budget : bench.tenants.list_budgets()) {
        const bool same = budget.where == at->where && budget.scope_id == at->id && budget.every == *every;
        if (same) wanted = budget;
    }
    wanted.limit_pico = *limit;
    if (hard) wanted.hard = *hard;
    if (alerts) wanted.alerts = *alerts;
    const auto made = bench.tenants.set_budget(asked.by, wanted);
    if (!made) return std::unexpected(made.error());
    return changed(view_with_spent(*made, at->name, bench));
}

base::result<reply> remove_budget(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto gone = bench.tenants.remove_budget(asked.by, asked.path[0]);
    if (!gone) return std::unexpected(gone.error());
    return changed(view_with_spent(*gone, names(bench).of(gone->where, gone->scope_id), bench));
}

base::result<reply> list_limits(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    names known(bench);
    boost::json::array all;
    for (const auto& limit : bench.tenants.list_limits()) {
        all.emplace_back(view_of(limit, known.of(limit.where, limit.scope_id)));
    }
    return reply_of(list_of(std::move(all)));
}

// Absent amounts stay as they are; when none is left, the limit is removed.
base::result<reply> set_limit(const request& asked, workbench& bench) {
    members given(asked);
    const auto where = given.named("scope", governance::scope_named, scope_choices);
    const std::string id = given.text("id").value_or("");
    const std::string model_class = given.text("model_class").value_or("");
    governance::rate_limits amounts;
    read_amounts(given, amounts);
    if (!where) given.missing("scope");
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto at = find_place(*where, id, bench);
    if (!at) return std::unexpected(at.error());

    governance::limit wanted{.where = at->where, .scope_id = at->id, .model_class = model_class, .amounts = {}};
    for (const auto& limit : bench.tenants.list_limits()) {
        const bool same = limit.where == at->where && limit.scope_id == at->id && limit.model_class == model_class;
        if (same) wanted.amounts = limit.amounts;
    }
    read_amounts(given, wanted.amounts);
    const auto made = bench.tenants.set_limit(asked.by, wanted);
    if (!made) return std::unexpected(made.error());
    return changed(view_of(*made, at->name));
}

}  // namespace admin
