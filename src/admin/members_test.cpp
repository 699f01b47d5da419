#include "admin/members.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace admin {
namespace {

using base::errc;

request body(std::string_view text) { return {.members = boost::json::parse(text).as_object()}; }
request query(std::string_view text) { return {.members = boost::json::parse(text).as_object(), .from_query = true}; }

std::string told(members& given) {
    const auto wrong = given.problem();
    return wrong ? wrong->detail : "";
}

TEST(members, are_read_by_their_types) {
    const auto asked = body(R"({"name":"a","on":true,"n":7,"list":["x","y"],"meta":{"k":[1]},"money":"2.50",
                               "whole":3,"span":"1h","at":"2027-01-01","days":"90d","none":null})");
    members given(asked);
    EXPECT_EQ(given.text("name"), "a");
    EXPECT_EQ(given.flag("on"), true);
    EXPECT_EQ(given.count("n"), 7);
    EXPECT_EQ(given.texts("list"), (std::vector<std::string>{"x", "y"}));
    EXPECT_EQ(given.object("meta"), R"({"k":[1]})");
    EXPECT_EQ(given.dollars("money"), 2'500'000'000'000);
    EXPECT_EQ(given.dollars("whole"), 3'000'000'000'000);
    EXPECT_EQ(given.span_ms("span"), 3'600'000);
    EXPECT_EQ(given.time("at", 0, 1), 1'798'761'600'000);
    EXPECT_EQ(given.time("days", 1'000, 1), 7'776'001'000);
    EXPECT_TRUE(given.is_null("none"));
    given.note("none");
    EXPECT_EQ(given.text("absent"), std::nullopt);
    EXPECT_EQ(told(given), "");
}

TEST(members, of_a_query_are_texts_that_stand_for_something) {
    const auto asked = query(R"({"limit":"10","with_revoked":"true","by":"team,model","from":"7d"})");
    members given(asked);
    EXPECT_EQ(given.count("limit"), 10);
    EXPECT_EQ(given.flag("with_revoked"), true);
    EXPECT_EQ(given.texts("by"), (std::vector<std::string>{"team", "model"}));
    EXPECT_EQ(given.time("from", 604'800'001, -1), 1);
    EXPECT_EQ(told(given), "");
}

TEST(members, of_a_body_are_not_converted) {
    const auto asked = body(R"({"limit":"10","on":"true","by":"team,model","name":5,"f":1.0,"e":1e3})");
    EXPECT_FALSE(members(asked).count("limit"));
    EXPECT_FALSE(members(asked).flag("on"));
    EXPECT_FALSE(members(asked).texts("by"));
    EXPECT_FALSE(members(asked).text("name"));
    EXPECT_FALSE(members(asked).count("f"));
    EXPECT_FALSE(members(asked).count("e"));
}

TEST(members, that_are_wrong_are_told_by_name) {
    const auto asked = body(R"({"a":-1,"b":"x\u0000y","c":["x",1],"d":1.5,"e":"2027-02-30","f":[0],"g":[]})");
    const auto problem = [&](auto read) {
        members given(asked);
        read(given);
        for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) given.note(name);
        return told(given);
    };
    EXPECT_EQ(problem([](auto& m) { m.count("a"); }), "`a` must be a whole number from 0 on.");
    EXPECT_EQ(problem([](auto& m) { m.text("b"); }), "`b` must be a text without control characters.");
    EXPECT_EQ(problem([](auto& m) { m.texts("c"); }), "`c` must be a list of texts.");
    EXPECT_NE(problem([](auto& m) { m.dollars("d"); }), "");
    EXPECT_NE(problem([](auto& m) { m.time("e", 0, 1); }), "");
    EXPECT_NE(problem([](auto& m) { m.percents("f"); }), "");
    EXPECT_EQ(problem([](auto& m) { m.object("g"); }), "`g` must be an object.");
}

TEST(members, that_nobody_knows_are_refused_with_what_was_meant) {
    const auto asked = body(R"({"nmae":"x"})");
    members given(asked);
    given.text("name");
    given.missing("name");
    const auto wrong = given.problem();
    ASSERT_TRUE(wrong);
    EXPECT_EQ(wrong->kind, errc::invalid_argument) << "the misspelt name explains the missing one";
    EXPECT_EQ(wrong->detail, "There is no member `nmae` here; it takes name.");

    const auto close = body(R"({"reqests_per_minute":1})");
    members limits(close);
    limits.count("requests_per_minute");
    limits.count("concurrent_requests");
    EXPECT_EQ(told(limits), "There is no member `reqests_per_minute` here; did you mean `requests_per_minute`?");

    const auto none = query(R"({"x":"1"})");
    members nothing(none);
    EXPECT_EQ(told(nothing), "There is no parameter `x` here; it takes no parameters.");
}

TEST(members, that_are_missing_are_told) {
    const auto asked = body("{}");
    members given(asked);
    given.missing("scope");
    ASSERT_TRUE(given.problem());
    EXPECT_EQ(given.problem()->kind, errc::missing_field);
}

TEST(routes, are_found_by_method_and_path) {
    const std::vector<std::string> key{"admin", "v1", "keys", "key_1"};
    EXPECT_EQ(find_route("GET", key).row->pattern, "/admin/v1/keys/{}");
    EXPECT_EQ(find_route("HEAD", key).row->method, "GET");
    EXPECT_EQ(find_route("GET", key).path, std::vector<std::string>{"key_1"});
    EXPECT_TRUE(find_route("PUT", key).method_not_allowed);
    EXPECT_FALSE(find_route("PUT", key).row);
    const std::vector<std::string> verify{"admin", "v1", "audit", "verify"};
    EXPECT_EQ(find_route("GET", verify).row->pattern, "/admin/v1/audit/verify");
    for (const std::vector<std::string>& path : {std::vector<std::string>{"admin"},
                                                 {"admin", "v1"},
                                                 {"admin", "v1", "x"},
                                                 {"admin", "v1", "keys", "a", "b"},
                                                 {"x", "admin", "v1", "keys"}}) {
        EXPECT_FALSE(find_route("GET", path).row);
        EXPECT_FALSE(find_route("GET", path).method_not_allowed);
    }
}

}  // namespace
}  // namespace admin
