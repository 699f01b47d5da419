#include "governance/directory.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "governance/key_secret.hpp"

namespace governance {
namespace {

constexpr time_ms now = 1'800'000'000'000;

// Parts that can only be told apart: the live sides are tested where they live.
class numbered_parts : public live_parts {
public:
    std::shared_ptr<limiter> limiter_for(const limit& what) override {
        asked_limits.push_back(what.scope_id);
        return {anchor_, reinterpret_cast<limiter*>(&places_[next_++])};
    }
    std::shared_ptr<budget_book> book_for(const budget& what) override {
        asked_budgets.push_back(what.id);
        return {anchor_, reinterpret_cast<budget_book*>(&places_[next_++])};
    }
    std::vector<std::string> asked_limits, asked_budgets;

private:
    std::shared_ptr<int> anchor_ = std::make_shared<int>(0);
    std::array<char, 64> places_{};
    std::size_t next_ = 0;
};

class no_parts : public live_parts {
public:
    std::shared_ptr<limiter> limiter_for(const limit&) override { return nullptr; }
    std::shared_ptr<budget_book> book_for(const budget&) override { return nullptr; }
};

class directory_of : public testing::Test {
protected:
    directory_of() {
        rows.generation = 7;
        rows.teams.push_back({.id = "team_1", .name = "search", .models = {}, .tags = {"b", "a"}, .archived_at = {}});
        add_key("key_1", "secret one");
    }

    key& add_key(const std::string& id, std::string_view secret) {
        key made;
        made.id = id;
        made.team_id = "team_1";
        made.name = "name of " + id;
        made.scopes = {"messages"};
        rows.keys.push_back(made);
        rows.secrets.push_back(
            {.digest = hex_of(hasher.hash(secret)), .key_id = id, .hint = "", .created_at = 0, .expires_at = {}});
        return rows.keys.back();
    }
    directory make() { return {rows, static_keys, hasher, parts}; }
    found_key find(const directory& in, std::string_view secret, time_ms at = now) {
        return in.find(hasher.hash(secret), at);
    }

