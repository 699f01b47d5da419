#include "worker/run_job.hpp"

#include <gtest/gtest.h>

#include "worker/test_rig.hpp"

namespace worker {
namespace {

// An exception, or the end of the reactor: the pool, which holds the job too, must not go on with its heartbeats.
TEST(run_job, is_over_for_whoever_holds_the_job_however_its_frame_ends) {
    test_rig rig;
    jobs::claimed what;
    what.about.id = "job_1";
    what.about.attempt = 1;
    what.events = 1;  // of an earlier attempt: they are asked for, and the test does not wait for them
    std::vector<std::string> heard;
    const auto job = std::make_shared<job_in_hand>(rig.here, std::move(what),
                                                   [&](const job_end& how) { heard.emplace_back(how.outcome); });
    rig.reactor.post([&] {
        rig.reactor.spawn(run_job(job));
        rig.reactor.stop();
    });
    rig.reactor.run();
    EXPECT_EQ(rig.reactor.running(), 1u);
    EXPECT_TRUE(heard.empty());
    rig.reactor.abandon_tasks();
    EXPECT_EQ(heard, std::vector<std::string>{"abandoned"});
    EXPECT_EQ(job->clock, nullptr);
}

}  // namespace
}  // namespace worker
