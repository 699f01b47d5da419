#include "net/reactor.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace net;

task<void> wait_for(reactor& loop, std::int64_t milliseconds, std::string name, std::vector<std::string>& seen) {
    timer clock(loop);
    clock.set_after(milliseconds);
    wait_op pause{nullptr, false, false, nullptr, clock};
    const wake why = co_await pause;
    seen.push_back(name + (why == wake::timeout ? " timeout" : " other"));
}

task<void> stop_after(reactor& loop, std::int64_t milliseconds) {
    timer clock(loop);
    clock.set_after(milliseconds);
    wait_op pause{nullptr, false, false, nullptr, clock};
    co_await pause;
    loop.stop();
}

TEST(reactor, waits_end_in_the_order_of_their_deadlines_and_never_early) {
    reactor loop;
    std::vector<std::string> seen;
    loop.spawn(wait_for(loop, 60, "late", seen));
    loop.spawn(wait_for(loop, 0, "at once", seen));
    loop.spawn(wait_for(loop, 20, "early", seen));
    loop.spawn(stop_after(loop, 120));
    const std::int64_t begin = monotonic_us();
    loop.run();
    EXPECT_EQ(seen, (std::vector<std::string>{"at once timeout", "early timeout", "late timeout"}));
    EXPECT_GE(monotonic_us() - begin, 120'000);
    EXPECT_EQ(loop.running(), 0u);
}

task<void> moved_later(reactor& loop, timer& clock, std::int64_t& woken_after_ms) {
    const std::int64_t begin = loop.now_ms();
    clock.set_after(20);
    {
        wait_op first{nullptr, false, false, nullptr, clock};
        co_await first;
    }
    clock.set_after(300);  // linked for later, then moved to an earlier time
    clock.set_after(40);
    wait_op second{nullptr, false, false, nullptr, clock};
    co_await second;
    woken_after_ms = loop.now_ms() - begin;
    loop.stop();
}

TEST(reactor, a_deadline_can_be_moved_both_ways) {
    reactor loop;
    timer clock(loop);
    std::int64_t woken_after_ms = 0;
    loop.spawn(moved_later(loop, clock, woken_after_ms));
    loop.run();
    EXPECT_GE(woken_after_ms, 60);
    EXPECT_LT(woken_after_ms, 250);
}

task<void> cancelled(timer& clock, std::vector<wake>& reasons) {
    for (int i = 0; i < 2; ++i) {
        wait_op pause{nullptr, false, false, nullptr, clock};
        reasons.push_back(co_await pause);
    }
}

task<void> cancel_soon(reactor& loop, timer& clock) {
    co_await loop.yield();
    clock.cancel();
    co_await loop.yield();
    co_await loop.yield();
    loop.stop();
}

TEST(reactor, a_cancelled_timer_ends_this_wait_and_the_next) {
    reactor loop;
    timer clock(loop);
    std::vector<wake> reasons;
    loop.spawn(cancelled(clock, reasons));
    loop.spawn(cancel_soon(loop, clock));
    loop.run();
    EXPECT_EQ(reasons, (std::vector<wake>{wake::cancelled, wake::cancelled}));
}

TEST(reactor, work_posted_by_another_thread_runs_on_the_loop) {
    reactor loop;
    std::thread::id ran_on;
    std::thread other([&] {
        loop.post([&] {
            ran_on = std::this_thread::get_id();
            loop.stop();
        });
    });
    loop.run();
    other.join();
    EXPECT_EQ(ran_on, std::this_thread::get_id());
}

task<int> fails() {
    throw std::runtime_error("inner");
    co_return 1;
}

task<void> awaits_a_failure(std::string& caught) {
    try {
        co_await fails();
    } catch (const std::runtime_error& problem) {
        caught = problem.what();
    }
    throw std::logic_error("outer");
}

TEST(reactor, exceptions_travel_to_the_awaiting_task_and_then_to_on_failure) {
    reactor loop;
    std::string caught;
    std::string reported;
    loop.on_failure = [&](std::exception_ptr failure) {
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& problem) {
            reported = problem.what();
        }
        loop.stop();
    };
    loop.spawn(awaits_a_failure(caught));
    loop.run();
    EXPECT_EQ(caught, "inner");
    EXPECT_EQ(reported, "outer");
}

TEST(reactor, tasks_that_still_wait_are_destroyed_with_what_they_own) {
    std::vector<std::string> seen;
    reactor loop;
    loop.spawn(wait_for(loop, 1'000'000, std::string(100, 'x'), seen));
    loop.spawn(stop_after(loop, 10));
    loop.run();
    EXPECT_EQ(loop.running(), 1u);
    loop.abandon_tasks();
    EXPECT_EQ(loop.running(), 0u);
    EXPECT_TRUE(seen.empty());
}

}  // namespace
