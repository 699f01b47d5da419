#include "database/workers.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace database {
namespace {

class database_workers : public testing::Test {
public:
    database_workers() {
        auto pattern = (std::filesystem::temp_directory_path() / "workers-test-XXXXXX").string();
        folder = ::mkdtemp(pattern.data());
        settings.url = base::secret("sqlite:" + (folder / "a.db").string());
    }
    ~database_workers() override { std::filesystem::remove_all(folder); }

    std::filesystem::path folder;
    options settings;
};

TEST_F(database_workers, run_what_is_submitted_and_finish_it_before_they_end) {
    std::atomic<int> done = 0;
    {
        workers threads(settings);
        ASSERT_TRUE(threads.submit([](connection& on) { on.run_script("CREATE TABLE t (a)"); }));
        for (int i = 0; i < 100; ++i) {
            ASSERT_TRUE(threads.submit([&](connection& on) {
                on.query("SELECT 1");
                ++done;
            }));
        }
    }
    EXPECT_EQ(done, 100);
}

TEST_F(database_workers, one_thread_keeps_the_order) {
    settings.threads = 1;
    std::vector<int> order;
    {
        workers threads(settings);
        for (int i = 0; i < 50; ++i) threads.submit([&, i](connection&) { order.push_back(i); });
    }
    ASSERT_EQ(order.size(), 50u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(database_workers, tell_what_failed_and_go_on) {
    std::mutex mutex;
    std::vector<std::string> told;
    bool went_on = false;
    {
        settings.threads = 1;
        workers threads(settings, [&](const std::exception& problem) {
            const std::lock_guard held(mutex);
            told.push_back(problem.what());
        });
        threads.submit([](connection& on) { on.query("SELECT nothing"); });
        threads.submit([](connection& on) {
            on.begin();
            throw std::runtime_error("of the work itself");
        });
        threads.submit([&](connection& on) {
            const transaction next(on);  // the one that was left open is over
            went_on = true;
        });
    }
    EXPECT_TRUE(went_on);
    ASSERT_EQ(told.size(), 2u);
    EXPECT_NE(told[0].find("nothing"), std::string::npos);
    EXPECT_EQ(told[1], "of the work itself");
}

TEST_F(database_workers, refuse_more_than_their_queue_holds) {
    settings.threads = 1;
    settings.queue_max = 2;
    std::latch started(1), may_end(1);
    std::atomic<int> done = 0;
    {
        workers threads(settings);
        ASSERT_TRUE(threads.submit([&](connection&) {
            started.count_down();
            may_end.wait();
            ++done;
        }));
        started.wait();
        EXPECT_TRUE(threads.submit([&](connection&) { ++done; }));
        EXPECT_TRUE(threads.submit([&](connection&) { ++done; }));
        EXPECT_EQ(threads.waiting(), 2u);
        EXPECT_FALSE(threads.submit([&](connection&) { ++done; }));
        may_end.count_down();
    }
    EXPECT_EQ(done, 3);
}

TEST_F(database_workers, give_up_what_still_waits_when_the_end_takes_too_long) {
    settings.threads = 1;
    settings.statement_timeout = milliseconds(50);
    std::latch started(1), may_end(1);
    std::atomic<int> done = 0, told = 0;
    auto threads = std::make_unique<workers>(settings, [&](const std::exception&) { ++told; });
    threads->submit([&](connection&) {
        started.count_down();
        may_end.wait();
        ++done;
    });
    threads->submit([&](connection&) { ++done; });
    started.wait();
    std::atomic<bool> is_gone = false;
    const auto* watched = threads.get();
    std::thread ending([&] {
        delete threads.release();
        is_gone = true;
    });
    while (watched->waiting() > 0) std::this_thread::yield();
    EXPECT_FALSE(is_gone) << "work that runs is never torn out of a thread";
    may_end.count_down();
    ending.join();
    EXPECT_EQ(done, 1);
    EXPECT_EQ(told, 1);
}

TEST_F(database_workers, a_url_that_is_none_is_told_at_once) {
    settings.url = base::secret("nonsense");
    EXPECT_THROW(workers threads(settings), failure);
}

}  // namespace
}  // namespace database
