#include "telemetry/metrics.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace telemetry {
namespace {

request_record answered(std::string route = "messages", int status = 200, std::string reason = {}) {
    request_record made;
    made.route = std::move(route);
    made.status = status;
    made.reason = std::move(reason);
    made.total_us = 1000;
    return made;
}

request_record with_tokens(std::string model, anthropic::token_counts tokens) {
    request_record made = answered();
    made.answer.state = anthropic::answer_state::complete;
    made.answer.model = std::move(model);
    made.answer.counts.tokens = tokens;
    return made;
}

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

std::size_t count_of(const std::string& text, std::string_view what) {
    std::size_t count = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++count;
    return count;
}

TEST(metrics, count_requests_by_route_status_and_reason) {
    metrics counted;
    counted.count(answered());
    counted.count(answered());
    counted.count(answered("messages", 401, "credential_invalid"));
    counted.count(answered("models", 200));
    const std::string text = counted.text();
    EXPECT_TRUE(has_line(text, R"(claude_proxy_requests_total{route="messages",status="200"} 2)")) << text;
    EXPECT_TRUE(has_line(
        text,
        R"(claude_proxy_requests_total{reason="credential_invalid",route="messages",status="401",whose="client"} 1)"));
    EXPECT_TRUE(has_line(text, R"(claude_proxy_requests_total{route="models",status="200"} 1)"));
    EXPECT_TRUE(has_line(text, R"(claude_proxy_request_duration_seconds_count{route="messages"} 3)"));
}

TEST(metrics, have_help_and_type_and_the_prefix) {
    metrics counted;
    counted.count(with_tokens("m", {1, 0, 0, 1, {}, {}}));
    counted.add(metric_kind::gauge, "connections_open", "Open.", [] { return 7.0; });
    counted.add(metric_kind::counter, "connections_accepted_total", "Accepted.", [] { return 8.0; });
    const std::string text = counted.text();
    EXPECT_TRUE(has_line(text, "# TYPE claude_proxy_connections_open gauge"));
    EXPECT_TRUE(has_line(text, "# HELP claude_proxy_connections_open Open."));
    EXPECT_TRUE(has_line(text, "claude_proxy_connections_open 7"));
    EXPECT_TRUE(has_line(text, "# TYPE claude_proxy_connections_accepted_total counter"));
    EXPECT_TRUE(has_line(text, "claude_proxy_connections_accepted_total 8"));
    EXPECT_EQ(count_of(text, "\n# TYPE "), count_of(text, "# HELP ")) << "the first line is a HELP";
    EXPECT_NE(text.find("claude_proxy_build_info{version=\""), std::string::npos);
    for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
        const std::string line = text.substr(begin, text.find('\n', begin) - begin);
        EXPECT_TRUE(line.starts_with("# ") || line.starts_with("claude_proxy_") || line.starts_with("process_"))
            << line;
    }
}

TEST(metrics, know_the_process) {
    const std::string text = metrics().text();
    const auto value = [&text](const std::string& name) {
        const std::size_t at = text.find("\n" + name + " ");
        return at == std::string::npos ? -1.0 : std::stod(text.substr(at + name.size() + 2));
    };
    EXPECT_GT(value("process_resident_memory_bytes"), 1e6);
    EXPECT_GE(value("process_open_fds"), 3);
    EXPECT_GE(value("process_max_fds"), value("process_open_fds"));
    EXPECT_GE(value("process_cpu_seconds_total"), 0);
    EXPECT_GE(value("process_threads"), 1);
    const double now = static_cast<double>(std::time(nullptr));
    EXPECT_NEAR(value("process_start_time_seconds"), now, 3600) << "a test run is not that long";
    EXPECT_LE(value("process_start_time_seconds"), now + 2);
}

TEST(metrics, observe_only_the_times_that_came) {
    metrics counted;
    request_record made = answered();
    made.overhead_us = 40;
    made.upstream_head_us = 2'000'000;
    counted.count(made);
    const std::string text = counted.text();
    EXPECT_TRUE(has_line(text, R"(claude_proxy_overhead_seconds_bucket{le="5e-05"} 1)")) << text;
    EXPECT_TRUE(has_line(text, "claude_proxy_upstream_head_seconds_sum 2"));
    EXPECT_TRUE(has_line(text, R"(claude_proxy_upstream_head_seconds_bucket{le="1"} 0)"));
    EXPECT_TRUE(has_line(text, R"(claude_proxy_upstream_head_seconds_bucket{le="2.5"} 1)"));
    EXPECT_TRUE(has_line(text, "claude_proxy_time_to_first_byte_seconds_count 0"));
    EXPECT_TRUE(has_line(text, "claude_proxy_time_to_first_content_seconds_count 0"));
}

