#include "worker/announcer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "worker/test_rig.hpp"

namespace worker {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t many = 50'000;

// A queue that takes its time for every call, and remembers them.
class slow_queue : public queue::port {
public:
    std::vector<std::size_t> send(std::span<const queue::message> messages) override {
        note("send");
        sent += messages.size();
        return {};
    }
    std::vector<queue::delivery> receive(std::size_t, milliseconds) override { return {}; }
    void extend(std::span<const std::string>, std::chrono::seconds) override { note("extend"); }
    void remove(std::span<const std::string> receipts) override {
        note("remove");
        removed += receipts.size();
    }
    queue::depth look() override { return {}; }
    std::size_t redrive(std::size_t) override { return 0; }
    void stop() override {}

    bool was_called(const std::string& which) {
        const std::lock_guard lock(mutex_);
        return std::ranges::find(calls_, which) != calls_.end();
    }
    std::atomic<std::size_t> sent = 0, removed = 0;
    std::atomic<bool> is_slow = true;

private:
    void note(const std::string& call) {
        if (is_slow) std::this_thread::sleep_for(milliseconds(2));
        const std::lock_guard lock(mutex_);
        calls_.push_back(call);
    }
    std::mutex mutex_;
    std::vector<std::string> calls_;
};

std::vector<std::string> receipts() { return std::vector<std::string>(many, "receipt"); }

struct announcers {
    test_rig rig;
    slow_queue queue;
    announcer courier{rig.store,
                      queue,
                      {.rules = rig.rules, .hidden_for = std::chrono::seconds(60), .goodbye = milliseconds(20)},
                      rig.log};
    void announce_many() {
        for (std::size_t i = 0; i < many; ++i) courier.announce("job_" + std::to_string(i));
    }
};

TEST(announcer, extends_before_everything_that_stands_in_line) {
    announcers with;
    with.announce_many();
    with.courier.remove(receipts());
    with.courier.start();
    ASSERT_TRUE(comes_true([&] { return with.queue.was_called("send") && with.queue.was_called("remove"); }));
    with.courier.extend({"receipt"});
    ASSERT_TRUE(comes_true([&] { return with.queue.was_called("extend"); }));
    EXPECT_LT(with.queue.sent, many);
    EXPECT_LT(with.queue.removed, many);
    with.queue.is_slow = false;
    EXPECT_TRUE(comes_true([&] { return with.queue.sent == many && with.queue.removed == many; })) << "all in the end";
}

TEST(announcer, stops_soon_however_much_waits) {
    announcers with;
    with.announce_many();
    with.courier.remove(receipts());
    with.courier.start();
    ASSERT_TRUE(comes_true([&] { return with.queue.was_called("send"); }));
    with.courier.stop();
    EXPECT_LT(with.queue.sent, many) << "a sweeper finds them";
    EXPECT_LT(with.queue.removed, many);
}

TEST(announcer, removes_what_it_can_at_its_end) {
    announcers with;
    with.queue.is_slow = false;
    with.courier.start();
    with.courier.remove({"one", "two"});
    with.courier.stop();
    EXPECT_EQ(with.queue.removed, 2u);
}

TEST(announcer, tells_clocks_that_endanger_leases) {
    jobs::options rules;
    rules.lease = milliseconds(15'000);
    rules.heartbeat_every = milliseconds(5'000);
    EXPECT_FALSE(is_clock_off(rules, 0));
    EXPECT_FALSE(is_clock_off(rules, 5'000));
    EXPECT_FALSE(is_clock_off(rules, -5'000));
    EXPECT_TRUE(is_clock_off(rules, 5'001));
    EXPECT_TRUE(is_clock_off(rules, -5'001));
}

}  // namespace
}  // namespace worker
