// What was used and what it cost, and what became of one request: /admin/v1/usage, /admin/v1/requests/{id}.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <map>

#include "admin/endpoint.hpp"
#include "admin/members.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"
#include "governance/tenants.hpp"
#include "ledger/explain.hpp"
#include "ledger/usage_query.hpp"

namespace admin {

using base::errc;

namespace {

constexpr std::string_view group_choices = "team, key, model, tag, day, hour, outcome";

base::result<std::vector<ledger::usage_group>> read_groups(std::span<const std::string> names) {
    std::vector<ledger::usage_group> all;
    for (const auto& name : names) {
        const auto group = ledger::usage_group_named(name);
        if (!group) {
            return base::fail(errc::invalid_argument,
                              fmt::format("`group_by` must be some of {} between commas.", group_choices));
        }
        if (std::ranges::find(all, *group) == all.end()) all.push_back(*group);
    }
    return all;
}

// The names behind the ids of teams and keys; rows outlive both, so what is not there any more keeps its id.
class names {
public:
    explicit names(workbench& bench) : bench_(bench) {
        for (auto& team : bench.tenants.list_teams(true)) teams_.emplace(std::move(team.id), std::move(team.name));
    }
    const std::string& of_team(const std::string& id) const {
        const auto found = teams_.find(id);
        return found == teams_.end() ? id : found->second;
    }
    const std::string& of_key(const std::string& id) {
        const auto [entry, fresh] = keys_.try_emplace(id);
        if (fresh) {
            const auto key = bench_.tenants.find_key(id);
            entry->second = key ? key->name : id;
        }
        return entry->second;
    }

private:
    workbench& bench_;
    std::map<std::string, std::string> teams_{};
    std::map<std::string, std::string> keys_{};
};

std::string text_at(const boost::json::object& row, std::string_view name) {
    const auto& text = row.at(name).as_string();
    return {text.data(), text.size()};
}

// Milliseconds as the ledger writes them become a time as this API writes it.
void show_time(boost::json::object& in, std::string_view name) {
    auto& value = in.at(name);
    if (value.is_int64()) value = time_value(value.as_int64());
}

// `team_id` and `key_id` with the names beside them.
void show_names(boost::json::object& row, names& known) {
    row["team"] = boost::json::string(known.of_team(text_at(row, "team_id")));
    row["key_name"] = boost::json::string(known.of_key(text_at(row, "key_id")));
}

}  // namespace

base::result<reply> report_usage(const request& asked, workbench& bench) {
    members given(asked);
    const governance::time_ms now = bench.now();
    const auto team = given.text("team");
    ledger::usage_filter filter{.key_id = given.text("key").value_or(""),
                                .model = given.text("model").value_or(""),
                                .tag = given.text("tag").value_or(""),
                                .from_ms = given.time("from", now, -1).value_or(0),
                                .to_ms = given.time("to", now, -1).value_or(0)};
    const auto groups = read_groups(given.texts("group_by").value_or(std::vector<std::string>()));
    const std::string format = given.text("format").value_or("json");
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    if (!groups) return std::unexpected(groups.error());
    if (format != "json" && format != "csv") return base::fail(errc::invalid_argument, "`format` must be json or csv.");
    if (filter.from_ms < 0 || filter.to_ms < 0 || (filter.to_ms > 0 && filter.to_ms <= filter.from_ms))
        return base::fail(errc::invalid_argument, "`to` must be later than `from`, and both later than 1970.");
    filter.group_by = *groups;
    if (team) {  // a typing error must not look like a team that used nothing
        const auto found = bench.tenants.find_team(*team);
        if (!found && *team != governance::static_team) return std::unexpected(found.error());
        filter.team_id = found ? found->id : *team;
    }

    auto report = ledger::query_usage(bench.on, filter);
    names known(bench);
    std::vector<std::string> team_ids;
    for (std::size_t i = 0; i < report.group_by.size(); ++i) {
        if (report.group_by[i] != ledger::usage_group::team) continue;
        for (auto& row : report.rows) {
            team_ids.push_back(row.group[i]);
            row.group[i] = known.of_team(row.group[i]);
        }
    }
    if (format == "csv") return reply{.content_type = "text/csv; charset=utf-8", .body = ledger::to_csv(report)};
    auto shown = boost::json::parse(ledger::to_json(report)).as_object();
    show_time(shown, "from");
    show_time(shown, "to");
    auto& rows = shown.at("rows").as_array();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        auto& row = rows[i].as_object();
        if (!team_ids.empty()) row["team_id"] = boost::json::string(team_ids[i]);
        if (row.contains("key")) row["key_name"] = boost::json::string(known.of_key(text_at(row, "key")));
    }
    return reply_of(shown);
}

base::result<reply> explain_request(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto found = ledger::explain(bench.on, asked.path[0]);
    if (!found.is_known()) {
        return base::fail(
            errc::not_found,
            "There is no request of that id; requests that have just ended may take a moment to be seen.");
    }
    auto shown = boost::json::parse(ledger::to_json(found, asked.path[0])).as_object();
    names known(bench);
    for (auto& attempt : shown.at("attempts").as_array()) {
        auto& row = attempt.as_object();
        show_time(row, "started_at");
        show_time(row, "finished_at");
        show_names(row, known);
    }
    if (auto* const refusal = shown.at("refusal").if_object()) {
        show_time(*refusal, "at");
        show_names(*refusal, known);
    }
    return reply_of(shown);
}

}  // namespace admin
