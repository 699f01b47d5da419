#include "admin/routes.hpp"

#include <optional>

namespace admin {

namespace {

using enum governance::role;

constexpr route all_routes[] = {
    {"GET", "/admin/v1/teams", viewer, list_teams},
    {"POST", "/admin/v1/teams", operator_, create_team},
    {"GET", "/admin/v1/teams/{}", viewer, show_team},
    {"PATCH", "/admin/v1/teams/{}", operator_, update_team},
    {"DELETE", "/admin/v1/teams/{}", operator_, archive_team},
    {"GET", "/admin/v1/teams/{}/webhook-secret", admin, show_webhook_secret},
    {"POST", "/admin/v1/teams/{}/webhook-secret", admin, rotate_webhook_secret},
    // The keys of administrators need the role admin: governance/administration.hpp.
    {"GET", "/admin/v1/keys", viewer, list_keys},
    {"POST", "/admin/v1/keys", operator_, create_key},
    {"GET", "/admin/v1/keys/{}", viewer, show_key},
    {"PATCH", "/admin/v1/keys/{}", operator_, update_key},
    {"DELETE", "/admin/v1/keys/{}", operator_, revoke_key},
    {"POST", "/admin/v1/keys/{}/rotate", operator_, rotate_key},
    {"POST", "/admin/v1/keys/{}/revoke", operator_, revoke_key},
    {"GET", "/admin/v1/budgets", viewer, list_budgets},
    {"POST", "/admin/v1/budgets", operator_, set_budget},
    {"DELETE", "/admin/v1/budgets/{}", operator_, remove_budget},
    {"GET", "/admin/v1/limits", viewer, list_limits},
    {"POST", "/admin/v1/limits", operator_, set_limit},
    {"GET", "/admin/v1/usage", viewer, report_usage, true},
    {"GET", "/admin/v1/requests/{}", viewer, explain_request},
    {"GET", "/admin/v1/jobs", viewer, list_jobs},
    {"GET", "/admin/v1/jobs/{}", viewer, show_job},
    {"POST", "/admin/v1/jobs/{}/cancel", operator_, cancel_job},
    {"POST", "/admin/v1/jobs/{}/redrive", operator_, redrive_job},
    {"GET", "/admin/v1/dead-letters", viewer, list_dead_letters},
    {"POST", "/admin/v1/dead-letters/redrive", operator_, redrive_dead_letters, true},
    {"GET", "/admin/v1/webhooks", viewer, list_webhooks},
    {"POST", "/admin/v1/webhooks/replay", operator_, replay_webhooks},
    {"GET", "/admin/v1/webhooks/{}", viewer, show_webhook},
    {"GET", "/admin/v1/audit", viewer, list_audit},
    {"GET", "/admin/v1/audit/verify", viewer, verify_audit, true},
    {"POST", "/admin/v1/resources", operator_, claim_resource},
    {"GET", "/admin/v1/prices", viewer, show_prices},
    {"GET", "/admin/v1/config", viewer, show_config},
};

// What stands for each "{}", or nothing when the path is another.
std::optional<std::vector<std::string>> match(std::string_view pattern, std::span<const std::string> path) {
    std::vector<std::string> found;
    for (const auto& segment : path) {
        if (pattern.empty()) return std::nullopt;
        pattern.remove_prefix(1);
        const std::string_view wanted = pattern.substr(0, pattern.find('/'));
        pattern.remove_prefix(wanted.size());
        if (wanted == "{}") {
            found.push_back(segment);
        } else if (wanted != segment) {
            return std::nullopt;
        }
    }
    if (!pattern.empty()) return std::nullopt;
    return found;
}

}  // namespace

routed find_route(std::string_view method, std::span<const std::string> path) {
    routed found;
    for (const auto& row : all_routes) {
        auto stands_for = match(row.pattern, path);
        if (!stands_for) continue;
        if (row.method == method || (method == "HEAD" && row.method == "GET")) {
            return {&row, false, std::move(*stands_for)};
        }
        found.method_not_allowed = true;
    }
    return found;
}

}  // namespace admin
