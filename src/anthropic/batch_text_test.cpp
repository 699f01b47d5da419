#include "anthropic/batch_text.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace anthropic {
namespace {

using base::errc;

struct read_all {
    std::vector<batch_item> items;
    std::optional<errc> failed;
};
read_all items_of(std::string_view body) {
    read_all read;
    auto reader = batch_reader::open(body);
    if (!reader) return {{}, reader.error().kind};
    for (;;) {
        auto item = reader->next();
        if (!item) {
            read.failed = item.error().kind;
            return read;
        }
        if (!*item) return read;
        read.items.push_back(std::move(**item));
    }
}

TEST(batch_text, the_requests_of_a_body_come_one_after_the_other) {
    const auto read = items_of(R"({"x":[{}], "requests" : [ {"custom_id":"a-1","params":{"model":"m","n":1.0}} ,
        {"params":{"k":["}"]},"custom_id":"\u0062"}] , "y":null})");
    ASSERT_FALSE(read.failed);
    ASSERT_EQ(read.items.size(), 2U);
    EXPECT_EQ(read.items[0].custom_id, "a-1");
    EXPECT_EQ(read.items[0].params, R"({"model":"m","n":1.0})");
    EXPECT_EQ(read.items[1].custom_id, "b");
    EXPECT_EQ(read.items[1].params, R"({"k":["}"]})");
}

TEST(batch_text, a_body_without_requests_has_none) {
    for (const char* body :
         {"{}", R"({"requests":[]})", R"({"requests":[ ]})", R"({"requests":null})", R"({"requests":{"a":1}})"}) {
        const auto read = items_of(body);
        EXPECT_TRUE(read.items.empty() && !read.failed) << body;
    }
}

TEST(batch_text, what_upstream_might_read_otherwise_is_refused) {
    EXPECT_EQ(items_of(R"({"requests":[],"r\u0065quests":[{}]})").failed, errc::duplicate_field);
    EXPECT_EQ(items_of(R"({"requests":[{"params":{},"params":{}}]})").failed, errc::duplicate_field);
    EXPECT_EQ(items_of(R"({"requests":[{"custom_id":"a","custom_id":"b"}]})").failed, errc::duplicate_field);
    for (const char* body :
         {"", "[]", R"({"requests":[1]})", R"({"requests":[{}x]})", R"({"requests":[{},]})", R"({"requests":[{} {}]})",
          R"({"requests":["a"]})", R"({"requests":[{}]]})", R"({"requests":[{})"}) {
        EXPECT_EQ(items_of(body).failed, errc::invalid_json) << body;
    }
}

TEST(batch_text, the_state_of_a_batch_is_read) {
    const auto read = read_batch_state(
        R"({"id":"msgbatch_1","type":"message_batch","processing_status":"ended","created_at":"2026-08-20T18:37:24Z",
        "request_counts":{"processing":1,"succeeded":2,"errored":3,"canceled":4,"expired":5},"results_url":null})");
    ASSERT_TRUE(read);
    EXPECT_EQ(read->id, "msgbatch_1");
    EXPECT_EQ(read->processing_status, "ended");
    EXPECT_EQ(read->requests, 15U);
    for (const char* text : {"", "{}", "[]", R"({"id":5,"processing_status":"ended"})"}) {
        EXPECT_FALSE(read_batch_state(text)) << text;
    }
}

TEST(batch_text, the_usage_of_a_succeeded_result_is_metered) {
    const auto read = read_batch_result(
        R"({"custom_id":"a-1","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","model":"m",)"
        R"("stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5,"service_tier":"batch"}}}})");
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->succeeded);
    EXPECT_EQ(read->body.substr(0, 13), R"({"id":"msg_1")");
    EXPECT_EQ(read->seen.state, answer_state::complete);
    EXPECT_EQ(read->seen.model, "m");
    EXPECT_EQ(read->seen.counts.tokens.input_tokens, 10U);
    EXPECT_EQ(read->seen.counts.service_tier, "batch");
}

TEST(batch_text, other_results_are_told_apart_and_broken_lines_are_none) {
    const auto errored = read_batch_result(
        R"({"custom_id":"a","result":{"type":"errored","error":{"type":"error","error":{"type":"x"}}}})");
    ASSERT_TRUE(errored);
    EXPECT_FALSE(errored->succeeded);
    EXPECT_EQ(errored->kind, "errored");
    EXPECT_EQ(errored->body, R"({"type":"error","error":{"type":"x"}})");
    for (const char* line : {"", "{}", R"({"custom_id":"a"})", R"({"custom_id":"a","result":{"type":"succeeded")",
                             R"({"result":{"type":"expired"}})", "null"}) {
        EXPECT_FALSE(read_batch_result(line)) << line;
    }
}

}  // namespace
}  // namespace anthropic
