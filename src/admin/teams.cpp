// Teams: /admin/v1/teams.
#include "admin/endpoint.hpp"
#include "admin/members.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"

namespace admin {
namespace {

governance::team_draft read_draft(members& given) {
    return {.name = given.text("name"),
            .models = given.texts("models"),
            .tags = given.texts("tags"),
            .metadata = given.object("metadata")};
}

}  // namespace

base::result<reply> list_teams(const request& asked, workbench& bench) {
    members given(asked);
    const bool with_archived = given.flag("with_archived").value_or(false);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    boost::json::array all;
    boost::json::value last = nullptr;
    for (const auto& team : bench.tenants.list_teams(with_archived)) {
        all.emplace_back(view_of(team));
        last = boost::json::string(team.id);
    }
    return reply_of(page_of(std::move(all), false, std::move(last)));
}

base::result<reply> create_team(const request& asked, workbench& bench) {
    members given(asked);
    const auto draft = read_draft(given);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto made = bench.tenants.create_team(asked.by, draft);
    if (!made) return std::unexpected(made.error());
    return changed(view_of(*made), 201);
}

base::result<reply> show_team(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto found = bench.tenants.find_team(asked.path[0]);
    if (!found) return std::unexpected(found.error());
    return reply_of(view_of(*found));
}

base::result<reply> update_team(const request& asked, workbench& bench) {
    members given(asked);
    const auto draft = read_draft(given);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto made = bench.tenants.update_team(asked.by, asked.path[0], draft);
    if (!made) return std::unexpected(made.error());
    return changed(view_of(*made));
}

base::result<reply> archive_team(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto made = bench.tenants.archive_team(asked.by, asked.path[0]);
    if (!made) return std::unexpected(made.error());
    return changed(view_of(*made));
}

}  // namespace admin
