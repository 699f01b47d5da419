#include "jobs/rules.hpp"

#include <gtest/gtest.h>

namespace jobs::rules {
namespace {

record queued() {
    record made;
    made.attempts_max = 2;
    made.expires_at = 1'000;
    return made;
}
record running() {
    auto made = queued();
    claim(made, "w", 10, 100);
    return made;
}

TEST(job_rules, a_claim_needs_a_queued_job_whose_time_has_come) {
    auto job = queued();
    job.run_after = 11;
    EXPECT_EQ(claim(job, "w", 10, 100).how, outcome::conflict);
    EXPECT_EQ(job.attempt, 0);
    const auto also = claim(job, "w", 11, 100);
    EXPECT_TRUE(also.moved && also.left_queue && !also.ended);
    EXPECT_EQ(job.attempt, 1);
    EXPECT_EQ(job.attempts_used, 1);
    EXPECT_EQ(job.lease_until, 111);
    EXPECT_EQ(job.worker, "w");
    EXPECT_EQ(claim(job, "v", 12, 100).how, outcome::conflict);
    auto late = queued();
    EXPECT_EQ(claim(late, "w", 1'000, 100).how, outcome::conflict) << "it has expired";
}

TEST(job_rules, only_the_current_attempt_of_a_running_job_may_write) {
    auto job = running();
    EXPECT_TRUE(is_held(job, 1));
    EXPECT_FALSE(is_held(job, 0));
    EXPECT_FALSE(is_held(job, 2));
    EXPECT_EQ(heartbeat(job, 2, 20, 100).how, outcome::fenced);
    EXPECT_EQ(finish(job, 2, ending::way::succeeded, 0, 20, 1).how, outcome::fenced);
    sweep(job, 110, 1);
    EXPECT_EQ(job.state, status::queued);
    EXPECT_FALSE(is_held(job, 1));
}

TEST(job_rules, a_heartbeat_never_shortens_a_lease) {
    auto job = running();
    heartbeat(job, 1, 5, 50);
    EXPECT_EQ(job.lease_until, 110);
    heartbeat(job, 1, 60, 100);
    EXPECT_EQ(job.lease_until, 160);
}

TEST(job_rules, a_final_job_stays_as_it_is) {
    for (const auto how : {ending::way::succeeded, ending::way::failed, ending::way::cancelled}) {
        auto job = running();
        EXPECT_TRUE(finish(job, 1, how, 0, 20, 5).ended);
        EXPECT_EQ(job.finished_at, 20);
        EXPECT_EQ(job.delete_at, 25);
        const auto before = job;
        EXPECT_FALSE(finish(job, 1, ending::way::succeeded, 0, 21, 5).moved);
        EXPECT_FALSE(cancel(job, 21, 5).moved);
        EXPECT_FALSE(claim(job, "w", 21, 100).moved);
        EXPECT_FALSE(sweep(job, 99'999, 5).moved);
        EXPECT_FALSE(announced(job, 21).moved);
        EXPECT_FALSE(redrive(job, 21).moved);
        EXPECT_EQ(job, before);
    }
}

TEST(job_rules, a_retry_counts_and_a_wait_does_not) {
    auto job = running();
    finish(job, 1, ending::way::waiting, 30, 20, 5);
    EXPECT_EQ(job.state, status::queued);
    EXPECT_EQ(job.attempts_used, 0);
    EXPECT_EQ(job.run_after, 30);
    claim(job, "w", 30, 100);
    finish(job, 2, ending::way::retry, 40, 35, 5);
    EXPECT_EQ(job.attempts_used, 1);
    EXPECT_EQ(job.run_after, 40);
    claim(job, "w", 40, 100);
    EXPECT_TRUE(finish(job, 3, ending::way::retry, 60, 50, 5).ended);
    EXPECT_EQ(job.state, status::dead);
}

TEST(job_rules, what_goes_back_after_its_end_has_expired) {
    auto job = running();
    EXPECT_TRUE(finish(job, 1, ending::way::waiting, 2'000, 1'000, 5).ended);
    EXPECT_EQ(job.state, status::expired);
}

TEST(job_rules, a_lost_lease_counts_as_an_attempt) {
    auto job = running();
    EXPECT_FALSE(sweep(job, 109, 5).moved);
    auto also = sweep(job, 110, 5);
    EXPECT_EQ(also.history, "lost");
    EXPECT_FALSE(also.left_queue) << "its money went with the claim";
    EXPECT_EQ(job.state, status::queued);
    claim(job, "v", 120, 100);
    also = sweep(job, 220, 5);
    EXPECT_TRUE(also.ended);
    EXPECT_EQ(job.state, status::dead);
}

TEST(job_rules, a_job_in_a_batch_has_no_lease_to_lose_and_ends_by_the_hand_of_its_batch) {
    auto job = running();
    EXPECT_EQ(enter_batch(job, 2, 20).how, outcome::fenced);
    EXPECT_TRUE(enter_batch(job, 1, 20).moved);
    EXPECT_TRUE(is_in_batch(job));
    const auto inside = job;
    EXPECT_FALSE(sweep(job, 999'999, 5).moved);
    heartbeat(job, 1, 30, 100);
    EXPECT_EQ(job, inside) << "a late heartbeat does not bring the lease back";
    EXPECT_TRUE(finish(job, 1, ending::way::succeeded, 0, 40, 5).ended);
    EXPECT_FALSE(is_in_batch(job));
}

TEST(job_rules, a_cancelled_job_in_a_batch_ends_at_once_and_what_comes_of_it_is_refused) {
    auto job = running();
    enter_batch(job, 1, 20);
    const auto also = cancel(job, 30, 5);
    EXPECT_TRUE(also.ended);
    EXPECT_FALSE(also.left_queue) << "its money is the batch's";
    EXPECT_EQ(also.history, "cancelled");
    EXPECT_EQ(job.state, status::cancelled);
    EXPECT_EQ(finish(job, 1, ending::way::succeeded, 0, 40, 5).how, outcome::fenced);
    EXPECT_EQ(job.state, status::cancelled);
}

TEST(job_rules, a_job_that_is_to_be_cancelled_enters_no_batch) {
    auto job = running();
    cancel(job, 15, 5);
    EXPECT_EQ(enter_batch(job, 1, 20).how, outcome::conflict);
    EXPECT_FALSE(is_in_batch(job));
}

TEST(job_rules, a_job_that_was_to_be_cancelled_does_not_run_again) {
    for (const auto how : {ending::way::retry, ending::way::waiting, ending::way::handed_back}) {
        auto job = running();
        EXPECT_FALSE(cancel(job, 15, 5).ended);
        EXPECT_TRUE(finish(job, 1, how, 30, 20, 5).ended);
        EXPECT_EQ(job.state, status::cancelled);
    }
    auto job = running();
    cancel(job, 15, 5);
    sweep(job, 110, 5);
    EXPECT_EQ(job.state, status::cancelled);
    auto done = running();
    cancel(done, 15, 5);
    finish(done, 1, ending::way::succeeded, 0, 20, 5);
    EXPECT_EQ(done.state, status::succeeded) << "it was faster";
}

TEST(job_rules, a_dead_job_starts_anew_with_as_much_time_as_it_had) {
    auto job = queued();
    job.created_at = 400;
    job.attempts_used = 2;
    job.attempt = 2;
    job.state = status::dead;
    job.finished_at = 500;
    job.delete_at = 600;
    EXPECT_TRUE(redrive(job, 5'000).moved);
    EXPECT_EQ(job.state, status::queued);
    EXPECT_EQ(job.attempts_used, 0);
    EXPECT_EQ(job.attempt, 2) << "the fencing token only grows";
    EXPECT_EQ(job.expires_at, 5'600);
    EXPECT_FALSE(job.finished_at || job.delete_at);
}

TEST(job_rules, priority_is_worth_waiting) {
    using std::chrono::milliseconds;
    EXPECT_LT(rank(1'000, 1, milliseconds(60'000)), rank(1'000, 0, milliseconds(60'000)));
    EXPECT_LT(rank(1'000, 0, milliseconds(60'000)), rank(61'001, 1, milliseconds(60'000)))
        << "in the end it is its turn";
}

TEST(job_rules, the_team_with_the_fewest_running_comes_first) {
    const std::vector<contender> teams = {
        {.running = 2, .waiting = {{1, "a1"}, {2, "a2"}}},
        {.running = 0, .waiting = {{10, "b1"}, {11, "b2"}, {12, "b3"}, {13, "b4"}}},
        {.running = 1, .waiting = {{5, "c1"}, {6, "c2"}}},
    };
    EXPECT_EQ(choose(teams, 1), (std::vector<std::string>{"b1"}));
    EXPECT_EQ(choose(teams, 6), (std::vector<std::string>{"b1", "c1", "b2", "a1", "c2", "b3"}));
    EXPECT_EQ(choose(teams, 100).size(), 8);
    EXPECT_TRUE(choose({}, 3).empty());
}

TEST(job_rules, the_last_event_is_one_line_of_data) {
    EXPECT_EQ(terminal_event(status::cancelled, "", 7),
              "id: 7\nevent: job\ndata: {\"type\":\"job\",\"status\":\"cancelled\"}\n\n");
    EXPECT_EQ(
        terminal_event(status::dead, "{\"type\":\"error\",\"error\":{\n \"type\": \"api_error\"\r\n}}", 1),
        "id: 1\nevent: job\ndata: {\"type\":\"job\",\"status\":\"dead\",\"error\":{  \"type\": \"api_error\"  }}\n\n")
        << "the error inside of the envelope, as GET /v1/jobs/ID has it";
}

TEST(job_rules, retries_back_off_with_jitter) {
    const options of;
    EXPECT_EQ(backoff(of, 1, 1).count(), 1'000);
    EXPECT_EQ(backoff(of, 1, 0).count(), 500);
    EXPECT_EQ(backoff(of, 3, 1).count(), 4'000);
    EXPECT_EQ(backoff(of, 4'000'000, 1), of.backoff_max);
}

TEST(job_rules, names_are_read_as_they_are_written) {
    for (int i = 0; i < 7; ++i) EXPECT_EQ(status_named(name_of(static_cast<status>(i))), static_cast<status>(i));
    for (int i = 0; i < 2; ++i) EXPECT_EQ(lane_named(name_of(static_cast<lane>(i))), static_cast<lane>(i));
    EXPECT_FALSE(status_named("Queued"));
    EXPECT_FALSE(lane_named(""));
}

}  // namespace
}  // namespace jobs::rules
