#include <gtest/gtest.h>

#include "upstream/origin.hpp"
#include "upstream/retry.hpp"

namespace {

using namespace upstream;
using base::errc;

TEST(origin, urls_are_taken_apart) {
    EXPECT_EQ(*parse_origin("https://api.anthropic.com"),
              (origin{true, "api.anthropic.com", 443, "", "api.anthropic.com"}));
    EXPECT_EQ(*parse_origin("http://127.0.0.1:9300/"), (origin{false, "127.0.0.1", 9300, "", "127.0.0.1:9300"}));
    EXPECT_EQ(*parse_origin("https://gw.example/team-a/v1/"),
              (origin{true, "gw.example", 443, "/team-a", "gw.example"}));
    EXPECT_EQ(*parse_origin("http://[::1]:81"), (origin{false, "::1", 81, "", "[::1]:81"}));
}

TEST(origin, unusable_urls_say_why) {
    for (const char* url : {"api.anthropic.com", "ftp://x", "https://", "https://:1", "http://x:0", "http://x:99999",
                            "http://x:1a", "http://u:p@x", "http://x?q", "http://[::1"}) {
        EXPECT_FALSE(parse_origin(url).has_value()) << url;
    }
}

TEST(retry, nothing_is_repeated_once_the_client_has_bytes) {
    EXPECT_FALSE(may_repeat({.failure = errc::upstream_cut, .reached_client = true, .stale = true, .stream = true}, 2));
}

TEST(retry, a_stale_pooled_connection_is_repeated_on_a_fresh_one) {
    EXPECT_TRUE(may_repeat({.number = 1, .failure = errc::upstream_cut, .stale = true}, 1));
    EXPECT_FALSE(may_repeat({.number = 2, .failure = errc::upstream_cut, .stale = true}, 1));
    EXPECT_FALSE(may_repeat({.failure = errc::upstream_cut, .stale = true, .body_repeatable = false}, 2));
}

TEST(retry, a_stream_that_broke_before_content_is_repeated_once) {
    for (const errc kind : {errc::upstream_cut, errc::upstream_error_event}) {
        EXPECT_TRUE(may_repeat({.number = 1, .failure = kind, .stream = true}, 2));
        EXPECT_FALSE(may_repeat({.number = 2, .failure = kind, .stream = true}, 2));
        EXPECT_FALSE(may_repeat({.number = 1, .failure = kind, .stream = false}, 2));
    }
}

TEST(retry, timeouts_and_departed_clients_are_final) {
    for (const errc kind :
         {errc::upstream_head_timeout, errc::upstream_idle_timeout, errc::client_left, errc::shutting_down}) {
        EXPECT_FALSE(may_repeat({.number = 1, .failure = kind, .stream = true}, 3));
    }
}

}  // namespace
