#include "governance/stored_search.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "governance/key_secret.hpp"
#include "governance/stored_rows.hpp"
#include "governance/validation.hpp"

namespace governance {
namespace {

std::string text_of(auto what) { return std::string(name_of(what)); }

boost::json::array array_of(const std::vector<std::string>& list) {
    return boost::json::array(list.begin(), list.end());
}

boost::json::value time_or_null(const std::optional<time_ms>& at) {
    return at ? boost::json::value(*at) : boost::json::value(nullptr);
}

}  // namespace

void throw_unreadable(std::string_view table, std::string_view id) {
    throw database::failure(database::failure_kind::invalid,
                            fmt::format("the row of {} in {} cannot be understood", id, table));
}

std::optional<team> search_team(database::connection& on, std::string_view id_or_name) {
    const bool by_id = is_id("team_", id_or_name);
    if (!by_id && !is_team_name(id_or_name)) return std::nullopt;
    const auto rows =
        on.query(fmt::format("SELECT {} FROM claude_proxy.teams WHERE {} = $1", team_columns, by_id ? "id" : "name"),
                 {std::string(id_or_name)});
    if (rows.empty()) return std::nullopt;
    auto found = team_of(rows.front());
    if (!found) throw_unreadable("teams", database::text_of(rows.front().at(0)));
    return found;
}

std::optional<key> search_key(database::connection& on, std::string_view id) {
    if (!is_id("key_", id)) return std::nullopt;
    const auto rows =
        on.query(fmt::format("SELECT {} FROM claude_proxy.keys WHERE id = $1", key_columns), {std::string(id)});
    if (rows.empty()) return std::nullopt;
    auto found = key_of(rows.front());
    if (!found) throw_unreadable("keys", id);
    return found;
}

std::optional<std::string> search_scope(database::connection& on, scope where, std::string_view id_or_name) {
    switch (where) {
        case scope::root:
            return id_or_name.empty() ? std::optional<std::string>("") : std::nullopt;
        case scope::team: {
            auto found = search_team(on, id_or_name);
            return found ? std::optional(std::move(found->id)) : std::nullopt;
        }
        case scope::key: {
            auto found = search_key(on, id_or_name);
            return found ? std::optional(std::move(found->id)) : std::nullopt;
        }
    }
    return std::nullopt;
}

std::string details_of(std::string_view before, std::string_view after) {
    std::string text = "{";
    if (!before.empty()) text.append("\"before\":").append(before);
    if (!before.empty() && !after.empty()) text += ',';
    if (!after.empty()) text.append("\"after\":").append(after);
    return text + "}";
}

std::string description_of(const team& what) {
    return boost::json::serialize(boost::json::object{{"name", what.name},
                                                      {"models", array_of(what.models)},
                                                      {"tags", array_of(what.tags)},
                                                      {"metadata", what.metadata},
                                                      {"archived_at", time_or_null(what.archived_at)}});
}

std::string description_of(const key& what) {
    return boost::json::serialize(boost::json::object{{"team_id", what.team_id},
                                                      {"name", what.name},
                                                      {"owner", what.owner},
                                                      {"role", text_of(what.kind)},
                                                      {"scopes", array_of(what.scopes)},
                                                      {"models", array_of(what.models)},
                                                      {"ip_ranges", array_of(what.ip_ranges)},
                                                      {"tags", array_of(what.tags)},
                                                      {"metadata", what.metadata},
                                                      {"expires_at", time_or_null(what.expires_at)},
                                                      {"revoked_at", time_or_null(what.revoked_at)}});
}

std::string description_of(const limit& what) {
    return boost::json::serialize(
        boost::json::object{{"scope", text_of(what.where)},
                            {"scope_id", what.scope_id},
                            {"model_class", what.model_class},
                            {"requests_per_minute", what.amounts.requests_per_minute},
                            {"input_tokens_per_minute", what.amounts.input_tokens_per_minute},
                            {"output_tokens_per_minute", what.amounts.output_tokens_per_minute},
                            {"concurrent_requests", what.amounts.concurrent_requests}});
}

std::string description_of(const budget& what) {
    boost::json::array alerts(what.alerts.begin(), what.alerts.end());
    return boost::json::serialize(boost::json::object{{"scope", text_of(what.where)},
                                                      {"scope_id", what.scope_id},
                                                      {"period", text_of(what.every)},
                                                      {"limit_dollars", base::dollars_text(what.limit_pico)},
                                                      {"hard", what.hard},
                                                      {"alerts", std::move(alerts)}});
}

}  // namespace governance