    key_hasher hasher{base::secret("pepper")};
    directory_rows rows;
    std::vector<base::secret> static_keys;
    numbered_parts parts;
};

TEST_F(directory_of, a_key_is_found_by_its_secret) {
    const directory made = make();
    EXPECT_EQ(made.generation(), 7);
    const auto found = find(made, "secret one");
    ASSERT_EQ(found.what, finding::known);
    EXPECT_EQ(found.key_id, "key_1");
    EXPECT_EQ(found.who->key_id, "key_1");
    EXPECT_EQ(found.who->key_name, "name of key_1");
    EXPECT_EQ(found.who->team_id, "team_1");
    EXPECT_EQ(found.who->team_name, "search");
    EXPECT_EQ(find(made, "secret two").what, finding::unknown);
    EXPECT_EQ(find(made, "").what, finding::unknown);
}

TEST_F(directory_of, a_revoked_key_says_so_whatever_else_is_wrong) {
    rows.keys[0].revoked_at = now - 1;
    rows.keys[0].expires_at = now - 1;
    rows.teams[0].archived_at = now - 1;
    const auto found = find(make(), "secret one");
    EXPECT_EQ(found.what, finding::revoked);
    EXPECT_EQ(found.who, nullptr);
}

TEST_F(directory_of, the_keys_of_an_archived_team_are_refused) {
    rows.teams[0].archived_at = now - 1;
    EXPECT_EQ(find(make(), "secret one").what, finding::archived);
}

TEST_F(directory_of, a_key_ends_at_its_expiry) {
    rows.keys[0].expires_at = now;
    const directory made = make();
    EXPECT_EQ(find(made, "secret one", now - 1).what, finding::known);
    EXPECT_EQ(find(made, "secret one", now).what, finding::expired);
}

TEST_F(directory_of, during_a_rotation_both_secrets_are_good_until_the_old_one_ends) {
    rows.secrets[0].expires_at = now;
    rows.secrets.push_back(
        {.digest = hex_of(hasher.hash("new")), .key_id = "key_1", .hint = "", .created_at = 0, .expires_at = {}});
    const directory made = make();
    EXPECT_EQ(made.keys(), 2u);
    EXPECT_EQ(find(made, "secret one", now - 1).who, find(made, "new", now - 1).who);
    EXPECT_EQ(find(made, "secret one", now).what, finding::expired);
    EXPECT_EQ(find(made, "new", now).what, finding::known);
}

TEST_F(directory_of, a_key_is_found_by_its_id_as_long_as_it_may_be_used) {
    rows.keys.front().expires_at = now + 1;
    const directory made = make();
    const auto found = made.find_key("key_1", now);
    ASSERT_EQ(found.what, finding::known);
    EXPECT_EQ(found.who->key_id, "key_1");
    EXPECT_EQ(made.find_key("key_1", now + 1).what, finding::expired);
    EXPECT_EQ(made.find_key("key_2", now).what, finding::unknown);
    rows.keys.front().revoked_at = now;
    EXPECT_EQ(make().find_key("key_1", now).what, finding::revoked);
}

TEST_F(directory_of, the_end_of_an_old_secret_is_not_the_end_of_its_key) {
    rows.secrets.front().expires_at = now - 1;
    EXPECT_EQ(find(make(), "secret one").what, finding::expired);
    EXPECT_EQ(make().find_key("key_1", now).what, finding::known);
}

TEST_F(directory_of, keys_of_administrators_are_no_callers) {
    add_key("key_2", "boss").kind = role::operator_;
    const directory made = make();
    const auto found = find(made, "boss");
    EXPECT_EQ(found.what, finding::administrator);
    EXPECT_EQ(found.as, role::operator_);
    EXPECT_EQ(found.key_id, "key_2");
}

TEST_F(directory_of, tags_of_team_and_key_are_united_sorted_each_once) {
    rows.keys[0].tags = {"c", "a"};
    EXPECT_EQ(find(make(), "secret one").who->tags, R"(["a","b","c"])");
    rows.keys[0].tags = rows.teams[0].tags = {};
    EXPECT_EQ(find(make(), "secret one").who->tags, "[]");
}

TEST_F(directory_of, limits_and_budgets_of_root_team_and_key_are_attached_in_this_order) {
    add_key("key_2", "secret two");
    const auto add = [&](scope where, const std::string& id) {
        rows.limits.push_back({.where = where, .scope_id = id, .model_class = id + "*", .amounts = {}});
        budget made;
        made.id = "bud_" + id;
        made.where = where;
        made.scope_id = id;
        rows.budgets.push_back(made);
    };
    add(scope::key, "key_1");
    add(scope::team, "team_1");
    add(scope::root, "");
    add(scope::key, "key_gone");
    add(scope::team, "team_gone");
    const directory made = make();
    const auto one = find(made, "secret one").who;
    ASSERT_EQ(one->limits.size(), 3u);
    EXPECT_EQ(one->limits[0].where, scope::root);
    EXPECT_EQ(one->limits[1].where, scope::team);
    EXPECT_EQ(one->limits[2].where, scope::key);
    EXPECT_EQ(one->limits[2].model_class, "key_1*");
    EXPECT_EQ(one->budgets.size(), 3u);
    const auto two = find(made, "secret two").who;
    ASSERT_EQ(two->limits.size(), 2u);
    EXPECT_EQ(two->limits[0].live, one->limits[0].live);  // one bucket for everybody
    EXPECT_EQ(two->limits[1].live, one->limits[1].live);
    EXPECT_EQ(made.find_team("search")->limits.size(), 2u);
    // A part that nobody would use is not made.
    EXPECT_EQ(std::ranges::count(parts.asked_limits, "key_gone"), 0);
    EXPECT_EQ(std::ranges::count(parts.asked_budgets, "bud_team_gone"), 0);
}

TEST_F(directory_of, a_limit_without_live_side_is_not_attached) {
    rows.limits.push_back({.where = scope::root, .scope_id = "", .model_class = "", .amounts = {}});
    rows.budgets.emplace_back();
    no_parts nothing;
    const directory made(rows, static_keys, hasher, nothing);
    EXPECT_TRUE(find(made, "secret one").who->limits.empty());
    EXPECT_TRUE(find(made, "secret one").who->budgets.empty());
}

TEST_F(directory_of, static_keys_belong_to_the_team_default_and_may_do_everything) {
    static_keys = {base::secret("static a"), base::secret("static b")};
    const directory made = make();
    const auto found = find(made, "static b");
    ASSERT_EQ(found.what, finding::known);
    EXPECT_EQ(found.who->key_id, "static-2");
    EXPECT_EQ(found.who->team_id, "default");
    EXPECT_EQ(found.who->team_name, "default");
    EXPECT_TRUE(found.who->may_use_route("other"));
    EXPECT_EQ(made.find_key("static-1", now).what, finding::known);
}

TEST_F(directory_of, static_keys_take_the_rules_of_a_stored_team_default) {
    static_keys = {base::secret("static a")};
    rows.teams.push_back(
        {.id = "team_2", .name = "default", .models = {"claude-haiku-*"}, .tags = {"t"}, .archived_at = {}});
    rows.limits.push_back({.where = scope::team, .scope_id = "team_2", .model_class = "", .amounts = {}});
    const auto found = find(make(), "static a");
    ASSERT_EQ(found.what, finding::known);
    EXPECT_EQ(found.who->team_id, "team_2");
    EXPECT_EQ(found.who->tags, R"(["t"])");
    EXPECT_EQ(found.who->limits.size(), 1u);
    EXPECT_FALSE(found.who->may_use_model("claude-opus-4-5"));
    rows.teams.back().archived_at = now;
    EXPECT_EQ(find(make(), "static a").what, finding::archived);
}

TEST_F(directory_of, a_team_is_found_by_id_and_name_unless_archived) {
    const directory made = make();
    ASSERT_NE(made.find_team("search"), nullptr);
    EXPECT_EQ(made.find_team("search"), made.find_team("team_1"));
    EXPECT_EQ(made.find_team("search")->key_id, "jwt");
    EXPECT_TRUE(made.find_team("search")->may_use_route("messages"));
    EXPECT_FALSE(made.find_team("search")->may_use_route("other"));
    EXPECT_EQ(made.find_team("other"), nullptr);
    rows.teams[0].archived_at = now;
    EXPECT_EQ(make().find_team("search"), nullptr);
}

TEST_F(directory_of, a_rule_of_a_later_release_closes_what_it_applies_to) {
    rows.teams.push_back({.id = "team_2", .name = "other", .models = {}, .tags = {}, .archived_at = {}});
    add_key("key_2", "secret two");
    add_key("key_3", "secret three").team_id = "team_2";
    static_keys.emplace_back("static");
    const auto closed_by = [&](const unread_rule& rule) {
        rows.unread_rules = {rule};
        const directory made = make();
        std::string closed;
        for (const auto* const secret : {"secret one", "secret two", "secret three", "static"}) {
            const auto found = find(made, secret);
            if (found.who && !found.who->unread_rule.empty()) closed += std::string(found.key_id) + " ";
        }
        if (!made.find_team("team_1")->unread_rule.empty()) closed += "tokens";
        return closed;
    };
    EXPECT_EQ(closed_by({scope::key, "key_2", "bud_1"}), "key_2 ");
    EXPECT_EQ(closed_by({scope::team, "team_1", "bud_1"}), "key_1 key_2 tokens");
    EXPECT_EQ(closed_by({scope::root, "", "bud_1"}), "key_1 key_2 key_3 static-1 tokens");
    EXPECT_EQ(closed_by({std::nullopt, "key_3", "bud_1"}), "key_3 ");
    EXPECT_EQ(closed_by({std::nullopt, "team_2", "bud_1"}), "key_3 ");
    EXPECT_EQ(closed_by({std::nullopt, "region_1", ""}), "key_1 key_2 key_3 static-1 tokens");
    EXPECT_EQ(closed_by({scope::key, "key_of_nobody", "bud_1"}), "");
    rows.unread_rules = {{scope::team, "team_1", "bud_7"}};
    EXPECT_EQ(find(make(), "secret one").who->unread_rule, "bud_7");
}

TEST_F(directory_of, a_key_with_an_unreadable_address_range_is_unknown_and_not_good_from_everywhere) {
    rows.keys[0].ip_ranges = {"nonsense"};
    EXPECT_EQ(find(make(), "secret one").what, finding::unknown);
}

TEST_F(directory_of, keys_and_secrets_without_their_row_are_left_out) {
    rows.teams.clear();
    EXPECT_EQ(find(make(), "secret one").what, finding::unknown);
    rows.secrets.push_back({.digest = "nonsense", .key_id = "key_1", .hint = "", .created_at = 0, .expires_at = {}});
    rows.secrets.push_back({.digest = hex_of({}), .key_id = "key_gone", .hint = "", .created_at = 0, .expires_at = {}});
    EXPECT_EQ(make().keys(), 0u);
}

TEST(caller, a_route_needs_its_scope) {
    caller who;
    EXPECT_FALSE(who.may_use_route("messages"));
    who.scopes = {"messages", "models"};
    EXPECT_TRUE(who.may_use_route("models"));
    EXPECT_FALSE(who.may_use_route("files"));
    who.every_scope = true;
    EXPECT_TRUE(who.may_use_route("files"));
}

TEST(caller, a_model_must_please_key_and_team) {
    caller who;
    EXPECT_TRUE(who.may_use_model("anything"));
    who.team_models = {"claude-*"};
    EXPECT_TRUE(who.may_use_model("claude-opus-4-5"));
    EXPECT_FALSE(who.may_use_model("gpt"));
    who.key_models = {"claude-haiku-*", "*-opus-*"};
    EXPECT_TRUE(who.may_use_model("claude-opus-4-5"));
    EXPECT_FALSE(who.may_use_model("claude-sonnet-4-5"));
    EXPECT_FALSE(who.may_use_model("x-opus-4"));
}

TEST(caller, an_address_must_lie_in_a_range) {
    caller who;
    EXPECT_TRUE(who.may_come_from("not even an address"));
    who.ip_ranges = {*parse_ip_range("10.0.0.0/8"), *parse_ip_range("2001:db8::/33"), *parse_ip_range("fe80::1")};
    EXPECT_TRUE(who.may_come_from("10.255.0.1"));
    EXPECT_TRUE(who.may_come_from("::ffff:10.1.2.3"));
    EXPECT_FALSE(who.may_come_from("11.0.0.1"));
    EXPECT_TRUE(who.may_come_from("2001:db8:7fff::1"));
    EXPECT_FALSE(who.may_come_from("2001:db8:8000::1"));
    EXPECT_TRUE(who.may_come_from("fe80::1%eth0"));
    EXPECT_FALSE(who.may_come_from("not an address"));
    EXPECT_FALSE(who.may_come_from(""));
}

}  // namespace
}  // namespace governance
