#include "aws/credentials.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>
#include <vector>

#include "aws/test_server.hpp"

namespace aws {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t noon = 1'795'521'600'000;  // 2026-11-24T12:00:00Z
constexpr std::int64_t minute = 60'000;

std::string keys(std::string_view name, std::string_view expires = "2026-11-24T13:00:00Z") {
    return http_answer(R"({"Code":"Success","AccessKeyId":")" + std::string(name) +
                       R"(","SecretAccessKey":"hunter2","Token":"a-token","Expiration":")" + std::string(expires) +
                       "\"}");
}

options plain() {
    options settings;
    settings.metadata_disabled = "TRUE";
    settings.backoff_first = 1ms;
    return settings;
}

// A chain with a clock that a test moves.
struct chain {
    explicit chain(const options& settings) : over(settings), of(settings, over, [this] { return now.load(); }) {}
    std::string key() { return std::string(of.current()->key_id.reveal()); }
    std::string problem() {
        try {
            return "it is " + key();
        } catch (const failure& found) {
            may_retry = found.may_retry;
            return found.what();
        }
    }
    std::atomic<std::int64_t> now = noon;
    bool may_retry = false;
    http over;
    credential_chain of;
};

class scratch_file {
public:
    explicit scratch_file(std::string_view text) {
        const int fd = mkstemp(path_.data());
        if (fd >= 0) close(fd);
        write(text);
    }
    ~scratch_file() { std::remove(path_.c_str()); }
    void write(std::string_view text) const { std::ofstream(path_, std::ios::trunc) << text; }
    const std::string& path() const { return path_; }

private:
    std::string path_ = testing::TempDir() + "aws-token-XXXXXX";
};

TEST(credentials, of_the_environment_come_first) {
    test_server container([](const test_request&) { return keys("CONTAINER"); });
    auto settings = plain();
    settings.container_full_uri = container.url();
    settings.access_key_id = base::secret("ENV");
    settings.secret_access_key = base::secret("s");
    settings.session_token = base::secret("t");
    chain given(settings);
    EXPECT_EQ(given.key(), "ENV");
    EXPECT_EQ(given.of.current()->session_token.reveal(), "t");
    given.of.forget(given.of.current());
    EXPECT_EQ(given.key(), "ENV");
    EXPECT_TRUE(container.requests().empty());
    settings.secret_access_key = {};
    EXPECT_NE(chain(settings).problem().find("belong together"), std::string::npos);
}

TEST(credentials, that_are_nowhere_are_told_with_the_cure) {
    chain none(plain());
    EXPECT_NE(none.problem().find("set AWS_ACCESS_KEY_ID"), std::string::npos);
    EXPECT_FALSE(none.may_retry);
}

TEST(credentials, of_a_container_are_asked_for_with_its_token) {
    test_server container([](const test_request& request) {
        return request.header("authorization").starts_with("token-") ? keys("CONTAINER")
                                                                     : http_answer("no", "403 Forbidden");
    });
    auto settings = plain();
    settings.container_full_uri = container.url() + "/v1/credentials?id=7";
    chain refused(settings);
    EXPECT_EQ(refused.problem(), "the container's endpoint for credentials answers with status 403");
    settings.container_authorization = base::secret("token-1");
    chain given(settings);
    EXPECT_EQ(given.key(), "CONTAINER");
    EXPECT_EQ(given.of.current()->source, "container");
    EXPECT_EQ(given.of.current()->secret.reveal(), "hunter2");
    EXPECT_EQ(given.of.current()->expires_ms, noon + 60 * minute);
    EXPECT_EQ(container.requests().back().target, "/v1/credentials?id=7");
    EXPECT_EQ(container.requests().back().method, "GET");
    // The file wins, and is read again for each renewal.
    const scratch_file file("token-2\n");
    settings.container_authorization_file = file.path();
    chain by_file(settings);
    EXPECT_EQ(by_file.key(), "CONTAINER");
    EXPECT_EQ(container.requests().back().header("authorization"), "token-2");
    file.write("token-3");
    by_file.now += 58 * minute;
    EXPECT_EQ(by_file.key(), "CONTAINER");
    EXPECT_EQ(container.requests().back().header("authorization"), "token-3");
    file.write("token-4\r\nx-more: 1");
    EXPECT_NE(chain(settings).problem().find("line break"), std::string::npos);
    settings.container_authorization_file = "/no/such/file";
    EXPECT_NE(chain(settings).problem().find("cannot be read"), std::string::npos);
}

