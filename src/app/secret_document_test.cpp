#include "app/secret_document.hpp"

#include <gtest/gtest.h>

namespace app {
namespace {

TEST(secret_document, its_members_are_settings_that_are_secrets) {
    const auto read = read_secret_document(
        R"({"ANTHROPIC_API_KEY": "sk-ant-a,sk-ant-b", "DATABASE_URL": "postgresql://u:p@h/d", "REDIS_URL": "",
            "CLAUDE_PROXY_KEY_PEPPER": "p", "CLAUDE_PROXY_JWT_SECRET": "s"})");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->members.size(), 5u);
    EXPECT_EQ(read->members.at("ANTHROPIC_API_KEY"), "sk-ant-a,sk-ant-b");
    EXPECT_TRUE(read->ignored.empty());
}

TEST(secret_document, what_is_no_secret_of_ours_is_ignored_and_named_unless_it_could_be_a_value) {
    const auto read = read_secret_document(
        R"({"LOG_LEVEL": "debug", "AWS_SECRET_ACCESS_KEY": "x", "SOMETHING_ELSE": {"a": 1}, "sk-ant-hunter2": 5,
            "CLAUDE_PROXY_ADMIN_KEY": "k"})");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->members, (config::environment{{"CLAUDE_PROXY_ADMIN_KEY", "k"}}));
    EXPECT_EQ(read->ignored, (std::vector<std::string>{"(no name of a setting)", "AWS_SECRET_ACCESS_KEY", "LOG_LEVEL",
                                                       "SOMETHING_ELSE"}));
}

TEST(secret_document, one_that_is_broken_is_not_taken_and_not_repeated) {
    for (const char* text : {"", "sk-ant-hunter2", "[\"sk-ant-hunter2\"]", R"({"ANTHROPIC_API_KEY": "sk-ant-hunter2")",
                             R"({"ANTHROPIC_API_KEY": ["sk-ant-hunter2"]})", R"({"ANTHROPIC_API_KEY": null})"}) {
        const auto read = read_secret_document(text);
        ASSERT_FALSE(read) << text;
        EXPECT_EQ(read.error().find("hunter2"), std::string::npos) << read.error();
    }
    EXPECT_EQ(read_secret_document(R"({"ANTHROPIC_API_KEY": 7})").error(), "has a ANTHROPIC_API_KEY that is no text");
    EXPECT_FALSE(read_secret_document(R"({"X": ")" + std::string(70'000, 'x') + "\"}"));
}

TEST(secret_answer, has_the_text_and_the_version) {
    const auto read = read_secret_answer(
        R"({"ARN": "a", "Name": "n", "VersionId": "0123456789abcdef", "CreatedDate": 1732500000.25,
            "SecretString": "{}", "VersionStages": ["AWSCURRENT"]})");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->text, "{}");
    EXPECT_EQ(read->version.short_id(), "01234567");
    EXPECT_EQ(read->version.made_at_ms, 1'732'500'000'250);
}

TEST(secret_answer, without_a_text_is_refused) {
    for (const char* body : {"", "<html>", "[]", R"({"SecretBinary": "aGk="})", R"({"SecretString": 5})"})
        EXPECT_FALSE(read_secret_answer(body)) << body;
    const auto odd = read_secret_answer(R"({"SecretString": "{}", "CreatedDate": -1e300})");
    ASSERT_TRUE(odd);
    EXPECT_EQ(odd->version, (secret_version{"", 0}));
}

}  // namespace
}  // namespace app
