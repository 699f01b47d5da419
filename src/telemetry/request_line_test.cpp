#include "telemetry/request_line.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <set>

#include "base/error.hpp"

namespace telemetry {
namespace {

request_record full_record() {
    request_record made;
    made.started_at = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'795'488'717'000));
    made.request_id = "req_cp_1";
    made.upstream_request_id = "req_up_1";
    made.method = "POST";
    made.path = "/v1/messages";
    made.route = "messages";
    made.peer = "127.0.0.1";
    made.caller = "static-1";
    made.team = "default";
    made.model = "claude-opus-4-8";
    made.user_agent = "Anthropic/Python 1.2.3";
    made.status = 200;
    made.stream = true;
    made.answer.state = anthropic::answer_state::complete;
    made.answer.model = "claude-opus-4-8-20260915";
    made.answer.stop_reason = "end_turn";
    made.answer.message_id = "msg_1";
    made.answer.counts.tokens = {412, 100, 3072, 97, 60, 40};
    made.answer.counts.thinking_tokens = 9;
    made.answer.counts.service_tier = "standard";
    made.answer.counts.inference_geo = "us";
    made.answer.counts.speed = "fast";
    made.bytes_in = 1024;
    made.bytes_out = 2048;
    made.attempts = 2;
    made.pings = 3;
    made.total_us = 1'234'567;
    made.overhead_us = 87;
    made.upstream_head_us = 500'001;
    made.first_byte_us = 500'100;
    made.first_content_us = 500'200;
    return made;
}

TEST(request_line, has_every_known_fact_in_json) {
    EXPECT_EQ(format_request(full_record(), format::json),
              R"({"ts":"2026-11-24T02:51:58.234Z","level":"info","event":"request","request_id":"req_cp_1",)"
              R"("upstream_request_id":"req_up_1","method":"POST","path":"/v1/messages","route":"messages",)"
              R"("peer":"127.0.0.1","caller":"static-1","team":"default","model":"claude-opus-4-8",)"
              R"("response_model":"claude-opus-4-8-20260915","status":200,"stream":true,"input_tokens":412,)"
              R"("cache_creation_input_tokens":100,"cache_read_input_tokens":3072,"cache_creation_5m":60,)"
              R"("cache_creation_1h":40,"output_tokens":97,"thinking_tokens":9,"service_tier":"standard",)"
              R"("inference_geo":"us","speed":"fast","usage_state":"complete","stop_reason":"end_turn","attempts":2,)"
              R"("bytes_in":1024,"bytes_out":2048,"pings":3,"total_ms":1234.567,"overhead_ms":0.087,)"
              R"("upstream_head_ms":500.001,"first_byte_ms":500.100,"first_content_ms":500.200,)"
              R"("user_agent":"Anthropic/Python 1.2.3"})");
}

TEST(request_line, leaves_out_what_is_not_known) {
    request_record bare;
    bare.request_id = "req_cp_1";
    bare.route = "unreadable";
    bare.status = 400;
    bare.reason = "bad_framing";
    EXPECT_EQ(format_request(bare, format::json),
              R"({"ts":"1970-01-01T00:00:00.000Z","level":"info","event":"request","request_id":"req_cp_1",)"
              R"("route":"unreadable","status":400,"reason":"bad_framing","stream":false,"bytes_in":0,)"
              R"("bytes_out":0,"total_ms":0.000})");
}

TEST(request_line, keeps_counts_of_zero_when_usage_was_told) {
    request_record empty_answer;
    empty_answer.answer.state = anthropic::answer_state::partial;
    empty_answer.answer.damaged = true;
    const std::string line = format_request(empty_answer, format::json);
    for (const char* name :
         {"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"}) {
        EXPECT_NE(line.find(std::string("\"") + name + "\":0"), std::string::npos) << name;
    }
    EXPECT_EQ(line.find("cache_creation_5m"), std::string::npos) << "a split that was not told is not zero";
    EXPECT_NE(line.find(R"("usage_state":"partial","usage_damaged":true)"), std::string::npos);
}

