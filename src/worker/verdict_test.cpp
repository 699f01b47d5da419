#include "worker/verdict.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace worker {
namespace {

using std::chrono::seconds;

attempt_facts status_of(int status, std::string type = {}, std::string reason = {}) {
    attempt_facts made;
    made.status = status;
    made.type = std::move(type);
    made.reason = std::move(reason);
    return made;
}

attempt_facts in_stream(std::string type, bool content) {
    attempt_facts made = status_of(200, std::move(type));
    made.content = content;
    return made;
}

TEST(verdict, an_answer_that_is_whole_is_a_success_whatever_else_happened) {
    attempt_facts how = status_of(200, "overloaded_error", "upstream_cut");
    how.complete = true;
    EXPECT_EQ(fate_of(how), fate::succeeded);
}

TEST(verdict, a_request_at_fault_fails_for_good) {
    for (const int status : {400, 402, 403, 404, 409, 413, 422}) EXPECT_EQ(fate_of(status_of(status)), fate::failed);
    EXPECT_EQ(fate_of(in_stream("invalid_request_error", false)), fate::failed);
}

TEST(verdict, not_now_is_no_failure) {
    for (const int status : {429, 529}) EXPECT_EQ(fate_of(status_of(status)), fate::waiting);
    EXPECT_EQ(fate_of(in_stream("overloaded_error", false)), fate::waiting);
    EXPECT_EQ(fate_of(in_stream("rate_limit_error", false)), fate::waiting);
    for (const auto* const reason :
         {"requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute", "concurrent_requests",
          "budget_exhausted", "budget_contended", "budget_set_aside", "budget_unavailable", "ledger_full",
          "directory_stale", "in_flight_bytes_exhausted", "upstream_connect_failed", "upstream_unresolved"}) {
        EXPECT_EQ(fate_of(status_of(502, "api_error", reason)), fate::waiting) << reason;
    }
}

TEST(verdict, what_broke_is_tried_again) {
    for (const int status : {0, 401, 408, 500, 502, 503, 504, 302})
        EXPECT_EQ(fate_of(status_of(status)), fate::retry) << status;
    EXPECT_EQ(fate_of(in_stream("api_error", false)), fate::retry);
    EXPECT_EQ(fate_of(in_stream("", true)), fate::retry);
    for (const auto* const reason : {"upstream_cut", "upstream_idle_timeout", "internal"})
        EXPECT_EQ(fate_of(status_of(200, "api_error", reason)), fate::retry) << reason;
}

TEST(verdict, an_overload_after_content_has_used_up_the_attempt) {
    EXPECT_EQ(fate_of(in_stream("overloaded_error", true)), fate::retry);
}

TEST(verdict, our_own_refusal_of_the_owner_is_final_and_the_upstreams_of_our_credential_is_not) {
    EXPECT_EQ(fate_of(status_of(401, "authentication_error", "credential_expired")), fate::failed);
    EXPECT_EQ(fate_of(status_of(401, "authentication_error")), fate::retry);
}

TEST(verdict, the_end_of_the_process_hands_the_job_back) {
    EXPECT_EQ(fate_of(status_of(529, "overloaded_error", "shutting_down")), fate::handed_back);
}

// A fault of the client that is not a limit cannot be waited for; a fault of others always can be tried again.
TEST(verdict, every_kind_of_error_has_the_fate_of_whose_fault_it_is) {
    for (int i = 0; i <= static_cast<int>(base::errc_last); ++i) {
        const auto facts = base::facts_of(static_cast<base::errc>(i));
        const fate got = fate_of(status_of(facts.status, std::string(facts.type), std::string(facts.reason)));
        EXPECT_NE(got, fate::succeeded) << facts.reason;
        if (facts.whose != base::fault::client) EXPECT_NE(got, fate::failed) << facts.reason;
        if (facts.status == 400) EXPECT_EQ(got, fate::failed) << facts.reason;
    }
}

class run_after : public testing::Test {
protected:
    std::int64_t wait(std::uint32_t attempt, double jitter, std::optional<seconds> told = {},
                      std::int64_t expires_in = 1'000'000'000) {
        return run_after_of(rules, {.attempt = attempt,
                                    .retry_after = told,
                                    .now_ms = now,
                                    .expires_at_ms = now + expires_in,
                                    .jitter = jitter}) -
               now;
    }
    static constexpr std::int64_t now = 1'800'000'000'000;
    jobs::options rules{};
};

TEST_F(run_after, doubles_with_each_attempt_and_is_bounded) {
    EXPECT_EQ(wait(1, 1), 1'000);
    EXPECT_EQ(wait(2, 1), 2'000);
    EXPECT_EQ(wait(4, 1), 8'000);
    EXPECT_EQ(wait(1, 0), 500);
    EXPECT_EQ(wait(4'000'000'000, 1), rules.backoff_max.count());
    EXPECT_EQ(wait(0, 1), 1'000);
}

TEST_F(run_after, obeys_retry_after_and_never_comes_early) {
    EXPECT_EQ(wait(1, 0, seconds(7)), 7'000);
    EXPECT_EQ(wait(9, 1, seconds(10)), 11'000);
    EXPECT_EQ(wait(1, 0, seconds(86'400)), rules.backoff_max.count());  // a budget may be raised before its period ends
}

TEST_F(run_after, never_lies_behind_the_jobs_expiry) {
    EXPECT_EQ(wait(8, 1, {}, 5'000), 5'000);
    EXPECT_EQ(wait(1, 1, {}, -5), 0);
}

}  // namespace
}  // namespace worker
