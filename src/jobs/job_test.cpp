#include "jobs/job.hpp"

#include <gtest/gtest.h>

namespace jobs {
namespace {

constexpr std::int64_t noon_us = 1'795'521'600'000'000;  // 2026-11-24T12:00:00Z

TEST(job_ids, say_when_the_job_was_created) {
    const auto id = new_id(noon_us + 1'999, "abcdefghijklm");
    EXPECT_EQ(id.size(), 28u);
    EXPECT_EQ(created_at_of(id), noon_us / 1'000 + 1);
    EXPECT_EQ(created_at_of(new_id(0, "0123456789abc")), 0);
}

TEST(job_ids, sort_as_their_jobs_were_created) {
    EXPECT_LT(new_id(noon_us, "zzzzzzzzzzzzz"), new_id(noon_us + 1, "0000000000000"));
    EXPECT_LT(new_id(noon_us, "zzzzzzzzzzzzz"), new_id(noon_us * 2, "0000000000000"));
}

TEST(job_ids, that_no_job_could_have_say_nothing) {
    for (const auto* id : {"", "job_", "job_1", "job_000000000000000000000001x", "msg_000000000000000000000001",
                           "job_00000000000000000000000A", "job_00000000000-000000000001"}) {
        EXPECT_FALSE(created_at_of(id)) << id;
    }
}

}  // namespace
}  // namespace jobs
