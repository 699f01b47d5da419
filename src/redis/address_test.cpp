#include "redis/address.hpp"

#include <gtest/gtest.h>

namespace redis {
namespace {

TEST(redis_address, is_read_from_a_url) {
    const auto plain = parse_address("redis://cache.internal").value();
    EXPECT_EQ(plain.host, "cache.internal");
    EXPECT_EQ(plain.port, 6379);
    EXPECT_TRUE(plain.password.empty());
    EXPECT_EQ(plain.database, 0u);
    EXPECT_FALSE(plain.tls);
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

TEST(redis_address, of_rediss_speaks_tls) {
    const auto cache = parse_address("rediss://gateway:p%2Fw@master.cache.example:6380/1").value();
    EXPECT_TRUE(cache.tls);
    EXPECT_EQ(cache.host, "master.cache.example");
    EXPECT_EQ(cache.port, 6380);
    EXPECT_EQ(cache.user, "gateway");
    EXPECT_EQ(cache.password.reveal(), "p/w");
    EXPECT_EQ(cache.database, 1u);
    EXPECT_EQ(parse_address("rediss://cache").value().port, 6379);
}

TEST(redis_address, of_settings_has_the_trust_that_tls_needs_and_errors_that_name_the_setting) {
    EXPECT_FALSE(address_of({.url = base::secret("redis://cache")}).value().trust);
    EXPECT_TRUE(address_of({.url = base::secret("rediss://cache")}).value().trust);
    const auto no_url = address_of({.url = base::secret("cache:hunter2")});
    ASSERT_FALSE(no_url);
    EXPECT_TRUE(no_url.error().detail.starts_with("REDIS_URL must look like redis")) << no_url.error().detail;
    const auto no_file = address_of({.url = base::secret("rediss://cache"), .ca_file = "/nowhere/ca.pem"});
    ASSERT_FALSE(no_file);
    EXPECT_TRUE(no_file.error().detail.starts_with("CLAUDE_PROXY_REDIS_CA_FILE: cannot load"))
        << no_file.error().detail;
}

TEST(redis_address, that_makes_no_sense_is_an_error_that_keeps_the_password) {
    for (const auto* url : {"", "redis://", "http://hunter2@host", "redisss://host", "rediss:", "REDISS://host",
                            "redis://host:0", "redis://host:65536", "redis://host:port", "redis://host/hunter2",
                            "redis://hunter2@host", "redis://u:hunter2%4@host", "redis://u:hunter2%zz@host",
                            "redis://u:hunter2@", "redis://[::1", "redis://u:hunter2@:1/2"}) {
        const auto parsed = parse_address(url);
        ASSERT_FALSE(parsed) << url;
        EXPECT_EQ(parsed.error().kind, base::errc::invalid_argument);
        EXPECT_EQ(parsed.error().detail.find("hunter2"), std::string::npos) << parsed.error().detail;
    }
}

}  // namespace
}  // namespace redis
