#include "worker/pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "worker/test_rig.hpp"

namespace worker {
namespace {

// Jobs that a pool has claimed, kept by the test instead of being carried out.
class kept_jobs {
public:
    static net::task<void> keep(std::shared_ptr<job_in_hand> job) {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        co_return;
    }
    static std::shared_ptr<job_in_hand> of(std::uint32_t attempt) {
        const std::lock_guard lock(mutex_);
        const auto found = std::ranges::find(jobs_, attempt, &job_in_hand::attempt);
        return found == jobs_.end() ? nullptr : *found;
    }
    static void drop() {
        const std::lock_guard lock(mutex_);
        jobs_.clear();
    }

private:
    static inline std::mutex mutex_;
    static inline std::vector<std::shared_ptr<job_in_hand>> jobs_;
};

class pool_of_jobs : public testing::Test {
protected:
    pool_of_jobs() { workers_.start({&rig_.here}); }
    ~pool_of_jobs() override {
        rig_.reactor.stop();
        turning_.join();
        workers_.stop();
        courier_.stop();
        kept_jobs::drop();
    }
    std::shared_ptr<job_in_hand> claimed(std::uint32_t attempt) {
        EXPECT_TRUE(comes_true([&] {
            workers_.look();
            return kept_jobs::of(attempt) != nullptr;
        })) << "attempt "
            << attempt;
        return kept_jobs::of(attempt);
    }
    // A claim under way counts too.
    bool come_to_run(std::size_t jobs) {
        return comes_true([&] { return workers_.running() == jobs; });
    }
    interruption asked_of(const std::shared_ptr<job_in_hand>& job) {
        std::promise<interruption> told;
        rig_.reactor.post([&] { told.set_value(job->asked); });
        return told.get_future().get();
    }
    void leave(const std::shared_ptr<job_in_hand>& job, const job_end& how) {
        std::promise<void> done;
        rig_.reactor.post([&] {
            job->leave(how);
            done.set_value();
        });
        done.get_future().get();
    }

    test_rig rig_;
    upstream::quota quota_;
    announcer courier_{
        rig_.store, *rig_.queue, {.rules = rig_.rules, .hidden_for = std::chrono::seconds(60)}, rig_.log};
    pool workers_{{.store = rig_.store,
                   .queue = *rig_.queue,
                   .courier = courier_,
                   .rules = rig_.rules,
                   .hidden_for = std::chrono::seconds(60),
                   .quota = quota_,
                   .log = rig_.log,
                   .work = kept_jobs::keep}};
    std::thread turning_{[this] { rig_.reactor.run(); }};
};

// The lease ran out while nobody could say so, and this very process was the next to claim the job.
TEST_F(pool_of_jobs, that_is_claimed_again_has_its_new_attempt_held_and_the_old_one_ended) {
    rig_.submit("job_1");
    const auto first = claimed(1);
    test_clock += rig_.rules.lease.count();
    EXPECT_EQ(rig_.sweep().requeued, 1u);
    const auto second = claimed(2);
    EXPECT_EQ(asked_of(first), interruption::lost);
    EXPECT_EQ(asked_of(second), interruption::none);
    EXPECT_TRUE(come_to_run(2)) << "the first one has not gone yet";

    leave(first, {.outcome = "lost", .reason = {}});
    EXPECT_TRUE(come_to_run(1));
    workers_.cancel("job_1");
    EXPECT_EQ(asked_of(second), interruption::cancelled) << "it is still known";
    workers_.hand_back();
    EXPECT_EQ(asked_of(second), interruption::handed_back);
    leave(second, {.outcome = "handed_back", .reason = {}, .committed = true});
    EXPECT_TRUE(come_to_run(0));
    EXPECT_EQ(workers_.counts().leases_lost, 1u);
}

}  // namespace
}  // namespace worker
