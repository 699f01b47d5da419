// What lives upstream and belongs to a team: /admin/v1/resources.
#include <boost/json/string.hpp>

#include "admin/endpoint.hpp"
#include "admin/members.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"
#include "resources/claim.hpp"

namespace admin {

base::result<reply> claim_resource(const request& asked, workbench& bench) {
    members given(asked);
    const auto id = given.text("id");
    const auto team_name = given.text("team");
    if (!id) given.missing("id");
    if (!team_name) given.missing("team");
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto team = bench.tenants.find_team(*team_name);
    if (!team) return std::unexpected(team.error());
    if (const auto done = resources::claim(bench.on, asked.by, *id, team->id, bench.now()); !done)
        return std::unexpected(done.error());
    return reply_of({{"id", *id}, {"team_id", team->id}, {"team", team->name}}, 201);
}

}  // namespace admin
