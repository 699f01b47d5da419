// Keys of clients and of administrators: /admin/v1/keys.
#include <boost/json/string.hpp>
#include <map>

#include "admin/amounts.hpp"
#include "admin/endpoint.hpp"
#include "admin/members.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"

namespace admin {

namespace {

constexpr governance::time_ms overlap_default_ms = 3'600'000;
constexpr std::uint32_t page_entries_default = 100;
constexpr std::int64_t page_entries_max = 1'000;

governance::key_draft read_draft(members& given, governance::time_ms now) {
    governance::key_draft draft{
        .name = given.text("name"),
        .team = {},
        .owner = given.text("owner"),
        .kind = given.named("role", governance::role_named, "client, viewer, operator or admin"),
        .scopes = given.texts("scopes"),
        .models = given.texts("models"),
        .ip_ranges = given.texts("ip_ranges"),
        .tags = given.texts("tags"),
        .metadata = given.object("metadata"),
        .expires_at = {}};
    if (given.is_null("expires_at")) {
        given.note("expires_at");
        draft.expires_at = 0;
    } else {
        draft.expires_at = given.time("expires_at", now, 1);
    }
    return draft;
}

boost::json::object view_with_team(const governance::key& what, workbench& bench) {
    const auto team = bench.tenants.find_team(what.team_id);
    return view_of(what, team ? std::string_view(team->name) : std::string_view());
}

boost::json::object view_with_secret(const governance::new_key& made, workbench& bench) {
    boost::json::object view = view_with_team(made.what, bench);
    boost::json::object shown{{"id", view.at("id")}, {"key", boost::json::string(made.secret.reveal())}};
    for (auto& [name, value] : view) shown.emplace(name, std::move(value));
    return shown;
}

}  // namespace

base::result<reply> list_keys(const request& asked, workbench& bench) {
    members given(asked);
    governance::key_filter which{
        .team = given.text("team"),
        .with_revoked = given.flag("with_revoked").value_or(false),
        .after_id = given.text("after_id").value_or(""),
        .limit = static_cast<std::uint32_t>(given.count("limit", 1, page_entries_max).value_or(page_entries_default))};
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    std::map<std::string, std::string, std::less<>> team_names;
    for (const auto& team : bench.tenants.list_teams(true)) team_names.emplace(team.id, team.name);
    if (which.team) {  // a typing error must not look like a team without keys
        const auto team = bench.tenants.find_team(*which.team);
        if (!team) return std::unexpected(team.error());
    }
    const auto keys = bench.tenants.list_keys(which);
    boost::json::array entries;
    for (const auto& key : keys) entries.emplace_back(view_of(key, team_names[key.team_id]));
    bool has_more = false;
    boost::json::value last = nullptr;
    if (!keys.empty()) {
        which.after_id = keys.back().id;
        last = boost::json::string(which.after_id);
        if (keys.size() == which.limit) {
            which.limit = 1;
            has_more = !bench.tenants.list_keys(which).empty();
        }
    }
    return reply_of(page_of(std::move(entries), has_more, std::move(last)));
}

// With `budgets` ("50/month") and the amounts of a limit, which apply to the key. All are checked before the key is
// made; when the database goes in between, the key stays behind without anybody who knows its secret.
base::result<reply> create_key(const request& asked, workbench& bench) {
    members given(asked);
    governance::key_draft draft = read_draft(given, bench.now());
    draft.team = given.text("team");
    const auto budgets = read_budgets(given.texts("budgets").value_or(std::vector<std::string>()));
    if (!budgets) return std::unexpected(budgets.error());
    governance::limit limit{.where = governance::scope::key, .scope_id = {}, .model_class = {}, .amounts = {}};
    read_amounts(given, limit.amounts);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto made = bench.tenants.create_key(asked.by, draft);
    if (!made) return std::unexpected(made.error());

    const auto undo = [&](base::error why) {
        (void)bench.tenants.revoke_key(asked.by, made->what.id);
        return std::unexpected(std::move(why));
    };
    boost::json::object shown = view_with_secret(*made, bench);
    boost::json::array budgets_made;
    for (const auto& wanted : *budgets) {
        const auto set = bench.tenants.set_budget(asked.by, {.id = {},
                                                             .where = governance::scope::key,
                                                             .scope_id = made->what.id,
                                                             .every = wanted.every,
                                                             .limit_pico = wanted.limit_pico});
        if (!set) return undo(set.error());
        budgets_made.emplace_back(view_of(*set, made->what.name, 0, bench.now()));
    }
    if (!budgets_made.empty()) shown.emplace("budgets", std::move(budgets_made));
    if (limit.amounts.any()) {
        limit.scope_id = made->what.id;
        const auto set = bench.tenants.set_limit(asked.by, limit);
        if (!set) return undo(set.error());
        shown.emplace("limit", view_of(*set, made->what.name));
    }
    return changed(shown, 201);
}

base::result<reply> show_key(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto found = bench.tenants.find_key(asked.path[0]);
    if (!found) return std::unexpected(found.error());
    boost::json::object shown = view_with_team(*found, bench);
    boost::json::array secrets;
    for (const auto& secret : bench.tenants.secrets_of(found->id)) secrets.emplace_back(view_of(secret));
    shown.emplace("secrets", std::move(secrets));
    return reply_of(shown);
}

base::result<reply> update_key(const request& asked, workbench& bench) {
    members given(asked);
    const governance::key_draft draft = read_draft(given, bench.now());
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto made = bench.tenants.update_key(asked.by, asked.path[0], draft);
    if (!made) return std::unexpected(made.error());
    return changed(view_with_team(*made, bench));
}

base::result<reply> rotate_key(const request& asked, workbench& bench) {
    members given(asked);
    const governance::time_ms overlap = given.span_ms("overlap").value_or(overlap_default_ms);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto made = bench.tenants.rotate_key(asked.by, asked.path[0], overlap);
    if (!made) return std::unexpected(made.error());
    return changed(view_with_secret(*made, bench));
}

base::result<reply> revoke_key(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto made = bench.tenants.revoke_key(asked.by, asked.path[0]);
    if (!made) return std::unexpected(made.error());
    return changed(view_with_team(*made, bench));
}

}  // namespace admin
