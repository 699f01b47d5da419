// The administration over every database: lives of teams, keys, limits and budgets, races for names, roles.
#include "governance/administration.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "governance/change.hpp"
#include "governance_suite.hpp"

namespace governance {
namespace {

class administration_contract : public governance_suite {};
RUN_ON_EVERY_DATABASE(administration_contract);

using base::errc;

TEST_P(administration_contract, a_team_is_made_found_changed_and_archived) {
    const auto made = admin().create_team(
        boss,
        {.name = "search", .models = {{"claude-*"}}, .tags = {{"env:prod"}}, .metadata = R"({"cost_center":"42"})"});
    ASSERT_TRUE(made) << made.error().detail;
    EXPECT_EQ(made->created_at, now());
    for (const auto& by : {made->id, std::string("search")}) {
        const auto found = admin().find_team(by);
        ASSERT_TRUE(found);
        EXPECT_EQ(found->id, made->id);
        EXPECT_EQ(found->name, "search");
        EXPECT_EQ(found->models, std::vector<std::string>{"claude-*"});
        EXPECT_EQ(found->tags, std::vector<std::string>{"env:prod"});
        EXPECT_EQ(found->metadata, R"({"cost_center":"42"})");
        EXPECT_FALSE(found->archived_at);
    }
    tick();
    const auto changed =
        admin().update_team(boss, "search", {.name = "find", .models = {}, .tags = {{}}, .metadata = {}});
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->name, "find");
    EXPECT_EQ(changed->models, made->models);
    EXPECT_TRUE(changed->tags.empty());
    EXPECT_EQ(changed->updated_at, now());
    EXPECT_EQ(changed->created_at, made->created_at);
    EXPECT_EQ(kind_of(admin().find_team("search")), errc::not_found);

    const auto archived = admin().archive_team(boss, "find");
    ASSERT_TRUE(archived);
    EXPECT_EQ(archived->archived_at, now());
    EXPECT_TRUE(admin().list_teams().empty());
    EXPECT_EQ(admin().list_teams(true).size(), 1u);
    EXPECT_EQ(kind_of(admin().create_team(boss, named("find"))), errc::conflict);
    EXPECT_EQ(kind_of(admin().create_key(boss, key_named("k", "find"))), errc::conflict);
}

TEST_P(administration_contract, a_team_keeps_its_name_from_others) {
    ASSERT_TRUE(admin().create_team(boss, named("one")));
    ASSERT_TRUE(admin().create_team(boss, named("two")));
    EXPECT_EQ(kind_of(admin().create_team(boss, named("one"))), errc::conflict);
    EXPECT_EQ(kind_of(admin().update_team(boss, "two", named("one"))), errc::conflict);
    EXPECT_TRUE(admin().update_team(boss, "two", named("two")));
    EXPECT_EQ(kind_of(admin().create_team(boss, {})), errc::invalid_argument);
    EXPECT_EQ(kind_of(admin().create_team(boss, named("o ne"))), errc::invalid_argument);
    EXPECT_EQ(kind_of(admin().update_team(boss, "three", named("four"))), errc::not_found);
    EXPECT_EQ(kind_of(admin().archive_team(boss, "three")), errc::not_found);
}

TEST_P(administration_contract, the_life_of_a_key) {
    const auto made = admin().create_key(boss, {.name = "nightly job",
                                                .team = "search",
                                                .owner = "Zo\xC3\xAB",
                                                .kind = {},
                                                .scopes = {},
                                                .models = {{"claude-haiku-*"}},
                                                .ip_ranges = {{"10.0.0.0/8"}},
                                                .tags = {{"env:ci"}},
                                                .metadata = R"({"a":1})",
                                                .expires_at = now() + 1000});
    ASSERT_TRUE(made) << made.error().detail;
    EXPECT_TRUE(is_well_formed(made->secret.reveal()));
    const auto team = admin().find_team("search");  // made on demand
    ASSERT_TRUE(team);
    EXPECT_EQ(made->what.team_id, team->id);

    const auto found = admin().find_key(made->what.id);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->name, "nightly job");
    EXPECT_EQ(found->owner, "Zo\xC3\xAB");
    EXPECT_EQ(found->kind, role::client);
    EXPECT_EQ(found->scopes, std::vector<std::string>(std::begin(default_scopes), std::end(default_scopes)));
    EXPECT_EQ(found->models, std::vector<std::string>{"claude-haiku-*"});
    EXPECT_EQ(found->ip_ranges, std::vector<std::string>{"10.0.0.0/8"});
    EXPECT_EQ(found->tags, std::vector<std::string>{"env:ci"});
    EXPECT_EQ(found->metadata, R"({"a":1})");
    EXPECT_EQ(found->expires_at, now() + 1000);

