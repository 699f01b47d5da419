#include "aws/client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "aws/test_server.hpp"

namespace aws {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

options to(const test_server& server) {
    options settings;
    settings.region = "eu-west-1";
    settings.endpoint_url = server.url();
    settings.access_key_id = base::secret("AKIDEXAMPLE");
    settings.secret_access_key = base::secret("hunter2");
    settings.backoff_first = 1ms;
    settings.backoff_max = 5ms;
    return settings;
}

std::string ask(client& client, const options& settings, const call_limits& limits = {}) {
    return client.json_call(service_of(settings, "sqs", "1.0", region_of(settings)), "AmazonSQS.X", "{}", limits);
}

failure failure_of(const options& settings, const call_limits& limits = {}) {
    client client(settings);
    try {
        ask(client, settings, limits);
    } catch (const failure& problem) {
        return problem;
    }
    throw std::runtime_error("it did not fail");
}

TEST(aws_client, tries_again_what_may_succeed_and_keeps_the_connection) {
    std::atomic<int> asked = 0;
    test_server server([&](const test_request&) {
        switch (++asked) {
            case 1:
                return http_answer("<html>busy</html>", "503 Service Unavailable");
            case 2:
                return http_answer(R"({"__type":"ThrottlingException","message":"slow"})", "400 Bad Request");
            default:
                return http_answer(R"({"done":true})");
        }
    });
    const auto settings = to(server);
    client client(settings);
    EXPECT_EQ(ask(client, settings), R"({"done":true})");
    EXPECT_EQ(ask(client, settings), R"({"done":true})");
    const auto all = server.requests();
    ASSERT_EQ(all.size(), 4u);
    for (const auto& each : all) EXPECT_EQ(each.connection, 1);
}

TEST(aws_client, gives_up_after_the_attempts_that_it_has) {
    test_server server([](const test_request&) { return http_answer("{}", "500 Internal Server Error"); });
    const auto problem = failure_of(to(server));
    EXPECT_TRUE(problem.may_retry);
    EXPECT_EQ(server.requests().size(), options().attempts_max);
    EXPECT_TRUE(failure_of(to(server), {.attempts_max = 1}).may_retry);
    EXPECT_EQ(server.requests().size(), options().attempts_max + 1);
}

TEST(aws_client, does_not_repeat_what_is_wrong_and_tells_it_without_secrets) {
    test_server server([](const test_request&) {
        return http_answer(R"({"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"Gone."})", "400 Bad Request");
    });
    const auto problem = failure_of(to(server));
    EXPECT_FALSE(problem.may_retry);
    EXPECT_EQ(problem.code, "QueueDoesNotExist");
    EXPECT_STREQ(problem.what(), "AmazonSQS.X: QueueDoesNotExist: Gone. (HTTP 400)");
    EXPECT_EQ(server.requests().size(), 1u);
}

TEST(aws_client, follows_no_redirect) {
    test_server other([](const test_request&) { return http_answer("{}"); });
    test_server server([&](const test_request&) {
        return http_answer("", "307 Temporary Redirect", "Location: " + other.url() + "/\r\n");
    });
    EXPECT_FALSE(failure_of(to(server)).may_retry);
    EXPECT_TRUE(other.requests().empty());
}

TEST(aws_client, takes_a_cut_connection_and_a_silent_server_for_trouble_that_may_pass) {
    test_server cuts([](const test_request&) { return std::string(); });
    EXPECT_TRUE(failure_of(to(cuts)).may_retry);
    gate opens;
    test_server silent([&](const test_request&) {
        opens.pass();
        return std::string();
    });
    auto settings = to(silent);
    settings.call_timeout = 100ms;
    settings.attempts_max = 2;
    const auto problem = failure_of(settings);
    opens.open();
    EXPECT_TRUE(problem.may_retry);
    EXPECT_NE(std::string(problem.what()).find("no answer of http://127.0.0.1"), std::string::npos) << problem.what();
    EXPECT_EQ(silent.requests().size(), 2u);
    settings.endpoint_url = "http://127.0.0.1:1";
    EXPECT_TRUE(failure_of(settings).may_retry);
}