TEST(metrics, add_up_bytes_attempts_pings_and_trouble) {
    metrics counted;
    request_record made = answered("messages", 499, "client_left");
    made.bytes_in = 10;
    made.bytes_out = 20;
    made.attempts = 2;
    made.pings = 3;
    made.answer.damaged = true;
    counted.count(made);
    counted.count(made);
    counted.count(answered("messages", 200, "slow_reader"));
    counted.count_dropped(5);
    counted.count_lost(6);
    const std::string text = counted.text();
    EXPECT_TRUE(has_line(text, "claude_proxy_bytes_in_total 20"));
    EXPECT_TRUE(has_line(text, "claude_proxy_bytes_out_total 40"));
    EXPECT_TRUE(has_line(text, "claude_proxy_upstream_attempts_total 4"));
    EXPECT_TRUE(has_line(text, "claude_proxy_pings_sent_total 6"));
    EXPECT_TRUE(has_line(text, "claude_proxy_metering_damaged_total 2"));
    EXPECT_TRUE(has_line(text, "claude_proxy_client_disconnects_total 2"));
    EXPECT_TRUE(has_line(text, "claude_proxy_log_records_dropped_total 5"));
    EXPECT_TRUE(has_line(text, "claude_proxy_log_lines_lost_total 6"));
}

TEST(token_classes_of_an_answer, split_the_cache_writes_by_their_time_to_live) {
    EXPECT_EQ(classes_of({10, 100, 1000, 5, 60, 40}), (token_classes{10, 60, 40, 0, 1000, 5}));
    EXPECT_EQ(classes_of({10, 100, 1000, 5, {}, {}}), (token_classes{10, 0, 0, 100, 1000, 5})) << "no split told";
    EXPECT_EQ(classes_of({0, 100, 0, 0, 70, {}}), (token_classes{0, 70, 0, 30, 0, 0})) << "half of the split told";
    EXPECT_EQ(classes_of({0, 50, 0, 0, 40, 40}), (token_classes{0, 40, 40, 0, 0, 0}))
        << "a split larger than the whole";
}

TEST(metrics, count_tokens_by_response_model_and_class) {
    metrics counted;
    counted.count(with_tokens("claude-opus-4-8", {10, 100, 1000, 5, 60, 30}));
    counted.count(with_tokens("claude-opus-4-8", {1, 0, 0, 0, {}, {}}));
    counted.count(with_tokens("", {3, 0, 0, 0, {}, {}}));
    request_record not_told = with_tokens("claude-opus-4-8", {77, 0, 0, 0, {}, {}});
    not_told.answer.state = anthropic::answer_state::none;
    counted.count(not_told);
    const std::string text = counted.text();
    const auto tokens = [](const std::string& name, const std::string& model, int count) {
        return "claude_proxy_tokens_total{class=\"" + name + "\",model=\"" + model + "\"} " + std::to_string(count);
    };
    for (const auto& [name, count] : {std::pair{"input", 11},
                                      {"cache_write_5m", 60},
                                      {"cache_write_1h", 30},
                                      {"cache_write_unsplit", 10},
                                      {"cache_read", 1000},
                                      {"output", 5}}) {
        EXPECT_TRUE(has_line(text, tokens(name, "claude-opus-4-8", count))) << name << "\n" << text;
    }
    EXPECT_TRUE(has_line(text, tokens("input", "unknown", 3)));
}

TEST(metrics, count_iterations_instead_of_the_top_level_and_never_both) {
    metrics counted;
    request_record made = with_tokens("serving", {10, 0, 0, 5, {}, {}});
    made.answer.counts.iterations = {{"message", "serving", {10, 0, 0, 5, {}, {}}},
                                     {"compaction", "", {7, 0, 0, 2, {}, {}}},
                                     {"advisor_message", "advisor", {3, 0, 0, 1, {}, {}}}};
    counted.count(made);
    const std::string text = counted.text();
    EXPECT_TRUE(has_line(text, R"(claude_proxy_tokens_total{class="input",model="serving"} 17)")) << text;
    EXPECT_TRUE(has_line(text, R"(claude_proxy_tokens_total{class="output",model="serving"} 7)"));
    EXPECT_TRUE(has_line(text, R"(claude_proxy_tokens_total{class="input",model="advisor"} 3)"));
}

TEST(metrics, stay_bounded_whatever_models_routes_and_statuses_come) {
    metrics counted({.models_max = 3, .request_series_max = 4, .routes_max = 2});
    for (int i = 0; i < 50; ++i) {
        request_record made = with_tokens("model-" + std::to_string(i), {1, 0, 0, 0, {}, {}});
        made.route = "route-" + std::to_string(i);
        made.status = 200 + i;
        counted.count(made);
    }
    const std::string text = counted.text();
    EXPECT_EQ(count_of(text, "claude_proxy_tokens_total{"), 4u) << text;
    EXPECT_TRUE(has_line(text, R"(claude_proxy_tokens_total{class="input",model="other"} 47)"));
    EXPECT_EQ(count_of(text, "claude_proxy_request_duration_seconds_count{"), 3u);
    EXPECT_TRUE(has_line(text, R"(claude_proxy_request_duration_seconds_count{route="other"} 48)"));
    EXPECT_LE(count_of(text, "claude_proxy_requests_total{"), 5u);
    EXPECT_TRUE(has_line(text, R"(claude_proxy_requests_total{route="other",status="other"} 46)"));
}

