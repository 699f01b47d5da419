// The secrets of webhooks: part of governance/administration.hpp.
#include <fmt/format.h>

#include <algorithm>

#include "governance/administration.hpp"
#include "governance/change.hpp"
#include "governance/stored_search.hpp"

namespace governance {
namespace {

constexpr time_ms overlap_max_ms = 30ll * 24 * 3'600 * 1'000;

base::result<std::string> team_with_webhooks(database::connection& on, std::string_view id_or_name) {
    auto found = search_team(on, id_or_name);
    if (found) return std::move(found->id);
    if (id_or_name == static_team) return std::string(static_team);
    return base::fail(base::errc::not_found, "there is no team of that id or name");
}

}  // namespace

base::result<webhook_secrets> administration::show_webhook_secret(const actor& by, std::string_view team_id_or_name) {
    if (auto allowed = may_touch(by, role::admin); !allowed) return std::unexpected(allowed.error());
    return make_change(on_, by, now_(), [&](change& made) -> base::result<webhook_secrets> {
        const auto team_id = team_with_webhooks(made.on, team_id_or_name);
        if (!team_id) return std::unexpected(team_id.error());
        made.record("team.webhook_secret.show", *team_id, "{}");
        return webhook_secrets_of(made.on, hasher_, *team_id, made.at);
    });
}

base::result<webhook_secrets> administration::rotate_webhook_secret(const actor& by, std::string_view team_id_or_name,
                                                                    time_ms overlap_ms) {
    if (auto allowed = may_touch(by, role::admin); !allowed) return std::unexpected(allowed.error());
    if (overlap_ms < 0 || overlap_ms > overlap_max_ms)
        return base::fail(base::errc::invalid_argument, "overlap: at most 30 days");
    return make_change(on_, by, now_(), [&](change& made) -> base::result<webhook_secrets> {
        const auto team_id = team_with_webhooks(made.on, team_id_or_name);
        if (!team_id) return std::unexpected(team_id.error());
        raise_webhook_secret(made.on, *team_id, made.at + overlap_ms);
        auto now_in_force = webhook_secrets_of(made.on, hasher_, *team_id, made.at);
        made.record("team.webhook_secret.rotate", *team_id,
                    fmt::format(R"({{"version":{},"overlap_ms":{}}})", now_in_force.version, overlap_ms));
        return now_in_force;
    });
}

}  // namespace governance