    const auto secrets = admin().secrets_of(made->what.id);
    ASSERT_EQ(secrets.size(), 1u);
    EXPECT_EQ(secrets[0].digest, hex_of(hasher().hash(made->secret.reveal())));
    EXPECT_EQ(secrets[0].hint, hint_of(made->secret.reveal()));

    const auto changed = admin().update_key(boss, made->what.id,
                                            {.name = "daily job",
                                             .team = "search",
                                             .owner = {},
                                             .kind = role::client,
                                             .scopes = {{"*"}},
                                             .models = {},
                                             .ip_ranges = {{}},
                                             .tags = {},
                                             .metadata = {},
                                             .expires_at = 0});
    ASSERT_TRUE(changed) << changed.error().detail;
    EXPECT_EQ(changed->name, "daily job");
    EXPECT_EQ(changed->owner, "Zo\xC3\xAB");
    EXPECT_EQ(changed->scopes, std::vector<std::string>{"*"});
    EXPECT_TRUE(changed->ip_ranges.empty());
    EXPECT_FALSE(changed->expires_at);
    EXPECT_FALSE(admin().find_key(made->what.id)->expires_at);

    tick();
    const auto revoked = admin().revoke_key(boss, made->what.id);
    ASSERT_TRUE(revoked);
    EXPECT_EQ(revoked->revoked_at, now());
    const auto generation = read_generation(on());
    tick();
    EXPECT_EQ(admin().revoke_key(boss, made->what.id)->revoked_at, revoked->revoked_at);
    EXPECT_EQ(read_generation(on()), generation);  // nothing changed, nobody has to look
    EXPECT_EQ(kind_of(admin().update_key(boss, made->what.id, key_named("x", "search"))), errc::conflict);
    EXPECT_EQ(kind_of(admin().rotate_key(boss, made->what.id, 0)), errc::conflict);
}

TEST_P(administration_contract, a_key_keeps_its_team_and_its_role) {
    const auto made = admin().create_key(boss, key_named("k", "search"));
    ASSERT_TRUE(made);
    ASSERT_TRUE(admin().create_team(boss, named("other")));
    EXPECT_EQ(kind_of(admin().update_key(boss, made->what.id, key_named("k", "other"))), errc::invalid_argument);
    EXPECT_EQ(kind_of(admin().update_key(boss, made->what.id, key_named("k", "unknown"))), errc::invalid_argument);
    key_draft promoted;
    promoted.kind = role::admin;
    EXPECT_EQ(kind_of(admin().update_key(boss, made->what.id, promoted)), errc::invalid_argument);
}

TEST_P(administration_contract, a_draft_that_is_wrong_changes_nothing) {
    const auto before = read_generation(on());
    const auto refuse = [&](auto&& set) {
        key_draft wrong = key_named("k", "search");
        set(wrong);
        const auto made = admin().create_key(boss, wrong);
        EXPECT_EQ(kind_of(made), errc::invalid_argument);
        return made ? "" : made.error().detail;
    };
    EXPECT_EQ(refuse([](auto& draft) { draft.name.reset(); }).substr(0, 5), "name:");
    EXPECT_EQ(refuse([](auto& draft) { draft.name = ""; }).substr(0, 5), "name:");
    EXPECT_EQ(refuse([](auto& draft) { draft.team.reset(); }).substr(0, 5), "team:");
    EXPECT_EQ(refuse([](auto& draft) { draft.team = "No Team"; }).substr(0, 5), "team:");
    EXPECT_EQ(refuse([](auto& draft) { draft.owner = std::string(257, 'x'); }).substr(0, 6), "owner:");
    EXPECT_EQ(refuse([](auto& draft) { draft.scopes = {{"everything"}}; }).substr(0, 7), "scopes:");
    EXPECT_EQ(refuse([](auto& draft) { draft.models = {{"a b"}}; }).substr(0, 7), "models:");
    EXPECT_EQ(refuse([](auto& draft) { draft.ip_ranges = {{"10.0.0.0/99"}}; }).substr(0, 10), "ip_ranges:");
    EXPECT_EQ(refuse([](auto& draft) { draft.tags = {{"a b"}}; }).substr(0, 5), "tags:");
    EXPECT_EQ(refuse([](auto& draft) { draft.metadata = "[]"; }).substr(0, 9), "metadata:");
    EXPECT_EQ(refuse([&](auto& draft) { draft.expires_at = now(); }).substr(0, 11), "expires_at:");
    EXPECT_EQ(kind_of(admin().create_key(boss, key_named("k", "team_000000000000000000000000"))), errc::not_found);
    EXPECT_EQ(read_generation(on()), before);
    EXPECT_TRUE(admin().list_teams(true).empty());
    EXPECT_TRUE(admin().audit_after(0, 10).empty());
}

