// Lines from replica to replica through Redis, and what becomes of them while it is away.
#include <gtest/gtest.h>

#include <set>

#include "limit_replica.hpp"
#include "redis/channel.hpp"

namespace contract {
namespace {

class listening_replica {
public:
    explicit listening_replica(std::string name) {
        redis::options settings;
        settings.url = base::secret(environment("TEST_REDIS_URL"));
        settings.ca_file = environment("TEST_TLS_REDIS_CA_FILE");  // of a rediss URL only
        redis::channel::listeners tell;
        tell.heard = [this](std::string_view line) {
            const std::lock_guard lock(mutex_);
            heard_.emplace(line);
        };
        tell.report = [this](bool connected, std::string_view) {
            connected_ = connected;
            ++reports;
        };
        channel_ =
            std::make_unique<redis::channel>(settings, *redis::address_of(settings), std::move(name), std::move(tell));
    }
    void say(std::string line) { channel_->say(std::move(line)); }
    bool connected() const { return connected_; }
    std::size_t count(const std::string& line) {
        const std::lock_guard lock(mutex_);
        return heard_.count(line);
    }
    std::size_t size() {
        const std::lock_guard lock(mutex_);
        return heard_.size();
    }
    const redis::channel::counts& counted() const { return channel_->counted(); }
    std::atomic<int> reports{0};

private:
    std::mutex mutex_;
    std::multiset<std::string> heard_;
    std::atomic<bool> connected_{false};
    std::unique_ptr<redis::channel> channel_;
};

bool all_connected(std::initializer_list<const listening_replica*> replicas) {
    return eventually([&] { return std::ranges::all_of(replicas, &listening_replica::connected); });
}

TEST(redis_channel, a_line_reaches_all_others_and_not_its_speaker) {
    listening_replica one("t:reach"), two("t:reach"), three("t:reach"), stranger("t:elsewhere");
    ASSERT_TRUE(all_connected({&one, &two, &three, &stranger}));
    one.say("l job_1");
    two.say("e job_2");
    EXPECT_TRUE(eventually([&] { return three.count("l job_1") == 1 && three.count("e job_2") == 1; }));
    EXPECT_TRUE(eventually([&] { return two.count("l job_1") == 1 && one.count("e job_2") == 1; }));
    EXPECT_EQ(one.count("l job_1") + two.count("e job_2") + stranger.size(), 0u);
}

TEST(redis_channel, thousands_of_lines_arrive_and_the_same_ones_share_a_message) {
    listening_replica one("t:many"), two("t:many");
    ASSERT_TRUE(all_connected({&one, &two}));
    for (int round = 0; round < 20; ++round)
        for (int i = 0; i < 3'000; ++i) one.say("line " + std::to_string(i));
    EXPECT_TRUE(eventually([&] {
        for (int i = 0; i < 3'000; ++i)
            if (two.count("line " + std::to_string(i)) == 0) return false;
        return one.counted().said == two.counted().heard;
    }));
    EXPECT_LT(two.size(), 60'000u) << "nothing was put together";
    EXPECT_EQ(one.counted().lost, 0u);
}

TEST(redis_channel, a_replica_that_ends_says_what_it_had_to_say) {
    listening_replica two("t:end");
    {
        listening_replica one("t:end");
        ASSERT_TRUE(all_connected({&one, &two}));
        for (int i = 0; i < 100; ++i) one.say("last " + std::to_string(i));
    }
    EXPECT_TRUE(eventually([&] { return two.size() == 100; }));
}

TEST(redis_channel, nobody_waits_for_a_redis_that_is_away_and_lines_come_again_when_it_is_back) {
    listening_replica one("t:outage"), two("t:outage");
    ASSERT_TRUE(all_connected({&one, &two}));
    {
        outage away("kill redis", "start redis");
        EXPECT_TRUE(eventually([&] { return !one.connected() && !two.connected(); }));
        const auto began = now_us();
        for (int i = 0; i < 10'000; ++i) one.say("nobody hears " + std::to_string(i));
        EXPECT_LT(now_us() - began, 1'000'000 * time_scale());
    }
    ASSERT_TRUE(all_connected({&one, &two}));
    EXPECT_TRUE(eventually([&] {
        one.say("again");
        return two.count("again") > 0;
    }));
    EXPECT_EQ(one.reports, 3) << "there, away, there";
}

TEST(redis_channel, a_redis_that_hangs_is_noticed) {
    listening_replica one("t:hang");
    ASSERT_TRUE(all_connected({&one}));
    outage hangs("freeze redis", "thaw redis");
    EXPECT_TRUE(eventually([&] { return !one.connected(); }));
}

}  // namespace
}  // namespace contract
