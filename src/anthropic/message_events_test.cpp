#include "anthropic/message_events.hpp"

#include <gtest/gtest.h>

#include "anthropic/message_assembly.hpp"

namespace anthropic {
namespace {

std::string together(std::string_view events) {
    message_assembler assembler;
    assembler.events(events);
    EXPECT_TRUE(assembler.complete());
    auto made = assembler.take();
    return made ? *made : made.error().detail;
}

constexpr std::string_view message =
    R"({"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[)"
    R"({"type":"thinking","thinking":"hm\n","signature":"c2ln"},)"
    R"({"type":"text","text":"a \"b\" é\ud83d\ude00","citations":[{"type":"x","n":1.0},{"type":"y"}]},)"
    R"({"type":"text","text":""},)"
    R"({"type":"tool_use","id":"toolu_1","name":"t","input":{"a":1e400,"b":["\\",null]}},)"
    R"({"type":"tool_use","id":"toolu_2","name":"t","input":{}},)"
    R"({"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"r"}]}],)"
    R"("stop_reason":"tool_use","stop_sequence":null,)"
    R"("usage":{"input_tokens":10,"output_tokens":5,"service_tier":"batch","cache":{"a":0}},"container":{"id":"c"}})";

TEST(message_events, the_events_of_a_message_are_that_message_again) {
    const auto events = events_of_message(message);
    ASSERT_TRUE(events);
    EXPECT_EQ(together(*events), message);
}

TEST(message_events, a_stream_begins_empty_and_ends_with_its_reason) {
    const auto events = events_of_message(message);
    ASSERT_TRUE(events);
    EXPECT_TRUE(events->starts_with("event: message_start\ndata: {\"type\":\"message_start\",\"message\":"));
    const auto first = events->substr(0, events->find("\n\n"));
    EXPECT_NE(first.find(R"("content":[],"stop_reason":null)"), first.npos);
    EXPECT_TRUE(events->ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    EXPECT_NE(events->find(R"({"type":"text_delta","text":"a \"b\" é\ud83d\ude00"})"), events->npos);
    EXPECT_NE(events->find(R"("partial_json":"{\"a\":1e400,\"b\":[\"\\\\\",null]}")"), events->npos);
}

TEST(message_events, line_ends_between_tokens_do_not_end_an_event) {
    const auto events = events_of_message("{\"content\":\n[{\"type\":\"text\",\r\n\"text\":\"x\"}],\"usage\":{\n}}");
    ASSERT_TRUE(events);
    EXPECT_EQ(together(*events), R"({"content":[{"type":"text","text":"x"}],"usage":{}})");
}

TEST(message_events, what_is_no_message_is_refused) {
    for (const char* text : {"", "[]", "{}", R"({"content":null})", R"({"content":[)"}) {
        EXPECT_FALSE(events_of_message(text)) << text;
    }
}

}  // namespace
}  // namespace anthropic
