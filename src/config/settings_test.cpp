#include "config/settings.hpp"

#include <gtest/gtest.h>

#include "config/temporary_file.hpp"

namespace config {
namespace {

using namespace std::chrono_literals;

// Enough to start without a complaint.
environment with(environment more) {
    const environment enough{{"CLAUDE_PROXY_UPSTREAM_URL", "http://127.0.0.1:9300"},
                             {"ANTHROPIC_API_KEY", "sk-ant-test"},
                             {"CLAUDE_PROXY_API_KEYS", "sk-cp-0123456789abcdef"}};
    more.insert(enough.begin(), enough.end());
    return more;
}

settings loaded(const environment& more = {}) {
    auto made = load(with(more));
    if (made) return std::move(*made);
    ADD_FAILURE() << made.error().front();
    return {};
}

std::string problems_of(const environment& more) {
    std::string all;
    if (const auto made = load(with(more)); !made) {
        for (const auto& problem : made.error()) all += problem + "\n";
    }
    return all;
}

std::string warnings_of(const environment& more) {
    std::string all;
    for (const auto& warning : loaded(more).warnings) all += warning + "\n";
    return all;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(settings, have_defaults_and_no_warnings_when_the_needed_ones_are_set) {
    const settings made = loaded();
    EXPECT_EQ(made.warnings, std::vector<std::string>());
    EXPECT_EQ(made.listen.host, "127.0.0.1");
    EXPECT_EQ(made.listen.port, 8080);
    EXPECT_EQ(made.admin_listen.port, 8081);
    EXPECT_EQ(made.gateway.ping_interval, 15s);
    EXPECT_EQ(made.log.level_min, telemetry::level::info);
}

TEST(settings, reach_their_fields) {
    const settings made = loaded({{"CLAUDE_PROXY_LISTEN", "[::1]:0"},
                                  {"CLAUDE_PROXY_THREADS", "3"},
                                  {"CLAUDE_PROXY_HEAD_BYTES_MAX", "8KiB"},
                                  {"CLAUDE_PROXY_UPSTREAM_HEAD_BYTES_MAX", "9KiB"},
                                  {"CLAUDE_PROXY_HEAD_TIMEOUT", "300ms"},
                                  {"CLAUDE_PROXY_UPSTREAM_HEAD_TIMEOUT", "400ms"},
                                  {"CLAUDE_PROXY_KEEP_ALIVE_TIMEOUT", "1m"},
                                  {"CLAUDE_PROXY_UPSTREAM_KEEP_ALIVE_TIMEOUT", "2m"},
                                  {"CLAUDE_PROXY_PING_INTERVAL", "200ms"},
                                  {"CLAUDE_PROXY_ATTEMPTS_MAX", "1"},
                                  {"CLAUDE_PROXY_IN_FLIGHT_BYTES_MAX", "1000000"},
                                  {"CLAUDE_PROXY_DRAIN_DELAY", "1ms"},
                                  {"LOG_LEVEL", "warn"},
                                  {"LOG_FORMAT", "text"}});
    EXPECT_EQ(made.listen.host, "::1");
    EXPECT_EQ(made.listen.port, 0);
    EXPECT_EQ(made.threads, 3u);
    EXPECT_EQ(made.server.head_bytes_max, 8u << 10);
    EXPECT_EQ(made.upstream.head_bytes_max, 9u << 10);
    EXPECT_EQ(made.server.head_timeout, 300ms);
    EXPECT_EQ(made.upstream.head_timeout, 400ms);
    EXPECT_EQ(made.server.keep_alive_timeout, 60s);
    EXPECT_EQ(made.upstream.keep_alive_timeout, 120s);
    EXPECT_EQ(made.gateway.ping_interval, 200ms);
    EXPECT_EQ(made.gateway.attempts_max, 1u);
    EXPECT_EQ(made.server.in_flight_bytes_max, 1'000'000u);
    EXPECT_EQ(made.gateway.drain_delay, 1ms);
    EXPECT_EQ(made.log.level_min, telemetry::level::warn);
    EXPECT_EQ(made.log.form, telemetry::format::text);
}

TEST(settings, that_are_empty_count_as_not_set) {
    EXPECT_EQ(loaded({{"CLAUDE_PROXY_PING_INTERVAL", ""}, {"LOG_LEVEL", ""}, {"CLAUDE_PROXY_CONFIG", ""}})
                  .gateway.ping_interval,
              15s);
}

TEST(settings, that_are_wrong_are_all_named_at_once_without_their_values) {
    const environment wrong{{"CLAUDE_PROXY_LISTEN", "nonsense"},
                            {"CLAUDE_PROXY_ADMIN_LISTEN", "127.0.0.1:99999"},
                            {"CLAUDE_PROXY_UPSTREAM_URL", "ftp://x"},
                            {"CLAUDE_PROXY_UPSTREAM_CA_FILE", "/no/such/file.pem"},
                            {"CLAUDE_PROXY_TLS_CERT_FILE", "/no/x.pem"},
                            {"CLAUDE_PROXY_THREADS", "many"},
                            {"CLAUDE_PROXY_PING_INTERVAL", "15"},
                            {"CLAUDE_PROXY_DRAIN_DELAY", "-1s"},
                            {"CLAUDE_PROXY_HEAD_BYTES_MAX", "64KB?"},
                            {"CLAUDE_PROXY_IN_FLIGHT_BYTES_MAX", "99999999999999999999"},
                            {"CLAUDE_PROXY_CONNECTIONS_MAX", "-5"},
                            {"CLAUDE_PROXY_ATTEMPTS_MAX", "9"},
                            {"CLAUDE_PROXY_API_KEYS", "sk-cp-ab xyzzy"},
                            {"CLAUDE_PROXY_ADMIN_KEY", "sk-cp-\xc3\xa9"},
                            {"ANTHROPIC_API_KEY", "sk-ant\nx"},
                            {"LOG_LEVEL", "loud"},
                            {"LOG_FORMAT", "xml"},
                            {"CLAUDE_PROXY_SECRETS", "vault:xyzzy"},
                            {"CLAUDE_PROXY_SECRETS_REFRESH", "10ms"},
                            {"CLAUDE_PROXY_CONFIG", "/no/such/file.yaml"},
                            {"CLAUDE_PROXY_NO_SUCH_THING", "sk-value"}};
    const auto made = load(wrong);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().size(), wrong.size());
    for (const auto& [name, value] : wrong) {
        std::size_t named = 0;
        for (const auto& problem : made.error()) {
            named += problem.starts_with(name + " ") || problem.starts_with(name + ":") ? 1 : 0;
            EXPECT_TRUE(problem.ends_with(".")) << problem;
            for (const char* secret : {"sk-cp", "sk-ant", "sk-value", "xyzzy"})
                EXPECT_FALSE(has(problem, secret)) << problem;
        }
        EXPECT_EQ(named, 1u) << name;
    }
}

TEST(settings, out_of_range_are_told_the_range_with_its_unit) {
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_PING_INTERVAL", "9ms"}}),
              "CLAUDE_PROXY_PING_INTERVAL must be from 10ms to 1h.\n");
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_PING_INTERVAL", "10ms"}}), "");
    EXPECT_TRUE(has(problems_of({{"CLAUDE_PROXY_HEAD_BYTES_MAX", "1023"}}), "must be from 1KiB"));
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_PING_INTERVAL", "2h"}}),
              "CLAUDE_PROXY_PING_INTERVAL must be from 10ms to 1h.\n");
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_HEAD_BYTES_MAX", "17MiB"}}),
              "CLAUDE_PROXY_HEAD_BYTES_MAX must be from 1KiB to 16MiB bytes.\n");
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_ATTEMPTS_MAX", "4"}}),
              "CLAUDE_PROXY_ATTEMPTS_MAX must be a whole number from 1 to 3.\n");
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_ATTEMPTS_MAX", "3"}}), "");
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_ATTEMPTS_MAX", "0"}}),
              "CLAUDE_PROXY_ATTEMPTS_MAX must be a whole number from 1 to 3.\n");
}

