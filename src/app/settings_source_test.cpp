#include "app/settings_source.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "aws/test_server.hpp"
#include "config/temporary_file.hpp"

namespace app {
namespace {

using std::chrono::milliseconds;

std::string answer_with(std::string_view document, std::string_view version = "0123456789abcdef") {
    std::string quoted;
    for (const char c : document) quoted += c == '"' ? std::string("\\\"") : std::string(1, c);
    return aws::http_answer("{\"VersionId\":\"" + std::string(version) + "\",\"CreatedDate\":1.5,\"SecretString\":\"" +
                            quoted + "\"}");
}

class a_settings_source : public testing::Test {
protected:
    config::environment named(config::environment more = {}) {
        more.emplace("CLAUDE_PROXY_SECRETS", "aws-secretsmanager:of-a-test");
        more.emplace("AWS_ENDPOINT_URL", server.url());
        more.emplace("AWS_REGION", "eu-west-1");
        more.emplace("AWS_ACCESS_KEY_ID", "id");
        more.emplace("AWS_SECRET_ACCESS_KEY", "secret");
        return more;
    }
    static settings_source::reading good(settings_source& from, milliseconds patience = {}) {
        auto read = from.read(config::purpose::serve, patience);
        if (!read) throw std::runtime_error(read.error().problems.front());
        return std::move(*read);
    }

    std::function<std::string(const aws::test_request&)> answer = [](const aws::test_request&) {
        return answer_with(R"({"ANTHROPIC_API_KEY": "of-the-secret"})");
    };
    aws::test_server server{[this](const aws::test_request& asked) { return answer(asked); }};
};

TEST_F(a_settings_source, the_environment_wins_over_the_file_and_the_file_over_the_secret) {
    answer = [](const aws::test_request& asked) {
        EXPECT_EQ(asked.body, R"({"SecretId":"of-a-test"})");
        EXPECT_EQ(asked.header("x-amz-target"), "secretsmanager.GetSecretValue");
        return answer_with(
            R"({"ANTHROPIC_API_KEY": "s", "CLAUDE_PROXY_ADMIN_KEY": "s", "CLAUDE_PROXY_KEY": "s", "OTHER": "s"})");
    };
    const config::temporary_file yaml("admin_key: y\nkey: y\nkey_pepper: y\n");
    const config::temporary_file file("CLAUDE_PROXY_ADMIN_KEY=f\nANTHROPIC_API_KEY=f\n");
    settings_source from(named({{"ANTHROPIC_API_KEY", "e"}, {"CLAUDE_PROXY_CONFIG", yaml.path()}}), file.path());
    const auto read = good(from);
    EXPECT_EQ(read.settings.upstream.credentials.at(0).reveal(), "e");
    EXPECT_EQ(read.settings.admin_key.reveal(), "f");
    EXPECT_EQ(read.settings.client_key.reveal(), "s");
    EXPECT_EQ(read.settings.governance.key_pepper.reveal(), "y");
    EXPECT_EQ(read.version, (secret_version{"0123456789abcdef", 1500}));
    EXPECT_EQ(read.ignored, std::vector<std::string>{"OTHER"});
    EXPECT_EQ(from.name(), "of-a-test in eu-west-1");
}

TEST_F(a_settings_source, reads_the_file_and_the_secret_anew_each_time) {
    const config::temporary_file file("CLAUDE_PROXY_ADMIN_KEY=one\n");
    settings_source from(named(), file.path());
    answer = [](const aws::test_request&) { return answer_with(R"({"ANTHROPIC_API_KEY": "one"})"); };
    EXPECT_EQ(good(from).settings.upstream.credentials.at(0).reveal(), "one");
    answer = [](const aws::test_request&) { return answer_with(R"({"ANTHROPIC_API_KEY": "two"})", "second"); };
    const auto again = good(from);
    EXPECT_EQ(again.settings.upstream.credentials.at(0).reveal(), "two");
    EXPECT_EQ(again.version.id, "second");
}

TEST_F(a_settings_source, a_service_that_comes_late_is_waited_for_within_the_patience) {
    std::atomic<int> asked = 0;
    answer = [&asked](const aws::test_request&) {
        return ++asked < 3 ? aws::http_answer("{}", "503 Service Unavailable")
                           : answer_with(R"({"ANTHROPIC_API_KEY": "k"})");
    };
    settings_source from(named(), "/no/such/.env");
    EXPECT_EQ(good(from, settings_source::start_patience).members, std::vector<std::string>{"ANTHROPIC_API_KEY"});
    asked = 0;
    const auto impatient = from.read(config::purpose::serve, settings_source::look_patience);
    ASSERT_FALSE(impatient);
    EXPECT_EQ(impatient.error().what, settings_source::trouble::away);
    EXPECT_EQ(asked, 1);
}

TEST_F(a_settings_source, what_is_refused_is_not_asked_for_again_and_told_with_its_cure) {
    std::atomic<int> asked = 0;
    answer = [&asked](const aws::test_request&) {
        ++asked;
        return aws::http_answer(R"({"__type":"ResourceNotFoundException","Message":"no"})", "400 Bad Request");
    };
    settings_source from(named(), "/no/such/.env");
    const auto read = from.read(config::purpose::serve, settings_source::start_patience);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().what, settings_source::trouble::refused);
    EXPECT_TRUE(read.error().is_of_secret);
    EXPECT_EQ(
        read.error().problems,
        std::vector<std::string>{
            "CLAUDE_PROXY_SECRETS: the secret of-a-test in eu-west-1 cannot be had: secretsmanager.GetSecretValue: "
            "ResourceNotFoundException: no (HTTP 400); make it, or correct CLAUDE_PROXY_SECRETS or AWS_REGION."});
    EXPECT_EQ(asked, 1);
    EXPECT_TRUE(from.read_without_secret());
}

TEST_F(a_settings_source, an_arn_names_its_region) {
    auto given = named();
    given["CLAUDE_PROXY_SECRETS"] = "aws-secretsmanager:arn:aws:secretsmanager:us-west-2:1:secret:name-AbCdEf";
    settings_source from(given, "/no/such/.env");
    good(from);
    EXPECT_TRUE(from.name().ends_with("name-AbCdEf in us-west-2"));
}

TEST_F(a_settings_source, a_stop_ends_the_waiting) {
    answer = [](const aws::test_request&) { return aws::http_answer("{}", "503 Service Unavailable"); };
    settings_source from(named({{"ANTHROPIC_API_KEY", "k"}}), "/no/such/.env");
    ASSERT_FALSE(from.read(config::purpose::serve, settings_source::look_patience));
    from.stop();
    const auto began = std::chrono::steady_clock::now();
    EXPECT_FALSE(from.read(config::purpose::serve, settings_source::start_patience));
    EXPECT_LT(std::chrono::steady_clock::now() - began, settings_source::start_patience / 2);
}

TEST_F(a_settings_source, without_a_secret_nobody_is_asked) {
    answer = [](const aws::test_request&) -> std::string {
        ADD_FAILURE();
        return {};
    };
    auto given = named({{"ANTHROPIC_API_KEY", "k"}});
    given["CLAUDE_PROXY_SECRETS"] = "env";
    settings_source from(given, "/no/such/.env");
    EXPECT_EQ(good(from).version, secret_version{});
    EXPECT_EQ(from.name(), "the environment");
}

}  // namespace
}  // namespace app
