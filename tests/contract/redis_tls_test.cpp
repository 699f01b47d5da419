// Redis over TLS: the same limits and the same channel, and who is not believed.
#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "limit_replica.hpp"
#include "redis/channel.hpp"
#include "redis/connection.hpp"

namespace contract {
namespace {

using namespace std::chrono_literals;

redis::options over_tls() {
    redis::options settings = settings_of_test();
    settings.url = base::secret(environment("TEST_TLS_REDIS_URL"));
    return settings;
}

// The server's URL with something else before the host, and perhaps another host.
std::string url_with(std::string_view scheme, std::string_view host, std::string_view path = {}) {
    const std::string url = environment("TEST_TLS_REDIS_URL");
    return std::string(scheme).append(host).append(url.substr(url.rfind(':'))).append(path);
}

// What a PING brings: its answer, or why there is none.
std::string ping(const redis::options& settings) {
    const auto where = redis::address_of(settings);
    if (!where) return where.error().detail;
    auto opened = redis::connection::open(*where, 5s);
    if (!opened) return opened.error();
    const std::string_view words[] = {"PING"};
    const auto got = opened->run(words);
    return got ? got->text : got.error();
}

std::string ping(std::string url) {
    redis::options settings = over_tls();
    settings.url = base::secret(std::move(url));
    return ping(settings);
}

TEST(redis_over_tls, carries_commands_and_replies_of_many_records) {
    auto opened = redis::connection::open(redis::address_of(over_tls()).value(), 20s);
    ASSERT_TRUE(opened) << opened.error();
    const std::string key = "t:tls:" + std::to_string(getpid());
    std::string large(1'000'000, 'x');
    for (std::size_t i = 0; i < large.size(); i += 7) large[i] = static_cast<char>('a' + i % 26);
    const std::string_view set[] = {"SET", key, large, "EX", "60"};
    ASSERT_TRUE(opened->run(set));
    const std::string_view get[] = {"GET", key};
    opened->add(get);
    opened->add(get);
    EXPECT_EQ(opened->read().value().text, large);
    EXPECT_EQ(opened->read().value().text, large);
}

TEST(redis_over_tls, knows_user_password_and_database) {
    EXPECT_EQ(ping(url_with("rediss://gateway:p%40ss@", "localhost", "/3")), "PONG");
    EXPECT_TRUE(ping(url_with("rediss://gateway:wrong@", "localhost")).starts_with("WRONGPASS"));
    EXPECT_EQ(ping(url_with("rediss://", "localhost", "/999")), "ERR DB index is out of range");
}

TEST(redis_over_tls, believes_no_unknown_authority) {
    redis::options settings = over_tls();
    settings.ca_file.clear();
    const auto why = ping(settings);
    EXPECT_TRUE(why.starts_with(redis::certificate_refused)) << why;
}

TEST(redis_over_tls, believes_no_certificate_for_another_name) {
    EXPECT_EQ(ping(url_with("rediss://", "127.0.0.1")), "the certificate is refused: IP address mismatch");
}

TEST(redis_over_tls, is_not_reached_without_it) {
    const auto why = ping(url_with("redis://", "localhost"));
    EXPECT_TRUE(why == "the server has closed the connection" || why == "Connection reset by peer") << why;
}

TEST(redis_over_tls, shares_limits) {
    const auto what = limit_of({.requests_per_minute = 200});
    limit_replica one(what, over_tls()), other(what, over_tls());
    one.ready();
    other.ready();
    const int passed = one.passing(150) + other.passing(150);
    EXPECT_GE(passed, 198) << "one part in a hundred may be with the other one";
    EXPECT_LE(passed, 202) << "what refills meanwhile";
}

TEST(redis_over_tls, says_why_limits_are_not_shared) {
    redis::options settings = over_tls();
    settings.ca_file.clear();
    std::mutex mutex;
    std::string told;
    redis::shared_limits shared(settings, redis::address_of(settings).value(),
                                [&](bool available, std::string_view why) {
                                    const std::lock_guard lock(mutex);
                                    told = available ? "available" : std::string(why);
                                });
    EXPECT_TRUE(eventually([&] {
        const std::lock_guard lock(mutex);
        return told.starts_with(redis::certificate_refused);
    })) << told;
}

class listener {
public:
    listener() {
        redis::channel::listeners tell;
        tell.heard = [this](std::string_view line) {
            const std::lock_guard lock(mutex_);
            heard_.emplace(line);
        };
        tell.report = [this](bool connected, std::string_view) { connected_ = connected; };
        const redis::options settings{.url = over_tls().url, .ca_file = over_tls().ca_file};
        channel_ =
            std::make_unique<redis::channel>(settings, redis::address_of(settings).value(), "t:tls", std::move(tell));
    }
    void say(std::string line) { channel_->say(std::move(line)); }
    bool is_connected() const { return connected_; }
    std::size_t heard() {
        const std::lock_guard lock(mutex_);
        return heard_.size();
    }
    bool has_heard(const std::string& line) {
        const std::lock_guard lock(mutex_);
        return heard_.contains(line);
    }

private:
    std::mutex mutex_;
    std::set<std::string> heard_;
    std::atomic<bool> connected_{false};
    std::unique_ptr<redis::channel> channel_;
};

TEST(redis_over_tls, carries_what_replicas_tell_each_other) {
    listener one, two;
    ASSERT_TRUE(eventually([&] { return one.is_connected() && two.is_connected(); }));
    for (int i = 0; i < 20'000; ++i) one.say("a line that is long enough to fill records, number " + std::to_string(i));
    EXPECT_TRUE(eventually([&] { return two.heard() == 20'000; }, 20s)) << two.heard();
    two.say("answer");
    EXPECT_TRUE(eventually([&] { return one.has_heard("answer"); }));
}

TEST(redis_over_tls, comes_back_after_an_outage_and_a_hang_is_noticed) {
    listener one, two;
    ASSERT_TRUE(eventually([&] { return one.is_connected() && two.is_connected(); }));
    {
        outage away("kill tls_redis", "start tls_redis");
        EXPECT_TRUE(eventually([&] { return !one.is_connected() && !two.is_connected(); }));
    }
    ASSERT_TRUE(eventually([&] { return one.is_connected() && two.is_connected(); }));
    EXPECT_TRUE(eventually([&] {
        one.say("again");
        return two.has_heard("again");
    }));
    outage hangs("freeze tls_redis", "thaw tls_redis");
    EXPECT_TRUE(eventually([&] { return !one.is_connected(); }));
}

}  // namespace
}  // namespace contract