TEST(settings, with_unknown_names_of_ours_are_refused_with_a_suggestion) {
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_LISTENN", "x"}}),
              "CLAUDE_PROXY_LISTENN is not a setting; perhaps CLAUDE_PROXY_LISTEN was meant.\n");
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_XYZZY_QUUX", "x"}}),
              "CLAUDE_PROXY_XYZZY_QUUX is not a setting; `claude-proxy serve --help` lists all of them.\n");
    EXPECT_TRUE(has(problems_of({{"CLAUDE_PROXY_", "x"}}), "CLAUDE_PROXY_ is not a setting"));
    EXPECT_TRUE(has(problems_of({{"CLAUDE_PROXY_PORT", "8080"}}), "CLAUDE_PROXY_PORT is not a setting"));
    EXPECT_TRUE(has(problems_of({{"CLAUDE_PROXY_PORT_", "8080"}}), "CLAUDE_PROXY_PORT_ is not a setting"));
}

TEST(settings, database_urls_are_known_by_their_scheme_and_never_repeated) {
    EXPECT_EQ(problems_of({{"DATABASE_URL", "mysql://root:hunter2@db"}}),
              "DATABASE_URL must begin with `sqlite:...` or `postgresql://...` or `postgres://...`.\n");
    EXPECT_EQ(problems_of({{"REDIS_URL", "x"}}), "REDIS_URL must begin with `redis://...`.\n");
    EXPECT_EQ(problems_of({{"DATABASE_URL", "postgresql://u:p@h/d"}, {"REDIS_URL", "redis://127.0.0.1:6379"}}), "");
}

