#include "worker/intake.hpp"

#include <gtest/gtest.h>

#include "base/time_text.hpp"

namespace worker {
namespace {

constexpr std::int64_t now = 1'800'000'000'000;

TEST(intake, an_upstream_that_has_said_nothing_limits_nothing) { EXPECT_EQ(intake_of(64, {}, now).jobs, 64u); }

TEST(intake, a_pause_that_was_asked_for_is_obeyed_up_to_a_bound) {
    upstream::quota_view seen;
    seen.refused_until_ms = now + 3'000;
    EXPECT_EQ(intake_of(64, seen, now).jobs, 0u);
    EXPECT_EQ(intake_of(64, seen, now).look_again_ms, now + 3'000);
    EXPECT_EQ(intake_of(64, seen, now + 3'000).jobs, 64u);
    seen.refused_until_ms = now + 3'600'000;
    EXPECT_EQ(intake_of(64, seen, now).look_again_ms, now + pause_max_ms);
}

TEST(intake, what_is_left_of_the_requests_bounds_the_claim_until_it_is_reset) {
    upstream::quota_view seen;
    seen.requests_left = 5;
    seen.requests_reset_ms = now + 2'000;
    EXPECT_EQ(intake_of(64, seen, now).jobs, 5u);
    EXPECT_EQ(intake_of(3, seen, now).jobs, 3u);
    EXPECT_EQ(intake_of(64, seen, now + 2'000).jobs, 64u);
    seen.requests_left = 0;
    EXPECT_EQ(intake_of(64, seen, now).jobs, 0u);
    EXPECT_EQ(intake_of(64, seen, now).look_again_ms, now + 2'000);
}

TEST(intake, without_tokens_nothing_is_begun) {
    upstream::quota_view seen;
    seen.tokens_left = 0;
    seen.tokens_reset_ms = now + 1'000;
    EXPECT_EQ(intake_of(64, seen, now).jobs, 0u);
    EXPECT_EQ(intake_of(64, seen, now + 1'000).jobs, 64u);
}

http::response_head answer(std::string& bytes, int status, std::string_view headers) {
    bytes = "HTTP/1.1 " + std::to_string(status) + " Any\r\n" + std::string(headers) + "content-length: 0\r\n\r\n";
    http::response_head head;
    EXPECT_TRUE(http::parse_response(bytes, {64 * 1024, 100}, false, head));
    return head;
}

TEST(quota, the_tightest_of_the_token_limits_counts) {
    upstream::quota seen;
    std::string bytes;
    const std::string reset = base::time_text(now + 9'000);
    seen.note(answer(bytes, 200,
                     "anthropic-ratelimit-requests-remaining: 49\r\nanthropic-ratelimit-requests-reset: " + reset +
                         "\r\nAnthropic-RateLimit-Input-Tokens-Remaining: 70\r\n"
                         "anthropic-ratelimit-output-tokens-remaining: 30\r\n"
                         "anthropic-ratelimit-output-tokens-reset: " +
                         reset + "\r\nanthropic-ratelimit-tokens-remaining: 100\r\n"),
              now);
    EXPECT_EQ(seen.view().requests_left, 49);
    EXPECT_EQ(seen.view().requests_reset_ms, now + 9'000);
    EXPECT_EQ(seen.view().tokens_left, 30);
    EXPECT_EQ(seen.view().tokens_reset_ms, now + 9'000);
    EXPECT_EQ(seen.view().refused_until_ms, 0);
}

TEST(quota, refusals_are_counted_and_say_for_how_long) {
    upstream::quota seen;
    std::string bytes;
    seen.note(answer(bytes, 429, "retry-after: 7\r\n"), now);
    EXPECT_EQ(seen.view().refused_until_ms, now + 7'000);
    seen.note(answer(bytes, 529, ""), now);
    EXPECT_EQ(seen.view().refused_until_ms, now + 1'000);
    seen.note(answer(bytes, 500, "retry-after: 9\r\n"), now);
    EXPECT_EQ(seen.view().refused_until_ms, now + 1'000);
    EXPECT_EQ(seen.rate_limited(), 1u);
    EXPECT_EQ(seen.overloaded(), 1u);
}

TEST(quota, nonsense_is_not_believed) {
    upstream::quota seen;
    std::string bytes;
    seen.note(answer(bytes, 429,
                     "anthropic-ratelimit-requests-remaining: many\r\nretry-after: -3\r\n"
                     "anthropic-ratelimit-requests-reset: soon\r\n"),
              now);
    EXPECT_EQ(seen.view().requests_left, upstream::quota_view::unknown);
    EXPECT_EQ(seen.view().refused_until_ms, now + 1'000);
}

}  // namespace
}  // namespace worker
