// The teams and the audit log: keys are in administration_keys.cpp, limits and budgets in administration_limits.cpp.
#include "governance/administration.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "governance/audit.hpp"
#include "governance/change.hpp"
#include "governance/stored_rows.hpp"
#include "governance/stored_search.hpp"
#include "governance/team_changes.hpp"
#include "governance/validation.hpp"

namespace governance {
namespace {

constexpr std::uint32_t audit_page_max = 1000;

std::unexpected<base::error> no_such_team() {
    return base::fail(base::errc::not_found, "there is no team of that id or name");
}

verdict check(const team_draft& wanted) {
    verdict checked;
    if (wanted.name) checked = check_team_name(*wanted.name);
    if (checked && wanted.models) checked = check_patterns("models", *wanted.models);
    if (checked && wanted.tags) checked = check_tags(*wanted.tags);
    if (checked && wanted.metadata) checked = check_metadata(*wanted.metadata);
    return checked;
}

void apply(const team_draft& wanted, team& to) {
    if (wanted.name) to.name = *wanted.name;
    if (wanted.models) to.models = *wanted.models;
    if (wanted.tags) to.tags = *wanted.tags;
    if (wanted.metadata) to.metadata = *wanted.metadata;
}

// Whether keys of administrators would stop to work with the team.
bool holds_administrators(database::connection& on, const team& what) {
    return !on.query(
                  "SELECT id FROM claude_proxy.keys WHERE team_id = $1 AND role <> 'client' "
                  "AND revoked_at IS NULL LIMIT 1",
                  {what.id})
                .empty();
}

}  // namespace

void add_team(change& made, team& what) {
    what.id = new_id("team_");
    what.created_at = what.updated_at = made.at;
    made.on.execute(
        "INSERT INTO claude_proxy.teams (id, name, models, tags, metadata, created_at, updated_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        {what.id, what.name, json_of(what.models), json_of(what.tags), what.metadata, what.created_at,
         what.updated_at});
    made.record("team.create", what.id, details_of({}, description_of(what)));
}

administration::administration(database::connection& on, const key_hasher& hasher, time_ms (*now)())
    : on_(on), hasher_(hasher), now_(now) {}

base::result<team> administration::create_team(const actor& by, const team_draft& wanted) {
    if (!wanted.name) return base::fail(base::errc::invalid_argument, "name: a team needs one");
    if (auto checked = check(wanted); !checked) return std::unexpected(checked.error());
    return make_change(on_, by, now_(), [&](change& made) -> base::result<team> {
        if (search_team(made.on, *wanted.name))
            return base::fail(base::errc::conflict, "name: another team has it, perhaps an archived one");
        team created;
        apply(wanted, created);
        add_team(made, created);
        return created;
    });
}

base::result<team> administration::update_team(const actor& by, std::string_view id_or_name, const team_draft& wanted) {
    if (auto checked = check(wanted); !checked) return std::unexpected(checked.error());
    return make_change(on_, by, now_(), [&](change& made) -> base::result<team> {
        const auto found = search_team(made.on, id_or_name);
        if (!found) return no_such_team();
        team changed = *found;
        apply(wanted, changed);
        const std::string before = description_of(*found), after = description_of(changed);
        if (before == after) return changed;
        if (changed.name != found->name && search_team(made.on, changed.name))
            return base::fail(base::errc::conflict, "name: another team has it, perhaps an archived one");
        changed.updated_at = made.at;
        made.on.execute(
            "UPDATE claude_proxy.teams SET name = $2, models = $3, tags = $4, metadata = $5, "
            "updated_at = $6 WHERE id = $1",
            {changed.id, changed.name, json_of(changed.models), json_of(changed.tags), changed.metadata,
             changed.updated_at});
        made.record("team.update", changed.id, details_of(before, after));
        return changed;
    });
}

base::result<team> administration::archive_team(const actor& by, std::string_view id_or_name) {
    return make_change(on_, by, now_(), [&](change& made) -> base::result<team> {
        const auto found = search_team(made.on, id_or_name);
        if (!found) return no_such_team();
        if (found->archived_at) return *found;
        if (holds_administrators(made.on, *found))
            if (auto allowed = may_touch(by, role::admin); !allowed) return std::unexpected(allowed.error());
        team changed = *found;
        changed.archived_at = changed.updated_at = made.at;
        made.on.execute("UPDATE claude_proxy.teams SET archived_at = $2, updated_at = $2 WHERE id = $1",
                        {changed.id, made.at});
        made.record("team.archive", changed.id, details_of(description_of(*found), description_of(changed)));
        return changed;
    });
}

base::result<team> administration::find_team(std::string_view id_or_name) {
    auto found = search_team(on_, id_or_name);
    if (!found) return no_such_team();
    return std::move(*found);
}

std::vector<team> administration::list_teams(bool with_archived) {
    std::vector<team> teams;
    const std::string_view which = with_archived ? "" : "WHERE archived_at IS NULL ";
    for (const auto& row :
         on_.query(fmt::format("SELECT {} FROM claude_proxy.teams {}ORDER BY name", team_columns, which))) {
        auto read = team_of(row);
        if (!read) throw_unreadable("teams", database::text_of(row.at(0)));
        teams.push_back(std::move(*read));
    }
    return teams;
}

std::vector<audit_entry> administration::audit_after(std::int64_t seq, std::uint32_t limit) {
    return read_audit(on_, seq, std::clamp<std::uint32_t>(limit, 1, audit_page_max));
}

audit_verdict administration::verify_audit() { return verify_audit_chain(on_); }

}  // namespace governance
