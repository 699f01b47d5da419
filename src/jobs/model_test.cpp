// Every order of events in small worlds, and thousands of random ones in larger: jobs are never lost, never end twice,
// a lost lease writes nothing, logs have no gaps, money comes back, and everything ends when the faults do.
#include "jobs/model.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <unordered_map>

#include "jobs/model_world.hpp"

namespace jobs::model {
namespace {

constexpr std::size_t rounds_max = 60;  // without faults; a lease is lost after two, a retry waits for one

struct explored {
    std::size_t states = 0;
    std::size_t moves = 0;
    std::optional<std::string> trouble;
};

// Breadth first, each world once.
explored explore(const world_size& size) {
    explored made;
    std::unordered_map<std::string, bool> seen;
    std::deque<world> next{world(size)};
    seen.emplace(next.front().key(), true);
    while (!next.empty()) {
        const world now = std::move(next.front());
        next.pop_front();
        ++made.states;
        if (!now.ends_by_itself(rounds_max)) {
            made.trouble = "it does not end when the faults do";
            return made;
        }
        for (const auto& step : now.steps()) {
            world then = now;
            then.take(step);
            ++made.moves;
            made.trouble = then.trouble();
            if (made.trouble) return made;
            if (seen.emplace(then.key(), true).second) next.push_back(std::move(then));
        }
    }
    return made;
}

void explore_and_print(const char* what, const world_size& size) {
    const auto found = explore(size);
    std::printf("[ MEASURED ] %s: %zu states, %zu moves, none of them wrong\n", what, found.states, found.moves);
    EXPECT_EQ(found.trouble.value_or(""), "");
    EXPECT_GT(found.states, 100);
}

TEST(jobs_model, every_order_of_events_of_one_job_is_right) {
    explore_and_print("1 job, 2 workers, 3 faults", {.jobs = 1, .workers = 2, .faults = 3});
    explore_and_print("1 job, 2 workers, 2 faults, it expires early",
                      {.jobs = 1, .workers = 2, .faults = 2, .waits = 0, .expires_after = 4});
    explore_and_print("1 job, 2 workers, 3 attempts, 1 fault",
                      {.jobs = 1, .workers = 2, .attempts_max = 3, .faults = 1, .waits = 0});
}

TEST(jobs_model, every_order_of_events_of_two_jobs_is_right) {
    explore_and_print("2 jobs, 2 workers, 1 fault",
                      {.jobs = 2, .workers = 2, .attempts_max = 1, .faults = 1, .cancels = 1, .waits = 0, .events = 1});
}

TEST(jobs_model, thousands_of_random_orders_are_right) {
    const auto first = std::random_device()();
    constexpr unsigned schedules = 3'000;
    constexpr unsigned steps = 150;
    const world_size size{.jobs = 6,
                          .workers = 3,
                          .attempts_max = 3,
                          .faults = 20,
                          .cancels = 3,
                          .waits = 8,
                          .events = 4,
                          .expires_after = 40};
    for (unsigned i = 0; i < schedules; ++i) {
        std::mt19937 random(first + i);
        world now(size);
        for (unsigned at = 0; at < steps; ++at) {
            const auto possible = now.steps();
            now.take(possible[random() % possible.size()]);
            const auto trouble = now.trouble();
            ASSERT_FALSE(trouble) << *trouble << ", seed " << first + i << ", step " << at;
        }
        ASSERT_TRUE(now.ends_by_itself(200)) << "it does not end, seed " << first + i;
    }
    std::printf("[ MEASURED ] %u schedules of %u steps from seed %u\n", schedules, steps, first);
}

// The checks find what they are there for.
TEST(jobs_model, each_flaw_is_found) {
    for (const auto broken : {flaw::writes_are_not_fenced, flaw::endings_are_not_fenced,
                              flaw::an_ending_that_was_answered_by_nobody_is_repeated, flaw::lost_leases_are_forgotten,
                              flaw::holds_of_cancelled_jobs_stay, flaw::nothing_is_announced_again}) {
        const auto found = explore({.jobs = 1, .workers = 2, .faults = 2, .broken = broken});
        EXPECT_TRUE(found.trouble) << "flaw " << static_cast<int>(broken);
    }
}

}  // namespace
}  // namespace jobs::model
