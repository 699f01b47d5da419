#include "redis/connection.hpp"

#include <gtest/gtest.h>

namespace redis {
namespace {

TEST(redis_address, is_read_from_a_url) {
    const auto plain = parse_address("redis://cache.internal").value();
    EXPECT_EQ(plain.host, "cache.internal");
    EXPECT_EQ(plain.port, 6379);
    EXPECT_TRUE(plain.password.empty());
    EXPECT_EQ(plain.database, 0u);
    const auto full = parse_address("redis://us%65r:p%40ss:w%2ford@10.0.0.1:7000/3").value();
    EXPECT_EQ(full.user, "user");
    EXPECT_EQ(full.password.reveal(), "p@ss:w/ord");
    EXPECT_EQ(full.host, "10.0.0.1");
    EXPECT_EQ(full.port, 7000);
    EXPECT_EQ(full.database, 3u);
    const auto no_user = parse_address("redis://:secret@[::1]:7001/").value();
    EXPECT_EQ(no_user.user, "");
    EXPECT_EQ(no_user.password.reveal(), "secret");
    EXPECT_EQ(no_user.host, "::1");
    EXPECT_EQ(no_user.port, 7001);
}

TEST(redis_address, that_makes_no_sense_is_an_error_that_keeps_the_password) {
    for (const auto* url :
         {"", "redis://", "http://hunter2@host", "rediss://host", "redis://host:0", "redis://host:65536",
          "redis://host:port", "redis://host/hunter2", "redis://hunter2@host", "redis://u:hunter2%4@host",
          "redis://u:hunter2%zz@host", "redis://u:hunter2@", "redis://[::1", "redis://u:hunter2@:1/2"}) {
        const auto parsed = parse_address(url);
        ASSERT_FALSE(parsed) << url;
        EXPECT_EQ(parsed.error().kind, base::errc::invalid_argument);
        EXPECT_EQ(parsed.error().detail.find("hunter2"), std::string::npos) << parsed.error().detail;
    }
}

TEST(redis_connection, to_nobody_fails_with_a_sentence) {
    const auto opened = connection::open({.host = "127.0.0.1", .port = 1}, std::chrono::milliseconds(500));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error(), "Connection refused");
}

}  // namespace
}  // namespace redis