TEST(aws_client, bounds_an_answer) {
    test_server server([](const test_request&) { return http_answer(std::string(5'000, 'x')); });
    auto settings = to(server);
    settings.answer_bytes_max = 4'999;
    const auto problem = failure_of(settings);
    EXPECT_FALSE(problem.may_retry);
    EXPECT_NE(std::string(problem.what()).find("more than 4999 bytes"), std::string::npos) << problem.what();
    settings.answer_bytes_max = 5'000;
    client client(settings);
    EXPECT_EQ(ask(client, settings).size(), 5'000u);
}

TEST(aws_client, ends_at_stop_what_may_end_and_nothing_else) {
    gate opens;
    test_server server([&](const test_request&) {
        opens.pass();
        return http_answer("{}");
    });
    const auto settings = to(server);
    client client(settings);
    std::string code;
    std::thread poll([&] {
        try {
            ask(client, settings, {.waits = 20s, .ends_at_stop = true});
        } catch (const failure& problem) {
            code = problem.code;
        }
    });
    EXPECT_TRUE(server.wait_for_requests(1));
    std::string answer;
    std::thread other([&] { answer = ask(client, settings); });
    EXPECT_TRUE(server.wait_for_requests(2));
    client.stop();
    poll.join();  // the gate is closed: only the stop can have ended it
    EXPECT_EQ(code, failure::stopped);
    opens.open();
    other.join();
    EXPECT_EQ(answer, "{}");
    EXPECT_THROW(ask(client, settings, {.ends_at_stop = true}), failure);
    EXPECT_EQ(server.requests().size(), 2u) << "nothing is begun after the stop";
}

TEST(aws_client, asks_for_new_credentials_when_the_old_ones_are_refused) {
    std::atomic<int> given = 0;
    test_server container([&](const test_request&) {
        return http_answer(R"({"AccessKeyId":"KEY)" + std::to_string(++given) +
                           R"(","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"})");
    });
    test_server server([](const test_request& request) {
        const bool is_old = request.header("authorization").find("KEY1/") != std::string::npos;
        return is_old ? http_answer(R"({"__type":"ExpiredTokenException","message":"old"})", "400 Bad Request")
                      : http_answer("{}");
    });
    auto settings = to(server);
    settings.access_key_id = settings.secret_access_key = {};
    settings.container_full_uri = container.url() + "/role";
    client client(settings);
    EXPECT_EQ(ask(client, settings), "{}");
    EXPECT_EQ(given, 2);
    // Those of the environment do not change.
    auto fixed = to(server);
    fixed.access_key_id = base::secret("KEY1");
    EXPECT_FALSE(failure_of(fixed).may_retry);
}

TEST(aws_service, is_where_the_settings_say) {
    options settings;
    settings.default_region = "eu-west-3";
    EXPECT_EQ(region_of(settings), "eu-west-3");
    settings.region = "eu-west-1";
    EXPECT_EQ(region_of(settings), "eu-west-1");
    const auto at = [&](std::string_view name, std::string_view region = "eu-west-1", std::string_view other = "") {
        return service_of(settings, name, "1.0", region, other).endpoint;
    };
    EXPECT_EQ(at("sqs"), "https://sqs.eu-west-1.amazonaws.com");
    EXPECT_EQ(at("secretsmanager", "cn-north-1"), "https://secretsmanager.cn-north-1.amazonaws.com.cn");
    EXPECT_EQ(at("sqs", "eu-west-1", "https://vpce.example"), "https://vpce.example");
    settings.endpoint_url = "http://127.0.0.1:4566/";
    EXPECT_EQ(at("sqs", "eu-west-1", "https://vpce.example"), "http://127.0.0.1:4566");
    settings.endpoint_url_sqs = "http://[::1]:9324";
    EXPECT_EQ(at("sqs"), "http://[::1]:9324");
    EXPECT_EQ(at("secretsmanager"), "http://127.0.0.1:4566");
    for (const char* wrong : {"ftp://x", "sqs.local", "http://x/path", "http://user@x", "http://x?a=b", "http://x#f"}) {
        settings.endpoint_url_sqs = wrong;
        EXPECT_THROW(at("sqs"), failure) << wrong;
    }
    EXPECT_THROW(at("secretsmanager", ""), failure);
    EXPECT_THROW(at("secretsmanager", "x/../y"), failure);
}

}  // namespace
}  // namespace aws