TEST(request_line, is_one_json_object_with_unique_names_whatever_a_client_sent) {
    const std::string odd("\xff\xfe\"\\ \n\0\x1b]0;x\x07 \x80{}</script>\xe2\x80\xa8", 27);
    request_record made = full_record();
    for (std::string* text :
         {&made.request_id, &made.upstream_request_id, &made.method, &made.path, &made.route, &made.peer, &made.caller,
          &made.team, &made.model, &made.user_agent, &made.reason, &made.answer.model, &made.answer.stop_reason,
          &made.answer.error_type, &made.answer.counts.service_tier, &made.answer.counts.inference_geo,
          &made.answer.counts.speed}) {
        *text = odd;
    }
    const std::string line = format_request(made, format::json);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    simdjson::dom::parser parser;
    simdjson::dom::object object;
    ASSERT_EQ(parser.parse(line).get(object), simdjson::SUCCESS) << line;
    std::set<std::string> names;
    for (const auto member : object) EXPECT_TRUE(names.insert(std::string(member.key)).second) << member.key;
    std::string_view agent;
    ASSERT_EQ(object["user_agent"].get(agent), simdjson::SUCCESS);
    EXPECT_TRUE(agent.starts_with("\xef\xbf\xbd\xef\xbf\xbd\"\\ \n")) << agent;

    const std::string text = format_request(made, format::text);
    for (const char byte : text) EXPECT_GE(static_cast<unsigned char>(byte), 0x20u) << text;
}

TEST(request_line, has_the_main_facts_in_text) {
    request_record made = full_record();
    EXPECT_EQ(
        format_request(made, format::text),
        "2026-11-24T02:51:58.234Z info  request POST /v1/messages 200 1234.567ms stream caller=static-1 team=default "
        "model=claude-opus-4-8-20260915 input=412 cache_write=100 cache_read=3072 output=97 stop=end_turn attempts=2 "
        "bytes_in=1024 bytes_out=2048 peer=127.0.0.1 id=req_cp_1 upstream_id=req_up_1");
    request_record bare;
    bare.status = 400;
    bare.reason = "bad_framing";
    EXPECT_EQ(format_request(bare, format::text),
              "1970-01-01T00:00:00.000Z info  request - - 400 0.000ms reason=bad_framing bytes_in=0 bytes_out=0");
}

TEST(request_line, warns_when_the_trouble_is_ours_or_the_upstreams) {
    const auto level_of = [](int status, std::string reason) {
        request_record made;
        made.status = status;
        made.reason = std::move(reason);
        return severity_of(made);
    };
    EXPECT_EQ(level_of(200, ""), level::info);
    EXPECT_EQ(level_of(429, ""), level::info) << "the upstream's refusal of the client";
    EXPECT_EQ(level_of(401, "credential_invalid"), level::info);
    EXPECT_EQ(level_of(499, "client_left"), level::info);
    EXPECT_EQ(level_of(200, "slow_reader"), level::info);
    EXPECT_EQ(level_of(529, ""), level::warn);
    EXPECT_EQ(level_of(502, "upstream_cut"), level::warn);
    EXPECT_EQ(level_of(200, "upstream_cut"), level::warn) << "a stream that broke after its head";
    EXPECT_EQ(level_of(200, "shutting_down"), level::warn);
    EXPECT_EQ(level_of(200, "a_reason_nobody_listed"), level::warn);
    for (unsigned kind = 0; kind <= static_cast<unsigned>(base::errc_last); ++kind) {
        const auto facts = base::facts_of(static_cast<base::errc>(kind));
        const level wanted = facts.whose == base::fault::client ? level::info : level::warn;
        EXPECT_EQ(level_of(200, std::string(facts.reason)), wanted) << facts.reason;
    }
}

}  // namespace
}  // namespace telemetry