TEST(settings, of_other_programs_are_left_alone) {
    EXPECT_EQ(problems_of({{"AWS_PROFILE", "x y"},
                           {"AWS_SDK_LOAD_CONFIG", "1"},
                           {"OTEL_EXPORTER_OTLP_ENDPOINT", "x"},
                           {"PATH", "x"}}),
              "");
}

TEST(settings, of_amazon_have_the_names_of_its_own_tools) {
    const settings made = loaded({{"QUEUE_URL", "jobs"},
                                  {"AWS_REGION", "eu-west-1"},
                                  {"AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9324"},
                                  {"AWS_SECRET_ACCESS_KEY", "a/b+c"},
                                  {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic hunter2"},
                                  {"CLAUDE_PROXY_QUEUE_HIDDEN_FOR", "90s"}});
    EXPECT_EQ(made.queue.url, "jobs");
    EXPECT_EQ(made.queue.hidden_for, 90s);
    EXPECT_EQ(made.queue.aws.region, "eu-west-1");
    EXPECT_EQ(made.queue.aws.endpoint_url_sqs, made.aws.endpoint_url_sqs);
    EXPECT_EQ(made.aws.secret_access_key.reveal(), "a/b+c");
    EXPECT_EQ(made.aws.container_authorization.reveal(), "Basic hunter2");
    EXPECT_EQ(shown(made).find("hunter2"), std::string::npos);
    EXPECT_EQ(problems_of({{"AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\nhunter2"}}),
              "AWS_CONTAINER_AUTHORIZATION_TOKEN must be one line of printable ASCII characters.\n");
}

TEST(settings, are_not_confused_by_kubernetes_service_links) {
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_SERVICE_HOST", "10.0.0.1"},
                           {"CLAUDE_PROXY_SERVICE_PORT", "8080"},
                           {"CLAUDE_PROXY_SERVICE_PORT_HTTP", "8080"},
                           {"CLAUDE_PROXY_PORT", "tcp://10.0.0.1:8080"},
                           {"CLAUDE_PROXY_PORT_8080_TCP", "tcp://10.0.0.1:8080"},
                           {"CLAUDE_PROXY_PORT_8080_TCP_PROTO", "tcp"},
                           {"CLAUDE_PROXY_PORT_8080_TCP_PORT", "8080"},
                           {"CLAUDE_PROXY_PORT_8080_TCP_ADDR", "10.0.0.1"}}),
              "");
}

