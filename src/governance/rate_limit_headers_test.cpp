#include "governance/rate_limit_headers.hpp"

#include <gtest/gtest.h>

namespace governance {
namespace {

constexpr std::int64_t second = 1'000'000;
constexpr std::int64_t minute = 60 * second;
constexpr time_ms wall = 1'787'316'059'000;  // 2026-08-21T12:40:59Z

limit limit_of(rate_limits amounts) {
    return {.where = scope::team, .scope_id = "x", .model_class = "", .amounts = amounts};
}

std::string headers_of(std::span<limiter* const> in_force, std::int64_t now_us, time_ms wall_now = wall) {
    std::string head;
    append_rate_limit_headers(head, in_force, now_us, wall_now);
    return head;
}

TEST(rate_limit_headers, name_limit_rest_and_reset_of_each_kind) {
    limiter of(
        limit_of({.requests_per_minute = 60, .input_tokens_per_minute = 100'000, .output_tokens_per_minute = 20'000}));
    limiter* const all[] = {&of};
    ASSERT_FALSE(of.begin(10'400, minute));
    of.finish(10'400, 10'400, 5'000, minute);
    EXPECT_EQ(headers_of(all, minute),
              "anthropic-ratelimit-requests-limit: 60\r\n"
              "anthropic-ratelimit-requests-remaining: 59\r\n"
              "anthropic-ratelimit-requests-reset: 2026-08-21T12:41:00Z\r\n"
              "anthropic-ratelimit-tokens-limit: 120000\r\n"
              "anthropic-ratelimit-tokens-remaining: 105000\r\n"
              "anthropic-ratelimit-tokens-reset: 2026-08-21T12:41:14Z\r\n"
              "anthropic-ratelimit-input-tokens-limit: 100000\r\n"
              "anthropic-ratelimit-input-tokens-remaining: 90000\r\n"
              "anthropic-ratelimit-input-tokens-reset: 2026-08-21T12:41:06Z\r\n"
              "anthropic-ratelimit-output-tokens-limit: 20000\r\n"
              "anthropic-ratelimit-output-tokens-remaining: 15000\r\n"
              "anthropic-ratelimit-output-tokens-reset: 2026-08-21T12:41:14Z\r\n");
}

TEST(rate_limit_headers, a_kind_without_a_limit_is_not_named) {
    limiter none(limit_of({.concurrent_requests = 5}));
    limiter* const nothing[] = {&none};
    EXPECT_EQ(headers_of(nothing, minute), "");
    EXPECT_EQ(headers_of({}, minute), "");
    limiter output(limit_of({.output_tokens_per_minute = 2'000}));
    limiter* const one[] = {&none, &output};
    EXPECT_EQ(headers_of(one, minute),
              "anthropic-ratelimit-tokens-limit: 2000\r\n"
              "anthropic-ratelimit-tokens-remaining: 2000\r\n"
              "anthropic-ratelimit-tokens-reset: 2026-08-21T12:40:59Z\r\n"
              "anthropic-ratelimit-output-tokens-limit: 2000\r\n"
              "anthropic-ratelimit-output-tokens-remaining: 2000\r\n"
              "anthropic-ratelimit-output-tokens-reset: 2026-08-21T12:40:59Z\r\n");
}

TEST(rate_limit_headers, the_tightest_limiter_of_each_kind_counts) {
    limiter team(limit_of({.requests_per_minute = 100, .input_tokens_per_minute = 10'000}));
    limiter key(limit_of({.requests_per_minute = 10, .input_tokens_per_minute = 90'000}));
    limiter* const both[] = {&team, &key};
    ASSERT_FALSE(begin_all(both, 6'000, minute));
    const auto head = headers_of(both, minute);
    EXPECT_NE(head.find("requests-limit: 10\r\n"), head.npos) << head;
    EXPECT_NE(head.find("requests-remaining: 9\r\n"), head.npos);
    EXPECT_NE(head.find("input-tokens-limit: 10000\r\n"), head.npos);
    EXPECT_NE(head.find("input-tokens-remaining: 4000\r\n"), head.npos);
    EXPECT_EQ(head.find("limit: 100\r\n"), head.npos);
}

TEST(rate_limit_headers, tokens_are_those_of_the_kind_that_is_used_up) {
    limiter of(limit_of({.input_tokens_per_minute = 100'000, .output_tokens_per_minute = 20'000}));
    limiter* const all[] = {&of};
    ASSERT_FALSE(of.begin(1'000, minute));
    of.finish(1'000, {}, 25'000, minute);
    const auto head = headers_of(all, minute);
    EXPECT_NE(head.find("ratelimit-tokens-limit: 20000\r\n"), head.npos) << head;
    EXPECT_NE(head.find("ratelimit-tokens-remaining: 0\r\n"), head.npos);
    EXPECT_NE(head.find("ratelimit-tokens-reset: 2026-08-21T12:42:14Z\r\n"), head.npos);
}

TEST(rate_limit_headers, tokens_are_rounded_to_thousands_but_not_beyond_the_limit) {
    limiter of(limit_of({.input_tokens_per_minute = 1'700}));
    limiter* const all[] = {&of};
    EXPECT_NE(headers_of(all, minute).find("input-tokens-remaining: 1700\r\n"), std::string::npos);
    of.input_tokens().charge(201, minute);
    EXPECT_NE(headers_of(all, minute).find("input-tokens-remaining: 1000\r\n"), std::string::npos);
    of.input_tokens().charge(1'000, minute);
    EXPECT_NE(headers_of(all, minute).find("input-tokens-remaining: 0\r\n"), std::string::npos);
}

TEST(rate_limit_headers, a_reset_is_rounded_up_and_crosses_days_and_years) {
    limiter of(limit_of({.requests_per_minute = 1}));
    limiter* const all[] = {&of};
    of.requests().charge(1, minute);
    constexpr time_ms new_years_eve = 1'830'297'541'001;  // 2027-12-31T23:59:01.001Z... a minute later it is 2028
    EXPECT_NE(headers_of(all, minute, new_years_eve).find("reset: 2028-01-01T00:00:02Z\r\n"), std::string::npos)
        << headers_of(all, minute, new_years_eve);
    constexpr time_ms leap_day = 1'835'481'599'000;  // 2028-02-29T23:59:59Z
    EXPECT_NE(headers_of(all, 2 * minute, leap_day).find("reset: 2028-02-29T23:59:59Z\r\n"), std::string::npos)
        << headers_of(all, 2 * minute, leap_day);
}

TEST(rate_limit_headers, cost_nothing_but_the_string) {
    limiter of(
        limit_of({.requests_per_minute = 60, .input_tokens_per_minute = 1'000, .output_tokens_per_minute = 1'000}));
    limiter* const all[] = {&of};
    std::string head;
    head.reserve(2'048);
    const auto* const memory = head.data();
    append_rate_limit_headers(head, all, minute, wall);
    append_retry_after(head, {});
    EXPECT_EQ(head.data(), memory);
    EXPECT_LT(head.size(), 1'024u);
}

TEST(retry_after, is_rounded_up_to_a_second_at_least) {
    using enum limit_refusal::kind;
    const auto seconds = [](std::int64_t us) {
        return retry_after_seconds({.what = requests, .wait_us = us, .limit = 1});
    };
    EXPECT_EQ(seconds(1), 1);
    EXPECT_EQ(seconds(second), 1);
    EXPECT_EQ(seconds(second + 1), 2);
    EXPECT_EQ(seconds(59 * second + 999'001), 60);
    EXPECT_EQ(retry_after_seconds({.what = concurrent, .wait_us = 0, .limit = 1}), 1);
    std::string head = "x: y\r\n";
    append_retry_after(head, {.what = requests, .wait_us = 1'233'001, .limit = 1});
    EXPECT_EQ(head, "x: y\r\nretry-after: 2\r\nretry-after-ms: 1234\r\n");
}

TEST(refusal_sentence, says_which_limit_of_whom_and_when_to_come_back) {
    using enum limit_refusal::kind;
    EXPECT_EQ(refusal_sentence({.what = requests, .wait_us = 1'500'000, .limit = 600}, scope::team, "search", ""),
              "The team search has used its limit of 600 requests per minute. Try again in 2 seconds.");
    EXPECT_EQ(refusal_sentence({.what = input_tokens, .wait_us = 1, .limit = 2'000'000}, scope::key, "nightly",
                               "claude-opus-*"),
              "The key nightly has used its limit of 2000000 input tokens per minute for claude-opus-*. "
              "Try again in 1 second.");
    EXPECT_EQ(refusal_sentence({.what = output_tokens, .wait_us = 61 * second, .limit = 5}, scope::root, "", ""),
              "This installation has used its limit of 5 output tokens per minute. Try again in 61 seconds.");
    EXPECT_EQ(refusal_sentence({.what = concurrent, .wait_us = 0, .limit = 8}, scope::team, "search", ""),
              "The team search has reached its limit of 8 concurrent requests. Try again when one of them has ended.");
}

}  // namespace
}  // namespace governance