TEST(whose_fault, is_that_of_the_reason) {
    const auto whose = [](std::string reason, int status) {
        return whose_fault(answered("messages", status, std::move(reason)));
    };
    EXPECT_EQ(whose("invalid_json", 400), "client");
    EXPECT_EQ(whose("client_left", 499), "client");
    EXPECT_EQ(whose("internal", 500), "ours");
    EXPECT_EQ(whose("shutting_down", 200), "ours") << "a stream that had begun";
    EXPECT_EQ(whose("upstream_cut", 200), "upstream");
    EXPECT_EQ(whose("upstream_unavailable", 200), "") << "the list of models was answered from memory";
    EXPECT_EQ(whose("upstream_unavailable", 502), "upstream");
    EXPECT_EQ(whose("a_reason_of_a_later_version", 500), "ours");
}

TEST(whose_fault, without_a_reason_is_told_by_the_upstreams_status) {
    const auto whose = [](int status, std::uint32_t attempts = 1) {
        request_record made = answered("messages", status);
        made.attempts = attempts;
        return whose_fault(made);
    };
    EXPECT_EQ(whose(200), "");
    EXPECT_EQ(whose(400), "client");
    EXPECT_EQ(whose(404), "client");
    EXPECT_EQ(whose(401), "ours") << "the credential that the upstream refused is ours";
    EXPECT_EQ(whose(429), "upstream");
    EXPECT_EQ(whose(500), "upstream");
    EXPECT_EQ(whose(529), "upstream");
    EXPECT_EQ(whose(503, 0), "") << "not ready is an answer of our own, and no failure";
}

TEST(metrics, tell_whose_fault_a_failure_was) {
    metrics counted;
    counted.count(answered("messages", 529, "ledger_full"));
    request_record made = answered("messages", 529);
    counted.count(made);
    made.attempts = 1;
    counted.count(made);
    counted.count(made);
    const std::string text = counted.text();
    EXPECT_TRUE(has_line(
        text, R"(claude_proxy_requests_total{reason="ledger_full",route="messages",status="529",whose="ours"} 1)"))
        << text;
    EXPECT_TRUE(has_line(text, R"(claude_proxy_requests_total{route="messages",status="529",whose="upstream"} 2)"));
    EXPECT_TRUE(has_line(text, R"(claude_proxy_requests_total{route="messages",status="529"} 1)"));
}

TEST(metrics, add_up_what_requests_cost_by_model_and_those_without_a_price) {
    metrics counted;
    request_record made = with_tokens("claude-x", {1, 0, 0, 1, {}, {}});
    made.cost_pico = 250'000'000'000;
    counted.count(made);
    counted.count(made);
    made.answer.model.clear();
    made.price_unknown = true;
    counted.count(made);
    counted.count(answered());
    const std::string text = counted.text();
    EXPECT_TRUE(has_line(text, R"(claude_proxy_cost_dollars_total{model="claude-x"} 0.5)")) << text;
    EXPECT_TRUE(has_line(text, R"(claude_proxy_cost_dollars_total{model="unknown"} 0.25)"));
    EXPECT_TRUE(has_line(text, "claude_proxy_prices_unknown_total 1"));
}

TEST(streams_end, as_their_reason_says_and_only_when_they_had_begun) {
    const auto end_of = [](std::string reason, int status = 200, bool begun = true, bool stream = true) {
        request_record made = answered("messages", status, std::move(reason));
        made.stream = stream;
        made.first_byte_us = begun ? 1 : 0;
        return std::string(stream_end_of(made));
    };
    EXPECT_EQ(end_of(""), "complete");
    EXPECT_EQ(end_of("upstream_cut"), "cut");
    EXPECT_EQ(end_of("client_left"), "client_left");
    EXPECT_EQ(end_of("slow_reader"), "slow_reader");
    EXPECT_EQ(end_of("upstream_error_event"), "error_event");
    EXPECT_EQ(end_of("upstream_idle_timeout"), "timeout");
    EXPECT_EQ(end_of("upstream_total_timeout"), "timeout");
    EXPECT_EQ(end_of("shutting_down"), "shutdown");
    EXPECT_EQ(end_of("internal"), "error");
    EXPECT_EQ(end_of("client_left", 499, false), "");
    EXPECT_EQ(end_of("upstream_cut", 502), "");
    EXPECT_EQ(end_of("", 200, true, false), "") << "not a stream";

    metrics counted;
    request_record made = answered("messages", 200, "upstream_cut");
    made.stream = true;
    made.first_byte_us = 1;
    counted.count(made);
    EXPECT_TRUE(has_line(counted.text(), R"(claude_proxy_streams_total{end="cut"} 1)"));
}

}  // namespace
}  // namespace telemetry