TEST(an_upstream, that_is_https_needs_a_credential) {
    const auto made = load({{"CLAUDE_PROXY_API_KEYS", "sk-cp-0123456789abcdef"}});
    ASSERT_FALSE(made);
    ASSERT_EQ(made.error().size(), 1u);
    EXPECT_TRUE(made.error().front().starts_with("ANTHROPIC_API_KEY is not set;")) << made.error().front();
    EXPECT_TRUE(has(made.error().front(), "make run"));
    EXPECT_EQ(warnings_of({{"CLAUDE_PROXY_UPSTREAM_URL", "https://api.example.com"}}), "");
}

TEST(an_upstream, that_is_http_may_lack_a_credential_but_should_not_carry_it_far) {
    EXPECT_TRUE(has(warnings_of({{"ANTHROPIC_API_KEY", ""}}), "ANTHROPIC_API_KEY is not set"));
    EXPECT_TRUE(has(warnings_of({{"CLAUDE_PROXY_UPSTREAM_URL", "http://10.1.2.3:80"}}), "travels in clear"));
    EXPECT_EQ(warnings_of({{"CLAUDE_PROXY_UPSTREAM_URL", "http://localhost:80"}}), "");
}

TEST(client_keys, are_split_and_counted_once) {
    const settings made =
        loaded({{"CLAUDE_PROXY_API_KEYS", "sk-cp-0123456789abcdef, sk-cp-fedcba9876543210 ,,sk-cp-0123456789abcdef"}});
    ASSERT_EQ(made.gateway.api_keys.size(), 2u);
    EXPECT_EQ(made.gateway.api_keys[0].reveal(), "sk-cp-0123456789abcdef");
    EXPECT_EQ(made.gateway.api_keys[1].reveal(), "sk-cp-fedcba9876543210");
    EXPECT_EQ(loaded({{"ANTHROPIC_API_KEY", "a,b,a"}}).upstream.credentials.size(), 2u);
}

TEST(client_keys, that_are_missing_or_short_are_a_warning_that_shows_no_key) {
    EXPECT_TRUE(has(warnings_of({{"CLAUDE_PROXY_API_KEYS", ""}}), "there is no static key"));
    EXPECT_TRUE(has(warnings_of({{"CLAUDE_PROXY_API_KEYS", ","}}), "there is no static key"));
    const std::string one = warnings_of({{"CLAUDE_PROXY_API_KEYS", "sk-cp-012345678,sk-cp-0123456789"}});
    EXPECT_TRUE(has(one, "CLAUDE_PROXY_API_KEYS has a key shorter than 16 characters"))
        << one << "15 and 16 characters";
    EXPECT_FALSE(has(one, "sk-cp")) << one;
    EXPECT_TRUE(has(warnings_of({{"CLAUDE_PROXY_API_KEYS", "short,also"}}), "has 2 keys shorter"));
    EXPECT_TRUE(has(warnings_of({{"CLAUDE_PROXY_ADMIN_KEY", "short"}}), "CLAUDE_PROXY_ADMIN_KEY is shorter"));
}

TEST(listeners, that_others_can_reach_without_tls_are_a_warning) {
    EXPECT_TRUE(has(warnings_of({{"CLAUDE_PROXY_LISTEN", "0.0.0.0:8080"}}), "CLAUDE_PROXY_LISTEN is reachable"));
    EXPECT_TRUE(
        has(warnings_of({{"CLAUDE_PROXY_ADMIN_LISTEN", "0.0.0.0:9"}}), "CLAUDE_PROXY_ADMIN_LISTEN is reachable"));
    const temporary_file file("any");
    EXPECT_EQ(warnings_of({{"CLAUDE_PROXY_LISTEN", "0.0.0.0:8080"},
                           {"CLAUDE_PROXY_TLS_CERT_FILE", file.path()},
                           {"CLAUDE_PROXY_TLS_KEY_FILE", file.path()}}),
              "");
}