TEST(credentials, of_a_container_come_only_from_where_nobody_can_listen) {
    for (const char* url : {"https://example.com/x", "http://127.0.0.1:8/x", "http://127.9.9.9/", "http://localhost/x",
                            "http://[::1]:81/", "http://169.254.170.2/", "http://169.254.170.23/v1/credentials",
                            "http://[fd00:ec2::23]/v1/credentials"}) {
        EXPECT_TRUE(may_give_credentials(split_url(url).value())) << url;
    }
    for (const char* url : {"http://example.com/", "http://10.0.0.1/", "http://169.254.169.254/", "http://[::2]/",
                            "http://127.0.0.1.example.com/", "http://localhost.example.com/"}) {
        EXPECT_FALSE(may_give_credentials(split_url(url).value())) << url;
    }
    auto settings = plain();
    settings.container_full_uri = "http://example.com/x";
    EXPECT_NE(chain(settings).problem().find("must be https, or http to this machine"), std::string::npos);
    settings.container_full_uri = "http://169.254.170.2@example.com/x";
    EXPECT_NE(chain(settings).problem().find("without user"), std::string::npos);
    settings.container_relative_uri = "@example.com/x";
    EXPECT_NE(chain(settings).problem().find("must begin with a slash"), std::string::npos);
}

TEST(credentials, that_cannot_be_read_are_told_without_them) {
    for (const char* body : {"", "[]", "hunter2", R"({"AccessKeyId":"hunter2"})", R"({"SecretAccessKey":"hunter2"})",
                             R"({"Code":"Failed","AccessKeyId":"hunter2","SecretAccessKey":"hunter2"})"}) {
        test_server container([&](const test_request&) { return http_answer(body); });
        auto settings = plain();
        settings.container_full_uri = container.url();
        const std::string told = chain(settings).problem();
        EXPECT_TRUE(told.starts_with("the container endpoint for credentials answers with")) << body << told;
        EXPECT_EQ(told.find("hunter2"), std::string::npos) << told;
    }
}

// The metadata service of a machine, version 2.
struct machine {
    std::string role = "gateway-role";
    std::atomic<int> given = 0;
    test_server server{[this](const test_request& request) {
        if (request.target == "/latest/api/token") {
            const bool asks =
                request.method == "PUT" && request.header("x-aws-ec2-metadata-token-ttl-seconds") == "300";
            return asks ? http_answer("TOKEN==") : http_answer("", "400 Bad Request");
        }
        if (request.header("x-aws-ec2-metadata-token") != "TOKEN==") return http_answer("", "401 Unauthorized");
        if (request.target == "/latest/meta-data/iam/security-credentials/") return http_answer(role);
        if (request.target == "/latest/meta-data/iam/security-credentials/gateway-role")
            return keys("MACHINE" + std::to_string(++given));
        return http_answer("", "404 Not Found");
    }};
    options settings() const {
        auto made = plain();
        made.metadata_disabled = "";
        made.metadata_endpoint = server.url() + "/";
        return made;
    }
};

TEST(credentials, of_a_machine_are_asked_for_with_a_session_token) {
    machine on;
    chain given(on.settings());
    EXPECT_EQ(given.key(), "MACHINE1");
    EXPECT_EQ(given.of.current()->source, "instance");
    EXPECT_EQ(on.server.requests().size(), 3u) << "the second use asks nobody";
    on.role = "../../x";
    EXPECT_NE(chain(on.settings()).problem().find("has no role"), std::string::npos);
    on.role = "";
    EXPECT_NE(chain(on.settings()).problem().find("has no role"), std::string::npos);
    auto off = on.settings();
    off.metadata_disabled = "true";
    const auto before = on.server.requests().size();
    EXPECT_NE(chain(off).problem().find("AWS_EC2_METADATA_DISABLED"), std::string::npos);
    EXPECT_EQ(on.server.requests().size(), before);
}