TEST_P(administration_contract, a_rotation_leaves_two_secrets_at_most) {
    const auto made = admin().create_key(boss, key_named("k", "search"));
    ASSERT_TRUE(made);
    const auto valid = [&](time_ms at) {
        std::size_t count = 0;
        for (const auto& each : admin().secrets_of(made->what.id)) count += !each.expires_at || *each.expires_at > at;
        return count;
    };
    const auto second = admin().rotate_key(boss, made->what.id, 10'000);
    ASSERT_TRUE(second);
    EXPECT_NE(second->secret.reveal(), made->secret.reveal());
    EXPECT_EQ(second->what.id, made->what.id);
    EXPECT_EQ(valid(now() + 9'999), 2u);
    EXPECT_EQ(valid(now() + 10'000), 1u);
    // Again in the same millisecond: the first secret ends now, the second has its overlap.
    const auto third = admin().rotate_key(boss, made->what.id, 5'000);
    ASSERT_TRUE(third);
    EXPECT_EQ(valid(now()), 2u);
    EXPECT_EQ(valid(now() + 5'000), 1u);
    // At once: only the new one.
    const auto fourth = admin().rotate_key(boss, made->what.id, 0);
    ASSERT_TRUE(fourth);
    EXPECT_EQ(valid(now()), 1u);
    EXPECT_EQ(admin().secrets_of(made->what.id).size(), 4u);
    // What has ended stays as it ended.
    tick();
    ASSERT_TRUE(admin().rotate_key(boss, made->what.id, 60'000));
    EXPECT_EQ(valid(now()), 2u);
    EXPECT_EQ(kind_of(admin().rotate_key(boss, made->what.id, -1)), errc::invalid_argument);
    EXPECT_EQ(kind_of(admin().rotate_key(boss, made->what.id, INT64_MAX)), errc::invalid_argument);
    EXPECT_EQ(kind_of(admin().rotate_key(boss, "key_000000000000000000000000", 0)), errc::not_found);
}

TEST_P(administration_contract, keys_are_listed_page_by_page) {
    std::vector<std::string> ids;
    for (int i = 0; i < 7; ++i) {
        const auto made = admin().create_key(boss, key_named("k" + std::to_string(i), i < 5 ? "search" : "other"));
        ASSERT_TRUE(made);
        ids.push_back(made->what.id);
    }
    ASSERT_TRUE(admin().revoke_key(boss, ids[0]));
    key_filter which;
    which.team = "search";
    which.limit = 3;
    const auto first = admin().list_keys(which);
    ASSERT_EQ(first.size(), 3u);
    which.after_id = first.back().id;
    EXPECT_EQ(admin().list_keys(which).size(), 1u);
    which.after_id.clear();
    which.limit = 100;
    which.with_revoked = true;
    EXPECT_EQ(admin().list_keys(which).size(), 5u);
    which.team.reset();
    EXPECT_EQ(admin().list_keys(which).size(), 7u);
    which.team = "unknown";
    EXPECT_TRUE(admin().list_keys(which).empty());
}

TEST_P(administration_contract, limits_are_set_changed_and_removed) {
    ASSERT_TRUE(admin().create_team(boss, named("search")));
    const auto team_id = admin().find_team("search")->id;
    const limit wanted{.where = scope::team,
                       .scope_id = "search",
                       .model_class = "claude-opus-*",
                       .amounts = {.requests_per_minute = 50}};
    const auto set = admin().set_limit(boss, wanted);
    ASSERT_TRUE(set) << set.error().detail;
    EXPECT_EQ(set->scope_id, team_id);
    limit changed = wanted;
    changed.amounts = {.input_tokens_per_minute = 1'000'000'000'000, .concurrent_requests = 3};
    ASSERT_TRUE(admin().set_limit(boss, changed));
    const auto listed = admin().list_limits();
    ASSERT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0].scope_id, team_id);
    EXPECT_EQ(listed[0].amounts, changed.amounts);
    const auto generation = read_generation(on());
    ASSERT_TRUE(admin().set_limit(boss, changed));
    EXPECT_EQ(read_generation(on()), generation);  // the same again is no change
    changed.amounts = {};
    ASSERT_TRUE(admin().set_limit(boss, changed));
    EXPECT_TRUE(admin().list_limits().empty());
    ASSERT_TRUE(admin().set_limit(boss, changed));
    EXPECT_EQ(read_generation(on()), generation + 1);

    ASSERT_TRUE(admin().set_limit(
        boss, {.where = scope::root, .scope_id = "", .model_class = "", .amounts = {.concurrent_requests = 1}}));
    limit wrong = wanted;
    wrong.where = scope::root;
    EXPECT_EQ(kind_of(admin().set_limit(boss, wrong)), errc::invalid_argument);
    wrong = wanted;
    wrong.scope_id = "unknown";
    EXPECT_EQ(kind_of(admin().set_limit(boss, wrong)), errc::not_found);
    wrong = wanted;
    wrong.amounts.requests_per_minute = -1;
    EXPECT_EQ(kind_of(admin().set_limit(boss, wrong)), errc::invalid_argument);
    wrong = wanted;
    wrong.model_class = "a b";
    EXPECT_EQ(kind_of(admin().set_limit(boss, wrong)), errc::invalid_argument);
}

TEST_P(administration_contract, budgets_are_set_changed_and_removed) {
    const auto key = admin().create_key(boss, key_named("k", "search"));
    ASSERT_TRUE(key);
    budget wanted;
    wanted.where = scope::key;
    wanted.scope_id = key->what.id;
    wanted.limit_pico = 50 * base::pico_per_dollar;
    wanted.alerts = {95, 80, 80};
    const auto made = admin().set_budget(boss, wanted);
    ASSERT_TRUE(made) << made.error().detail;
    EXPECT_TRUE(is_id("bud_", made->id));
    EXPECT_EQ(made->alerts, (std::vector<int>{80, 95}));
    tick();
    wanted.limit_pico = base::pico_dollars_max;
    wanted.hard = false;
    wanted.alerts = {};
    const auto changed = admin().set_budget(boss, wanted);
    ASSERT_TRUE(changed);
    EXPECT_EQ(changed->id, made->id);
    wanted.every = period::day;
    ASSERT_TRUE(admin().set_budget(boss, wanted));  // another period is another budget
    const auto listed = admin().list_budgets();
    ASSERT_EQ(listed.size(), 2u);
    const auto& month = listed[0].id == made->id ? listed[0] : listed[1];
    EXPECT_EQ(month.limit_pico, base::pico_dollars_max);
    EXPECT_FALSE(month.hard);
    EXPECT_TRUE(month.alerts.empty());
    EXPECT_EQ(month.created_at, made->created_at);
    EXPECT_EQ(month.updated_at, now());
    ASSERT_TRUE(admin().remove_budget(boss, made->id));
    EXPECT_EQ(admin().list_budgets().size(), 1u);
    EXPECT_EQ(kind_of(admin().remove_budget(boss, made->id)), errc::not_found);
    wanted.limit_pico = 0;
    EXPECT_EQ(kind_of(admin().set_budget(boss, wanted)), errc::invalid_argument);
    wanted.limit_pico = 1;
    wanted.alerts = {101};
    EXPECT_EQ(kind_of(admin().set_budget(boss, wanted)), errc::invalid_argument);
}

TEST_P(administration_contract, roles_are_kept_apart) {
    const actor viewer{.id = "key_viewer", .as = role::viewer}, operator_{.id = "key_operator", .as = role::operator_};
    EXPECT_EQ(kind_of(admin().create_team(viewer, named("a"))), errc::permission_denied);
    EXPECT_EQ(kind_of(admin().create_team({.id = "key_client", .as = role::client}, named("a"))),
              errc::permission_denied);
    const auto client = admin().create_key(operator_, key_named("k", "search"));
    ASSERT_TRUE(client);

    key_draft wanted;
    wanted.name = "on call";
    wanted.kind = role::operator_;
    EXPECT_EQ(kind_of(admin().create_key(operator_, wanted)), errc::permission_denied);
    const auto made = admin().create_key(boss, wanted);
    ASSERT_TRUE(made) << made.error().detail;
    EXPECT_EQ(made->what.team_id, admin().find_team("administrators")->id);
    EXPECT_TRUE(made->what.scopes.empty());
    EXPECT_EQ(kind_of(admin().revoke_key(operator_, made->what.id)), errc::permission_denied);
    EXPECT_EQ(kind_of(admin().rotate_key(operator_, made->what.id, 0)), errc::permission_denied);
    EXPECT_EQ(kind_of(admin().update_key(operator_, made->what.id, wanted)), errc::permission_denied);
    EXPECT_EQ(kind_of(admin().archive_team(operator_, "administrators")), errc::permission_denied);
    EXPECT_TRUE(admin().archive_team(operator_, "search"));
    EXPECT_TRUE(admin().update_key(boss, made->what.id, wanted));
    wanted.scopes = {{"messages"}};
    EXPECT_EQ(kind_of(admin().create_key(boss, wanted)), errc::invalid_argument);
    EXPECT_EQ(kind_of(admin().update_key(boss, made->what.id, wanted)), errc::invalid_argument);
    EXPECT_TRUE(admin().revoke_key(boss, made->what.id));
}

TEST_P(administration_contract, a_busy_database_is_asked_again_a_few_times) {
    int busy = 0;
    interposed troubled(connect(), [&](std::string_view sql) {
        if (!sql.starts_with("INSERT INTO claude_proxy.teams") || busy == 0) return;
        --busy;
        throw database::failure(database::failure_kind::busy, "a deadlock");
    });
    administration trying(troubled, hasher(), now);
    busy = change_tries_max - 1;
    EXPECT_TRUE(trying.create_team(boss, named("patient")));
    busy = change_tries_max;
    EXPECT_THROW(trying.create_team(boss, named("hopeless")), database::failure);
    EXPECT_EQ(busy, 0);
    EXPECT_EQ(admin().verify_audit().entries, 1u);
    EXPECT_EQ(admin().list_teams().size(), 1u);
}

TEST_P(administration_contract, of_those_who_race_for_a_name_one_wins) {
    constexpr int racers = 4, names = 12;
    std::atomic<int> won{0}, lost{0}, keys{0};
    std::vector<std::thread> threads;
    for (int racer = 0; racer < racers; ++racer) {
        threads.emplace_back([&] {
            const auto mine = connect();
            administration racing(*mine, hasher(), now);
            for (int i = 0; i < names; ++i) {
                const auto made = racing.create_team(boss, named("race-" + std::to_string(i)));
                if (made) ++won;
                if (kind_of(made) == errc::conflict) ++lost;
                // Everybody's first key makes the team, and all are in the same one.
                if (racing.create_key(boss, key_named("k", "shared-" + std::to_string(i)))) ++keys;
            }
        });
    }
    for (auto& each : threads) each.join();
    EXPECT_EQ(won, names);
    EXPECT_EQ(lost, (racers - 1) * names);
    EXPECT_EQ(keys, racers * names);
    EXPECT_EQ(admin().list_teams().size(), 2u * names);
    key_filter which;
    which.team = "shared-0";
    EXPECT_EQ(admin().list_keys(which).size(), std::size_t{racers});
    const auto verdict = admin().verify_audit();
    EXPECT_FALSE(verdict.broken_at) << verdict.why;
    EXPECT_EQ(verdict.entries, std::uint64_t{names + names + racers * names});
}

}  // namespace
}  // namespace governance
