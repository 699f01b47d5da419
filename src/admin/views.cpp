#include "admin/views.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/time_text.hpp"

namespace admin {
namespace {

boost::json::value text_value(std::string_view text) { return boost::json::string(text); }

// JSON that the database holds as text. What is not JSON any more is shown as the text it is.
boost::json::value json_value(std::string_view text) {
    boost::json::error_code problem;
    auto parsed = boost::json::parse(text, problem);
    return problem ? text_value(text) : parsed;
}

}  // namespace

boost::json::value time_value(std::optional<governance::time_ms> at) {
    if (!at) return nullptr;
    return text_value(base::time_text(*at));
}

boost::json::array array_of(std::span<const std::string> texts) {
    boost::json::array made;
    for (const auto& text : texts) made.emplace_back(text_value(text));
    return made;
}

boost::json::object view_of(const governance::team& what) {
    return {{"id", text_value(what.id)},
            {"name", text_value(what.name)},
            {"models", array_of(what.models)},
            {"tags", array_of(what.tags)},
            {"metadata", json_value(what.metadata)},
            {"created_at", time_value(what.created_at)},
            {"updated_at", time_value(what.updated_at)},
            {"archived_at", time_value(what.archived_at)}};
}

boost::json::object view_of(const governance::key& what, std::string_view team_name) {
    return {{"id", text_value(what.id)},
            {"name", text_value(what.name)},
            {"team", text_value(team_name)},
            {"team_id", text_value(what.team_id)},
            {"owner", text_value(what.owner)},
            {"role", text_value(governance::name_of(what.kind))},
            {"scopes", array_of(what.scopes)},
            {"models", array_of(what.models)},
            {"ip_ranges", array_of(what.ip_ranges)},
            {"tags", array_of(what.tags)},
            {"metadata", json_value(what.metadata)},
            {"expires_at", time_value(what.expires_at)},
            {"created_at", time_value(what.created_at)},
            {"updated_at", time_value(what.updated_at)},
            {"revoked_at", time_value(what.revoked_at)}};
}

boost::json::object view_of(const governance::key_secret& what) {
    return {{"hint", text_value(what.hint)},
            {"created_at", time_value(what.created_at)},
            {"expires_at", time_value(what.expires_at)}};
}

boost::json::object view_of(const governance::limit& what, std::string_view scope_name) {
    return {{"scope", text_value(governance::name_of(what.where))},
            {"id", text_value(what.scope_id)},
            {"name", text_value(scope_name)},
            {"model_class", text_value(what.model_class)},
            {"requests_per_minute", what.amounts.requests_per_minute},
            {"input_tokens_per_minute", what.amounts.input_tokens_per_minute},
            {"output_tokens_per_minute", what.amounts.output_tokens_per_minute},
            {"concurrent_requests", what.amounts.concurrent_requests}};
}

boost::json::object view_of(const governance::budget& what, std::string_view scope_name, base::pico_dollars spent,
                            governance::time_ms now) {
    boost::json::array alerts;
    for (const int percent : what.alerts) alerts.emplace_back(percent);
    return {{"id", text_value(what.id)},
            {"scope", text_value(governance::name_of(what.where))},
            {"scope_id", text_value(what.scope_id)},
            {"name", text_value(scope_name)},
            {"period", text_value(governance::name_of(what.every))},
            {"limit", text_value(base::dollars_text(what.limit_pico))},
            {"limit_pico", what.limit_pico},
            {"hard", what.hard},
            {"alerts", std::move(alerts)},
            {"spent", text_value(base::dollars_text(spent))},
            {"spent_pico", spent},
            {"period_ends_at", time_value(governance::period_end(what.every, now))},
            {"created_at", time_value(what.created_at)},
            {"updated_at", time_value(what.updated_at)}};
}

boost::json::object view_of(const governance::audit_entry& what) {
    return {{"seq", what.seq},
            {"at", time_value(what.at)},
            {"actor", text_value(what.actor)},
            {"role", text_value(what.role)},
            {"action", text_value(what.action)},
            {"target", text_value(what.target)},
            {"details", json_value(what.details)},
            {"previous_hash", text_value(what.previous_hash)},
            {"hash", text_value(what.hash)}};
}

boost::json::object page_of(boost::json::array entries, bool has_more, boost::json::value last_id) {
    return {{"data", std::move(entries)}, {"has_more", has_more}, {"last_id", std::move(last_id)}};
}

reply reply_of(const boost::json::object& view, int status) {
    return {.status = status, .body = boost::json::serialize(view)};
}

reply changed(const boost::json::object& view, int status) {
    reply made = reply_of(view, status);
    made.changed = true;
    return made;
}

}  // namespace admin
