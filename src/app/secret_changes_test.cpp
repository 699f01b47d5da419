#include "app/secret_changes.hpp"

#include <gtest/gtest.h>

namespace app {
namespace {

config::settings loaded(config::environment values) {
    values.emplace("ANTHROPIC_API_KEY", "sk-ant-one");
    auto made = config::load(values);
    EXPECT_TRUE(made) << made.error().front();
    return std::move(*made);
}

using names = std::vector<std::string_view>;

TEST(secret_changes, keys_and_the_jwt_secret_are_taken_up_at_once) {
    const auto in_force = loaded({{"CLAUDE_PROXY_JWT_SECRET", "one"}, {"CLAUDE_PROXY_API_KEYS", "a,b"}});
    const auto read = loaded({{"ANTHROPIC_API_KEY", "sk-ant-two"},
                              {"CLAUDE_PROXY_JWT_SECRET", "two"},
                              {"CLAUDE_PROXY_ADMIN_KEY", "k"},
                              {"CLAUDE_PROXY_API_KEYS", "a,c"}});
    EXPECT_EQ(
        changes_between(in_force, read),
        (secret_changes{
            {"ANTHROPIC_API_KEY", "CLAUDE_PROXY_API_KEYS", "CLAUDE_PROXY_ADMIN_KEY", "CLAUDE_PROXY_JWT_SECRET"}, {}}));
    EXPECT_EQ(changes_between(read, read), secret_changes{});
}

TEST(secret_changes, another_pepper_waits_for_a_restart_and_so_does_who_we_are_for_amazon) {
    const auto read = loaded({{"CLAUDE_PROXY_KEY_PEPPER", "two"}, {"AWS_SECRET_ACCESS_KEY", "x"}});
    EXPECT_EQ(changes_between(loaded({{"CLAUDE_PROXY_KEY_PEPPER", "one"}}), read),
              (secret_changes{{}, {"CLAUDE_PROXY_KEY_PEPPER", "AWS_SECRET_ACCESS_KEY"}}));
}

TEST(secret_changes, a_url_is_taken_up_when_it_names_the_same_place) {
    const auto in_force = loaded(
        {{"DATABASE_URL", "postgresql://u:old@h:5432/d?sslmode=require"}, {"REDIS_URL", "redis://:old@h:6379/1"}});
    const auto other_password = loaded(
        {{"DATABASE_URL", "postgresql://v:new@h:5432/d?sslmode=require"}, {"REDIS_URL", "redis://:new@h:6379/1"}});
    EXPECT_EQ(changes_between(in_force, other_password).at_once, (names{"DATABASE_URL", "REDIS_URL"}));
    const auto other_place = loaded(
        {{"DATABASE_URL", "postgresql://u:old@h:5432/e?sslmode=require"}, {"REDIS_URL", "redis://:old@i:6379/1"}});
    EXPECT_EQ(changes_between(in_force, other_place), (secret_changes{{}, {"DATABASE_URL", "REDIS_URL"}}));
    EXPECT_EQ(changes_between(in_force, loaded({})).after_restart, (names{"DATABASE_URL", "REDIS_URL"}));
}

TEST(secret_changes, what_only_subcommands_use_concerns_nobody_else) {
    EXPECT_EQ(
        changes_between(loaded({}), loaded({{"DATABASE_DIRECT_URL", "postgresql://h/d"}, {"CLAUDE_PROXY_KEY", "k"}})),
        secret_changes{});
}

TEST(secret_changes, a_login_is_what_stands_between_scheme_and_host) {
    EXPECT_TRUE(is_same_but_login("postgresql://h/d", "postgresql://u:p@h/d"));
    EXPECT_TRUE(is_same_but_login("postgresql://a:b@h/d?x=1@2", "postgresql://h/d?x=1@2"));
    EXPECT_FALSE(is_same_but_login("postgresql://u:p@h/d", "postgres://u:p@h/d"));
    EXPECT_FALSE(is_same_but_login("postgresql://u:p@h/d", "postgresql://u:p@h/d?password=q"));
    EXPECT_FALSE(is_same_but_login("sqlite:a.db", "sqlite:a.db"));
    EXPECT_FALSE(is_same_but_login("", "redis://h"));
}

TEST(secret_changes, a_reading_that_would_leave_us_without_a_credential_or_with_half_a_setting_is_not_used) {
    const auto in_force = loaded({{"CLAUDE_PROXY_UPSTREAM_URL", "http://127.0.0.1:9"}});
    EXPECT_TRUE(problems_of_reading(in_force, in_force).empty());
    const auto none = config::load({{"CLAUDE_PROXY_UPSTREAM_URL", "http://127.0.0.1:9"}});
    ASSERT_TRUE(none);
    EXPECT_EQ(problems_of_reading(in_force, *none).size(), 1u);
    for (const auto& wrong : {loaded({{"CLAUDE_PROXY_JWT_SECRET", "hunter2"},
                                      {"CLAUDE_PROXY_JWT_ISSUER", "i"},
                                      {"CLAUDE_PROXY_JWT_AUDIENCE", "a"}}),
                              loaded({{"DATABASE_URL", "postgresql://u:hunter2%zz@h/d"}}),
                              loaded({{"REDIS_URL", "redis://:hunter2@h:port"}})}) {
        const auto problems = problems_of_reading(in_force, wrong);
        ASSERT_EQ(problems.size(), 1u);
        EXPECT_EQ(problems.front().find("hunter2"), std::string::npos) << problems.front();
    }
}

}  // namespace
}  // namespace app
