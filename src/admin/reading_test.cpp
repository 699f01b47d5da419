#include "admin/reading.hpp"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace admin {
namespace {

using base::errc;
using segments = std::vector<std::string>;

TEST(admin_paths, are_split_and_decoded_once) {
    EXPECT_EQ(read_path("/admin/v1/teams"), (segments{"admin", "v1", "teams"}));
    EXPECT_EQ(read_path("/admin/v1/teams/a%20b%3F"), (segments{"admin", "v1", "teams", "a b?"}));
    EXPECT_EQ(read_path("/admin/v1/teams/gr%C3%BC%C3%9Fe"), (segments{"admin", "v1", "teams", "grüße"}));
}

TEST(admin_paths, that_readers_could_take_differently_are_refused) {
    for (const char* path : {"",
                             "admin",
                             "/",
                             "//",
                             "/admin/",
                             "/admin//v1",
                             "/admin/./v1",
                             "/admin/../v1",
                             "/a/%2e%2e/b",
                             "/a/%2E",
                             "/a%2fb",
                             "/a%5cb",
                             "/a\\b",
                             "/a/%",
                             "/a/%4",
                             "/a/%zz",
                             "/a/%00",
                             "/a/%0a",
                             "/a/%7f",
                             "/a/%ff",
                             "/a/%c0%af",
                             "/a/%25",
                             "/a/%ed%a0%80"}) {
        const auto read = read_path(path);
        ASSERT_FALSE(read) << path;
        EXPECT_EQ(read.error().kind, errc::bad_framing) << path;
    }
}

TEST(admin_queries, are_texts_by_name) {
    EXPECT_EQ(boost::json::serialize(read_query("a=1&b=x+y%26&c=&d&&e=1=2").value()),
              R"({"a":"1","b":"x y&","c":"","d":"","e":"1=2"})");
    EXPECT_TRUE(read_query("")->empty());
}

TEST(admin_queries, with_a_name_twice_or_broken_bytes_are_refused) {
    EXPECT_EQ(read_query("a=1&a=2").error().kind, errc::duplicate_field);
    EXPECT_EQ(read_query("a=1&%61=2").error().kind, errc::duplicate_field);
    for (const char* query : {"a=%", "a=%0", "a=%00", "%00=a", "a=%0d%0a", "a=%ff", "a=%c0%80"}) {
        EXPECT_EQ(read_query(query).error().kind, errc::invalid_argument) << query;
    }
}

TEST(admin_bodies, are_objects_or_nothing) {
    EXPECT_EQ(boost::json::serialize(read_body(R"( {"a":[1,{"b":null}],"c":"\u00fc"} )").value()),
              R"({"a":[1,{"b":null}],"c":"ü"})");
    EXPECT_TRUE(read_body("")->empty());
    EXPECT_TRUE(read_body(" \r\n\t")->empty());
    for (const char* text : {"[]",
                             "1",
                             "null",
                             "\"x\"",
                             "{",
                             "}",
                             "{}{}",
                             "{} x",
                             "{\"a\":}",
                             "{'a':1}",
                             "{\"a\":1,}",
                             "{\"a\":01}",
                             "{\"a\":NaN}",
                             "{\"a\":\"\n\"}",
                             "{\"a\":\"\xff\"}",
                             "{\"a\":\"\\ud800\"}",
                             "{\"a\":\"\\x\"}",
                             "\xef\xbb\xbf{}",
                             "// c\n{}",
                             "{\"a\":1e}",
                             "\x01{}"}) {
        const auto read = read_body(text);
        EXPECT_TRUE(!read && read.error().kind == errc::invalid_json) << text;
    }
    EXPECT_FALSE(read_body(std::string_view("{\"a\0b\":1}", 9))) << "a raw NUL";
}

TEST(admin_bodies, with_a_name_twice_are_refused_on_any_level) {
    for (const char* text : {R"({"a":1,"a":1})", R"({"a":1,"\u0061":2})", R"({"a":{"b":1,"c":2,"b":3}})",
                             R"({"a":[1,[{"b":1,"b":1}]]})"}) {
        const auto read = read_body(text);
        ASSERT_FALSE(read) << text;
        EXPECT_EQ(read.error().kind, errc::duplicate_field) << text;
    }
    EXPECT_TRUE(read_body(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]})")) << "the same name in different objects";
    const auto read = read_body("{\"" + std::string(1'000, 'x') + "\":1,\"" + std::string(1'000, 'x') + "\":1}");
    ASSERT_FALSE(read);
    EXPECT_LT(read.error().detail.size(), 200u) << "a long name is not repeated in full";
}

TEST(admin_bodies, are_not_read_beyond_a_depth) {
    const auto nested = [](std::size_t levels) {
        return "{\"a\":" + std::string(levels - 1, '[') + std::string(levels - 1, ']') + "}";
    };
    EXPECT_TRUE(read_body(nested(depth_max)));
    EXPECT_EQ(read_body(nested(depth_max + 1)).error().kind, errc::invalid_json);
    EXPECT_EQ(read_body("{\"a\":" + std::string(500'000, '[')).error().kind, errc::invalid_json);
}

}  // namespace
}  // namespace admin