TEST(listeners, need_certificate_and_key_or_neither_and_two_addresses) {
    const temporary_file file("any");
    for (const char* name : {"CLAUDE_PROXY_TLS_CERT_FILE", "CLAUDE_PROXY_TLS_KEY_FILE"}) {
        EXPECT_TRUE(has(problems_of({{name, file.path()}}), "belong together")) << name;
    }
    EXPECT_TRUE(has(problems_of({{"CLAUDE_PROXY_LISTEN", "127.0.0.1:8081"}}), "CLAUDE_PROXY_ADMIN_LISTEN must differ"));
    EXPECT_EQ(problems_of({{"CLAUDE_PROXY_LISTEN", "127.0.0.1:0"}, {"CLAUDE_PROXY_ADMIN_LISTEN", "127.0.0.1:0"}}), "");
}

TEST(a_configuration_file, gives_values_that_the_environment_wins_over) {
    const temporary_file file(
        "ping_interval: 3s\nlog_level: debug\nupstream_idle_timeout: 4s\nthreads: 2\nlog_format: json\n");
    const settings made =
        loaded({{"CLAUDE_PROXY_CONFIG", file.path()}, {"CLAUDE_PROXY_THREADS", "5"}, {"LOG_LEVEL", ""}});
    EXPECT_EQ(made.gateway.ping_interval, 3s);
    EXPECT_EQ(made.log.level_min, telemetry::level::debug) << "an empty variable does not win";
    EXPECT_EQ(made.upstream.idle_timeout, 4s);
    EXPECT_EQ(made.threads, 5u);
}

TEST(a_configuration_file, is_told_its_lines) {
    const temporary_file file("ping_intervall: 3s\nthreads: many\nconfig: x.yaml\nCLAUDE_PROXY_LISTEN: x\n");
    const std::string told = problems_of({{"CLAUDE_PROXY_CONFIG", file.path()}});
    EXPECT_TRUE(has(told, file.path() + " line 1: `ping_intervall` is not a setting; perhaps ping_interval was meant."))
        << told;
    EXPECT_TRUE(has(told, "CLAUDE_PROXY_THREADS (" + file.path() + " line 2) must be a whole number")) << told;
    EXPECT_TRUE(has(told, " line 3: `config` is not a setting")) << told;
    EXPECT_TRUE(has(told, " line 4: `CLAUDE_PROXY_LISTEN` is not a setting")) << told;
}

TEST(settings, of_an_administrator_need_no_upstream_credential) {
    EXPECT_FALSE(load({}));
    EXPECT_TRUE(load({}, purpose::administer));
    EXPECT_FALSE(load({{"DATABASE_URL", "mysql://x"}}, purpose::administer)) << "what is set is checked";
}

TEST(settings, are_shown_without_their_secrets) {
    const auto made = load({{"ANTHROPIC_API_KEY", "sk-ant-hunter2"},
                            {"CLAUDE_PROXY_ADMIN_KEY", "hunter2-hunter2-hunter2"},
                            {"DATABASE_URL", "postgresql://user:hunter2@db.example:5432/gateway?password=hunter2"},
                            {"CLAUDE_PROXY_THREADS", "3"}});
    ASSERT_TRUE(made);
    const std::string text = shown(*made);
    EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
    EXPECT_NE(text.find(R"("DATABASE_URL":"postgresql://***@db.example:5432/gateway")"), std::string::npos) << text;
    EXPECT_NE(text.find(R"("ANTHROPIC_API_KEY":"***")"), std::string::npos) << text;
    EXPECT_NE(text.find(R"("CLAUDE_PROXY_KEY_PEPPER":"")"), std::string::npos) << text;
    EXPECT_NE(text.find(R"("CLAUDE_PROXY_THREADS":"3")"), std::string::npos) << text;
}

}  // namespace
}  // namespace config