TEST(credentials, are_renewed_before_they_expire_and_kept_when_that_fails) {
    std::atomic<int> asked = 0;
    std::atomic<bool> away = false;
    test_server container([&](const test_request&) {
        ++asked;
        return away ? http_answer("", "500 Internal Server Error") : keys("KEY" + std::to_string(asked.load()));
    });
    auto settings = plain();
    settings.container_full_uri = container.url();
    chain given(settings);
    EXPECT_EQ(given.key(), "KEY1");
    given.now = noon + 55 * minute - 1;
    EXPECT_EQ(given.key(), "KEY1");
    EXPECT_EQ(asked, 1);
    given.now = noon + 55 * minute;
    away = true;
    EXPECT_EQ(given.key(), "KEY1") << "they are good for five minutes";
    EXPECT_EQ(asked, 3) << "a try and one more";
    EXPECT_EQ(given.key(), "KEY1");
    EXPECT_EQ(asked, 3) << "not for each use";
    given.now = noon + 60 * minute;
    EXPECT_EQ(given.problem(), "the container's endpoint for credentials answers with status 500");
    EXPECT_TRUE(given.may_retry);
    EXPECT_EQ(asked, 5);
    EXPECT_EQ(given.problem(), "the container's endpoint for credentials answers with status 500");
    EXPECT_EQ(asked, 5) << "a failure is told to those who follow at once";
    away = false;
    given.now += 5'000;
    EXPECT_EQ(given.key(), "KEY6") << "also what has expired is given on, as the service may take it";
    EXPECT_EQ(given.key(), "KEY6");
    given.now += 5'000;
    EXPECT_EQ(given.key(), "KEY7");
}

TEST(credentials, are_renewed_by_one_thread_while_others_go_on) {
    gate opens;
    std::atomic<int> asked = 0;
    test_server container([&](const test_request&) {
        if (++asked == 2) opens.pass();
        return keys("KEY" + std::to_string(asked.load()), "2026-11-24T14:00:00Z");
    });
    auto settings = plain();
    settings.credentials_timeout = 20s;
    settings.container_full_uri = container.url();
    chain given(settings);
    EXPECT_EQ(given.key(), "KEY1");
    given.now = noon + 118 * minute;
    std::string renewed;
    std::thread renewing([&] { renewed = given.key(); });
    EXPECT_TRUE(container.wait_for_requests(2));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(given.key(), "KEY1");
    EXPECT_EQ(container.requests().size(), 2u);
    opens.open();
    renewing.join();
    EXPECT_EQ(renewed, "KEY2");
    EXPECT_EQ(given.key(), "KEY2");
}

TEST(credentials, are_waited_for_by_all_when_there_are_none) {
    gate opens;
    test_server container([&](const test_request&) {
        opens.pass();
        return keys("KEY");
    });
    auto settings = plain();
    settings.credentials_timeout = 20s;
    settings.container_full_uri = container.url();
    chain given(settings);
    std::atomic<int> done = 0;
    std::vector<std::thread> all;
    for (int i = 0; i < 4; ++i) all.emplace_back([&] { done += given.key() == "KEY" ? 1 : 0; });
    EXPECT_TRUE(container.wait_for_requests(1));
    opens.open();
    for (auto& each : all) each.join();
    EXPECT_EQ(done, 4);
    EXPECT_EQ(container.requests().size(), 1u);
}

TEST(credentials, that_are_forgotten_while_others_wait_for_them_are_asked_for_again) {
    test_server container([](const test_request&) { return keys("CONTAINER"); });
    auto settings = plain();
    settings.container_full_uri = container.url();
    chain given(settings);
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    constexpr int at_once = 8, times = 60;
    for (int i = 0; i < at_once; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < times; ++n) {
                const auto got = given.of.current();
                good += got->key_id.reveal() == "CONTAINER" ? 1 : 0;
                given.of.forget(got);
            }
        });
    }
    for (auto& each : threads) each.join();
    EXPECT_EQ(good, at_once * times);
}

}  // namespace
}  // namespace aws
