// What the golden cases (usage_golden_test.cpp) do not show: what the relay asks the meters besides usage.
#include "anthropic/usage_meter.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace {

using namespace anthropic;

bool shows_content(event_kind kind, std::string_view data = {}, bool oversized = false) {
    stream_meter meter;
    meter.on_event(kind, data, data.size(), oversized);
    return meter.content_seen();
}

std::string block_start(std::string_view block) {
    return fmt::format(R"({{"type":"content_block_start","index":0,"content_block":{}}})", block);
}

TEST(stream_meter, the_preamble_is_not_content) {
    EXPECT_FALSE(shows_content(event_kind::message_start, R"({"message":{"usage":{"input_tokens":1}}})"));
    EXPECT_FALSE(shows_content(event_kind::ping));
    EXPECT_FALSE(shows_content(event_kind::error, R"({"error":{"type":"overloaded_error"}})"));
}

TEST(stream_meter, what_follows_the_preamble_is_content) {
    for (const auto kind : {event_kind::content_block_delta, event_kind::content_block_stop, event_kind::message_delta,
                            event_kind::message_stop, event_kind::other}) {
        EXPECT_TRUE(shows_content(kind)) << static_cast<int>(kind);
    }
}

TEST(stream_meter, a_block_that_begins_empty_is_not_content_yet) {
    for (const std::string_view block :
         {R"({"type":"text","text":""})", R"({"type":"thinking","thinking":"","signature":""})",
          R"({"type":"tool_use","id":"t","name":"n","input":{},"caller":{"type":"direct"}})",
          R"({"input":{"type":"x"},"type" : "server_tool_use"})", R"({"type":"mcp_tool_use","input":{}})"}) {
        EXPECT_FALSE(shows_content(event_kind::content_block_start, block_start(block))) << block;
    }
}

TEST(stream_meter, a_block_that_comes_complete_is_content) {
    for (const std::string_view block :
         {R"({"type":"web_search_tool_result","content":[{"type":"text"}]})",
          R"({"type":"redacted_thinking","data":"E"})", R"({"type":"fallback"})", R"({"type":"some_future_block"})"}) {
        EXPECT_TRUE(shows_content(event_kind::content_block_start, block_start(block))) << block;
    }
}

TEST(stream_meter, a_block_start_that_cannot_be_read_counts_as_content) {
    for (const std::string_view data :
         {"", "{}", "x", R"({"content_block":null})", R"({"content_block":{"type":7}})"}) {
        EXPECT_TRUE(shows_content(event_kind::content_block_start, data)) << data;
    }
    EXPECT_TRUE(shows_content(event_kind::content_block_start, {}, true));
}

TEST(stream_meter, the_first_error_is_kept_as_it_came) {
    stream_meter meter;
    EXPECT_FALSE(meter.error_seen());
    const std::string_view first = R"( {"type":"error", "error":{"type":"overloaded_error","message":"\u004fh"}}  )";
    meter.on_event(event_kind::error, first, first.size(), false);
    const std::string_view second = R"({"error":{"type":"api_error"}})";
    meter.on_event(event_kind::error, second, second.size(), false);
    EXPECT_TRUE(meter.error_seen());
    EXPECT_EQ(meter.error_data(), R"({"type":"error", "error":{"type":"overloaded_error","message":"\u004fh"}})");
    EXPECT_EQ(meter.result().error_type, "overloaded_error");
    EXPECT_FALSE(meter.result().damaged);
}

TEST(stream_meter, an_oversized_error_is_an_error_without_text) {
    stream_meter meter;
    meter.on_event(event_kind::error, {}, 1'000'000, true);
    EXPECT_TRUE(meter.error_seen());
    EXPECT_EQ(meter.error_data(), "");
    EXPECT_TRUE(meter.result().damaged);
}

TEST(stream_meter, names_beyond_the_limit_are_not_believed) {
    stream_meter meter;
    const auto data = fmt::format(R"({{"message":{{"id":"{}","model":"{}","usage":{{"input_tokens":1}}}}}})",
                                  std::string(256, 'i'), std::string(257, 'm'));
    meter.on_event(event_kind::message_start, data, data.size(), false);
    EXPECT_EQ(meter.result().message_id, std::string(256, 'i'));
    EXPECT_EQ(meter.result().model, "");
    EXPECT_EQ(meter.result().counts.tokens.input_tokens, 1U);
    EXPECT_TRUE(meter.result().damaged);
}

TEST(stream_meter, a_list_of_iterations_is_bounded) {
    const auto metered_with = [](int entries) {
        std::string list;
        for (int entry = 0; entry < entries; ++entry) list += R"(,{"type":"message","output_tokens":1})";
        const auto data = fmt::format(R"({{"usage":{{"output_tokens":9,"iterations":[{}]}}}})", list.substr(1));
        stream_meter meter;
        meter.on_event(event_kind::message_delta, data, data.size(), false);
        return meter.result();
    };
    EXPECT_EQ(metered_with(256).counts.iterations.size(), 256U);
    EXPECT_FALSE(metered_with(256).damaged);
    EXPECT_EQ(metered_with(257).counts.iterations.size(), 256U);
    EXPECT_TRUE(metered_with(257).damaged);
}

TEST(stream_meter, a_large_text_leaves_no_trace_in_the_next_reading) {
    const auto large =
        fmt::format(R"({{"message":{{"id":"a","x":"{}","usage":{{"input_tokens":5}}}}}})", std::string(60'000, 'x'));
    for (int round = 0; round < 3; ++round) {
        stream_meter meter;
        meter.on_event(event_kind::message_start, large, large.size(), false);
        const std::string_view small = R"({"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}})";
        meter.on_event(event_kind::message_delta, small, small.size(), false);
        EXPECT_EQ(meter.result().counts.tokens.input_tokens, 5U);
        EXPECT_EQ(meter.result().counts.tokens.output_tokens, 7U);
        EXPECT_FALSE(meter.result().damaged);
    }
}

TEST(json_meter, nothing_is_known_before_the_end) {
    json_meter meter;
    meter.feed(R"({"usage":{"input_tokens":5}})");
    EXPECT_EQ(meter.result().state, answer_state::none);
    meter.finish();
    EXPECT_EQ(meter.result().state, answer_state::complete);
    EXPECT_EQ(meter.result().counts.tokens.input_tokens, 5U);
}

}  // namespace
