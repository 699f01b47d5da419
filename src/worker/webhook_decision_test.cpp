#include "worker/webhook_decision.hpp"

#include <gtest/gtest.h>

namespace worker {
namespace {

using namespace std::chrono_literals;
using enum jobs::delivery_state;

constexpr double middle = 0.5;

webhook_answer status(std::uint32_t number, std::chrono::seconds retry_after = 0s) {
    return {.status = number, .error = {}, .retry_after = retry_after};
}

TEST(webhook_decision, every_status_from_200_to_299_is_a_delivery) {
    const jobs::webhook_options options;
    for (const std::uint32_t good : {200u, 201u, 202u, 204u, 299u})
        EXPECT_EQ(decide(options, status(good), 1, middle).state, delivered) << good;
    for (const std::uint32_t bad : {0u, 100u, 199u, 300u, 301u, 302u, 304u, 307u, 308u, 400u, 401u, 404u, 429u, 500u})
        EXPECT_EQ(decide(options, status(bad), 1, middle).state, waiting) << bad;
}

TEST(webhook_decision, tries_go_on_over_hours_and_end) {
    const jobs::webhook_options options;
    std::chrono::milliseconds whole{0};
    std::uint32_t tries = 1;
    for (; decide(options, status(500), tries, middle).state == waiting; ++tries)
        whole += decide(options, status(500), tries, middle).wait;
    EXPECT_EQ(tries, 9u);
    EXPECT_EQ(whole, 5s + 30s + 2min + 10min + 1h + 3h + 6h + 12h);
    EXPECT_EQ(decide(options, status(500), tries, middle).state, given_up);
    EXPECT_EQ(decide(options, status(200), tries, middle).state, delivered);
    EXPECT_LT(whole, options.give_up_after);
}

TEST(webhook_decision, chance_moves_a_wait_by_a_fifth) {
    const jobs::webhook_options options;
    EXPECT_EQ(decide(options, status(500), 1, 0.0).wait, 4s);
    EXPECT_EQ(decide(options, status(500), 1, middle).wait, 5s);
    EXPECT_EQ(decide(options, status(500), 1, 1.0).wait, 6s);
}

TEST(webhook_decision, a_receiver_that_is_gone_is_asked_no_more) {
    EXPECT_EQ(decide({}, status(410), 1, middle).state, given_up);
}

TEST(webhook_decision, retry_after_lengthens_a_wait_within_bounds) {
    const jobs::webhook_options options;
    EXPECT_EQ(decide(options, status(503, 60s), 1, middle).wait, 60s);
    EXPECT_EQ(decide(options, status(429, 1s), 1, middle).wait, 5s);
    EXPECT_EQ(decide(options, status(503, 365 * 24h), 1, middle).wait, options.retry_after_max);
}

TEST(webhook_decision, without_retries_there_is_one_try) {
    jobs::webhook_options options;
    options.retries.clear();
    EXPECT_EQ(decide(options, status(500), 1, middle).state, given_up);
}

TEST(webhook_decision, an_endpoint_is_in_trouble_when_it_does_not_answer_or_says_so) {
    for (const std::uint32_t bad : {0u, 408u, 429u, 500u, 502u, 503u, 504u, 599u})
        EXPECT_TRUE(is_in_trouble(status(bad))) << bad;
    for (const std::uint32_t well : {200u, 204u, 301u, 400u, 401u, 404u, 410u, 422u})
        EXPECT_FALSE(is_in_trouble(status(well))) << well;
}

}  // namespace
}  // namespace worker
