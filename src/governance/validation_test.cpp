#include "governance/validation.hpp"

#include <gtest/gtest.h>

#include "governance/administration.hpp"
#include "governance/stored_rows.hpp"

namespace governance {
namespace {

// Whether the verdict refuses with a sentence that begins with the field's name.
template <class T>
bool names(const base::result<T>& given, std::string_view field) {
    return !given && given.error().kind == base::errc::invalid_argument &&
           given.error().detail.starts_with(std::string(field) + ": ");
}

TEST(validation, names_of_teams_are_short_and_plain) {
    for (const auto* good : {"a", "search", "Search", "team-1", "a.b_c", "0"})
        EXPECT_TRUE(check_team_name(good)) << good;
    EXPECT_TRUE(check_team_name(std::string(64, 'x')));
    for (const auto* bad : {"", "a b", "a/b", "caf\xC3\xA9", "a'b", "a\n"})
        EXPECT_TRUE(names(check_team_name(bad), "name")) << bad;
    EXPECT_FALSE(check_team_name(std::string(65, 'x')));
    EXPECT_FALSE(check_team_name("team_aaaaaaaaaaaaaaaaaaaaaaaa"));  // it would be taken for an id
    EXPECT_TRUE(check_team_name("team_a"));
}

TEST(validation, text_is_one_line_of_utf_8) {
    EXPECT_TRUE(check_text("owner", "Zo\xC3\xAB, \"O'Brien\"; --", 64));
    EXPECT_TRUE(names(check_text("owner", "a\nb", 64), "owner"));
    EXPECT_TRUE(names(check_text("owner", "a\x7F", 64), "owner"));
    EXPECT_TRUE(names(check_text("owner", std::string_view("a\0b", 3), 64), "owner"));
    EXPECT_TRUE(names(check_text("owner", "\xFF", 64), "owner"));
    EXPECT_TRUE(names(check_text("owner", std::string(65, 'x'), 64), "owner"));
}

TEST(validation, utf_8_is_told_from_other_bytes) {
    for (const auto* good :
         {"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x99\x82", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"})
        EXPECT_TRUE(is_utf8(good)) << good;
    for (const auto* bad : {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF0\x80\x80\xAF",
                            "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xE2\x28\xA1", "\xFE"})
        EXPECT_FALSE(is_utf8(bad)) << bad;
}

TEST(validation, patterns_are_bounded_and_visible) {
    const std::vector<std::string> none, good{"claude-*", "*"}, empty{""}, blank{"a b"}, high{"\xC3\xA9"},
        longer{std::string(129, 'a')}, many(65, "x"), most(64, std::string(128, 'a'));
    EXPECT_TRUE(check_patterns("models", none));
    EXPECT_TRUE(check_patterns("models", good));
    EXPECT_TRUE(check_patterns("models", most));
    for (const auto* bad : {&empty, &blank, &high, &longer, &many})
        EXPECT_TRUE(names(check_patterns("models", *bad), "models"));
}

TEST(validation, tags_are_words) {
    const std::vector<std::string> good{"env:prod", "a/b", "k=v", "A.b_c-1"}, empty{""}, comma{"a,b"},
        longer{std::string(65, 'a')}, many(33, "x");
    EXPECT_TRUE(check_tags(good));
    for (const auto* bad : {&empty, &comma, &longer, &many}) EXPECT_TRUE(names(check_tags(*bad), "tags"));
}

TEST(validation, scopes_are_known_each_once_and_at_least_one) {
    const std::vector<std::string> good{"messages", "other"}, all{"*"}, none, unknown{"admin"},
        twice{"models", "models"};
    EXPECT_TRUE(check_scopes(good));
    EXPECT_TRUE(check_scopes(all));
    for (const auto* bad : {&none, &unknown, &twice}) EXPECT_TRUE(names(check_scopes(*bad), "scopes"));
    const std::vector<std::string> usual(std::begin(default_scopes), std::end(default_scopes));
    EXPECT_TRUE(check_scopes(usual));
}

TEST(validation, metadata_is_a_small_object) {
    EXPECT_TRUE(check_metadata("{}"));
    EXPECT_TRUE(check_metadata(R"({"a":[1,{"b":null}]})"));
    for (const auto* bad : {"", "[]", "1", "{", "{} x", "{'a':1}", "null", "{\"a\":\"\xFF\"}"})
        EXPECT_TRUE(names(check_metadata(bad), "metadata")) << bad;
    EXPECT_TRUE(names(check_metadata("{\"a\":\"" + std::string(8192, 'x') + "\"}"), "metadata"));
    std::string deep = "{\"a\":";
    for (int i = 0; i < 2000; ++i) deep += '[';
    for (int i = 0; i < 2000; ++i) deep += ']';
    EXPECT_TRUE(names(check_metadata(deep + "}"), "metadata"));
}

TEST(validation, an_expiry_lies_ahead) {
    EXPECT_TRUE(check_expiry(1001, 1000));
    EXPECT_TRUE(names(check_expiry(1000, 1000), "expires_at"));
    EXPECT_TRUE(names(check_expiry(-1, 1000), "expires_at"));
    EXPECT_TRUE(names(check_expiry(INT64_MAX, 1000), "expires_at"));
}

TEST(validation, amounts_and_alerts_have_their_ranges) {
    EXPECT_TRUE(check_amounts({}));
    EXPECT_TRUE(names(check_amounts({.requests_per_minute = -1}), "requests_per_minute"));
    EXPECT_TRUE(names(check_amounts({.concurrent_requests = INT64_MAX}), "concurrent_requests"));
    const std::vector<int> good{1, 80, 100}, low{0}, high{101}, many(11, 5);
    EXPECT_TRUE(check_alerts(good));
    for (const auto* bad : {&low, &high, &many}) EXPECT_TRUE(names(check_alerts(*bad), "alerts"));
}

TEST(parse_budget, an_amount_and_a_period) {
    const auto month = parse_budget("50/month");
    ASSERT_TRUE(month);
    EXPECT_EQ(month->limit_pico, 50 * base::pico_per_dollar);
    EXPECT_EQ(month->every, period::month);
    const auto day = parse_budget("$2.50/day");
    ASSERT_TRUE(day);
    EXPECT_EQ(day->limit_pico, 2'500'000'000'000);
    EXPECT_EQ(day->every, period::day);
    EXPECT_EQ(parse_budget("100")->every, period::total);
    EXPECT_EQ(parse_budget("100/total")->every, period::total);
    EXPECT_EQ(parse_budget("7/week")->every, period::week);
}

TEST(parse_budget, everything_else_is_refused) {
    for (const auto* bad : {"", "/", "50/", "/day", "0/day", "-5/day", "50/year", "50 /day", "fifty/day", "50/day/day"})
        EXPECT_TRUE(names(parse_budget(bad), "budget")) << bad;
}

TEST(stored_rows, lists_are_read_back) {
    const std::vector<std::string> list{"a", "b\"c", "\xC3\xA9"};
    EXPECT_EQ(strings_of(json_of(list)), list);
    EXPECT_EQ(json_of(std::vector<std::string>{}), "[]");
    EXPECT_EQ(integers_of("[80,95]"), (std::vector<int>{80, 95}));
    EXPECT_EQ(integers_of(json_of(std::vector<int>{})), std::vector<int>{});
}

TEST(stored_rows, a_row_that_is_not_understood_is_nothing_and_not_an_empty_list) {
    for (const auto* bad : {"", "null", "{}", "[1]", "[\"a\"", "a"}) EXPECT_FALSE(strings_of(bad)) << bad;
    for (const auto* bad : {"", "[\"1\"]", "[1.5]", "[99999999999]"}) EXPECT_FALSE(integers_of(bad)) << bad;
    using database::value;
    const auto text = [](const char* what) { return value(std::string(what)); };
    const value nothing, zero(std::int64_t{0});
    database::row row{text("key_1"), text("team_1"), text("n"),  text("o"), text("client"), text("[]"), text("[]"),
                      text("[]"),    text("[]"),     text("{}"), nothing,   zero,           zero,       nothing};
    EXPECT_TRUE(key_of(row));
    row[6] = text("");
    EXPECT_FALSE(key_of(row));
    row[6] = text("[]");
    row[4] = text("emperor");
    EXPECT_FALSE(key_of(row));
    EXPECT_FALSE(team_of({text("t"), text("n"), text("x"), text("[]"), text("{}"), zero, zero, nothing}));
    EXPECT_FALSE(limit_of({text("galaxy"), text(""), text(""), zero, zero, zero, zero}));
    EXPECT_FALSE(budget_of({text("b"), text("root"), text(""), text("year"), zero, zero, text("[]"), zero, zero}));
}

}  // namespace
}  // namespace governance
