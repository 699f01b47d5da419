#include "worker/batch_lane_plan.hpp"

#include <gtest/gtest.h>

#include "anthropic/message_assembly.hpp"

namespace worker {
namespace {

using way = jobs::ending::way;

constexpr std::string_view message =
    R"({"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],)"
    R"("stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}})";

jobs::ending end(std::string_view kind, std::string_view body = {}, std::uint64_t events = 0, bool fails = false) {
    jobs::options rules;
    rules.batch_expired_fails = fails;
    return ending_of({.id = "job_1", .attempt = 2, .events = events, .request_id = "lane_1:job_1-2"},
                     {.kind = kind, .body = body}, rules, 5'000, 0);
}

std::string error(std::string_view type) {
    return R"({"type":"error","error":{"type":")" + std::string(type) + R"(","message":"no"},"request_id":null})";
}

TEST(batch_lane_plan, a_batch_is_due_by_count_by_bytes_or_by_age) {
    jobs::options rules;
    rules.batch_count_min = 3;
    rules.batch_bytes_max = 1'000;
    rules.batch_age_max = jobs::milliseconds(500);
    EXPECT_FALSE(is_batch_due(rules, {}, 1'000'000));
    EXPECT_FALSE(is_batch_due(rules, {.count = 2, .bytes = 999, .since = 1'000}, 1'499));
    EXPECT_TRUE(is_batch_due(rules, {.count = 3, .bytes = 3, .since = 1'000}, 1'000));
    EXPECT_TRUE(is_batch_due(rules, {.count = 1, .bytes = 1'000, .since = 1'000}, 1'000));
    EXPECT_TRUE(is_batch_due(rules, {.count = 1, .bytes = 1, .since = 1'000}, 1'500));
}

TEST(batch_lane_plan, a_custom_id_names_the_job_and_the_attempt_within_what_upstream_allows) {
    const std::string id = "job_0123456789abcdefghijklmn";
    const auto name = custom_id_of(id, 4'294'967'295);
    EXPECT_LE(name.size(), 64U);
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"), name.npos);
    EXPECT_EQ(read_custom_id(name), std::pair(id, 4'294'967'295U));
    for (const char* other : {"", "job_1", "-1", "job_1-", "job_1-x", "job_1-1x", "job_1--1", "job_1-99999999999"}) {
        EXPECT_FALSE(read_custom_id(other) && read_custom_id(other)->first == "job_1") << other;
    }
}

TEST(batch_lane_plan, only_what_changes_the_answer_tells_batches_apart) {
    EXPECT_EQ(batch_headers("{}"), "anthropic-version: 2023-06-01\r\n");
    EXPECT_EQ(batch_headers(R"({"user-agent":"x"})"), batch_headers("{}"));
    EXPECT_EQ(batch_headers(R"({"anthropic-version":"2026-10-21","anthropic-beta":"a,b"})"),
              "anthropic-version: 2026-10-21\r\nanthropic-beta: a,b\r\n");
}

TEST(batch_lane_plan, an_answer_is_the_result_and_its_events_are_the_log) {
    const auto ending = end("succeeded", message);
    EXPECT_EQ(ending.how, way::succeeded);
    EXPECT_EQ(ending.result, message);
    EXPECT_EQ(ending.usage, R"({"input_tokens":1,"output_tokens":2})");
    EXPECT_EQ(ending.request_id, "lane_1:job_1-2");
    EXPECT_TRUE(ending.error.empty() && ending.reason.empty());
    EXPECT_EQ(ending.last.first_id, 1U);
    EXPECT_EQ(ending.last.last_id, 6U);
    EXPECT_TRUE(ending.last.bytes.starts_with("id: 1\nevent: message_start\n"));
    anthropic::message_assembler assembler;
    assembler.events(ending.last.bytes);
    EXPECT_EQ(assembler.take().value_or(""), message);
}

TEST(batch_lane_plan, what_an_earlier_attempt_left_in_the_log_is_void) {
    const auto ending = end("succeeded", message, 7);
    EXPECT_EQ(ending.last.first_id, 8U);
    EXPECT_EQ(ending.last.last_id, 14U);
    EXPECT_TRUE(ending.last.bytes.starts_with("id: 8\nevent: restart\n"));
}

TEST(batch_lane_plan, an_answer_that_cannot_be_read_is_tried_again) {
    const auto ending = end("succeeded", "{}");
    EXPECT_EQ(ending.how, way::retry);
    EXPECT_TRUE(ending.last.bytes.empty());
    EXPECT_TRUE(ending.result.empty());
}

TEST(batch_lane_plan, an_error_means_what_it_means_for_a_request) {
    const auto at_fault = end("errored", error("invalid_request_error"));
    EXPECT_EQ(at_fault.how, way::failed);
    EXPECT_EQ(at_fault.error, error("invalid_request_error"));
    EXPECT_EQ(at_fault.reason, "invalid_request_error");
    const auto broken = end("errored", error("api_error"));
    EXPECT_EQ(broken.how, way::retry);
    EXPECT_GT(broken.run_after, 5'000);
    EXPECT_FALSE(broken.where);
    EXPECT_EQ(end("errored", error("overloaded_error")).how, way::waiting);
    EXPECT_EQ(end("errored", "").how, way::retry);
}

TEST(batch_lane_plan, what_was_left_undone_goes_on_in_realtime_or_fails) {
    for (const char* kind : {"expired", "canceled", ""}) {
        const auto on = end(kind);
        EXPECT_EQ(on.how, way::waiting) << kind;
        EXPECT_EQ(on.where, jobs::lane::realtime) << kind;
        EXPECT_EQ(on.run_after, 5'000) << kind;
        const auto over = end(kind, {}, 0, true);
        EXPECT_EQ(over.how, way::failed) << kind;
        EXPECT_NE(over.error.find("job_expired"), over.error.npos) << kind;
    }
}

}  // namespace
}  // namespace worker
