#include "governance/tenants.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>

namespace governance {
namespace {

time_ms at(int year, unsigned month, unsigned day, int hour = 0, int minute = 0) {
    const std::chrono::sys_days date{std::chrono::year{year} / std::chrono::month{month} / std::chrono::day{day}};
    return std::chrono::duration_cast<std::chrono::milliseconds>(date.time_since_epoch()).count() +
           (hour * 60 + minute) * 60'000;
}

TEST(tenants, every_name_is_read_back) {
    for (const auto what : {role::client, role::viewer, role::operator_, role::admin})
        EXPECT_EQ(role_named(name_of(what)), what);
    for (const auto what : {scope::root, scope::team, scope::key}) EXPECT_EQ(scope_named(name_of(what)), what);
    for (const auto what : {period::day, period::week, period::month, period::total})
        EXPECT_EQ(period_named(name_of(what)), what);
    EXPECT_FALSE(role_named("Admin"));
    EXPECT_FALSE(scope_named(""));
    EXPECT_FALSE(period_named("year"));
}

TEST(tenants, a_day_is_from_midnight_to_midnight_in_utc) {
    EXPECT_EQ(period_start(period::day, at(2026, 3, 1, 23, 59)), at(2026, 3, 1));
    EXPECT_EQ(period_start(period::day, at(2026, 3, 1)), at(2026, 3, 1));
    EXPECT_EQ(period_end(period::day, at(2026, 2, 28, 12)), at(2026, 3, 1));
    EXPECT_EQ(period_end(period::day, at(2028, 2, 28, 12)), at(2028, 2, 29));
}

TEST(tenants, a_week_begins_on_monday) {
    EXPECT_EQ(period_start(period::week, at(2026, 3, 2)), at(2026, 3, 2));          // a Monday
    EXPECT_EQ(period_start(period::week, at(2026, 3, 8, 23, 59)), at(2026, 3, 2));  // the Sunday after it
    EXPECT_EQ(period_end(period::week, at(2026, 3, 8, 23, 59)), at(2026, 3, 9));
    EXPECT_EQ(period_start(period::week, at(2027, 1, 1)), at(2026, 12, 28));  // over the end of the year
}

TEST(tenants, a_month_has_its_own_length) {
    EXPECT_EQ(period_start(period::month, at(2028, 2, 29, 5)), at(2028, 2, 1));
    EXPECT_EQ(period_end(period::month, at(2028, 2, 29, 5)), at(2028, 3, 1));
    EXPECT_EQ(period_end(period::month, at(2026, 12, 31, 23, 59)), at(2027, 1, 1));
    EXPECT_EQ(period_end(period::month, at(2026, 1, 31)), at(2026, 2, 1));
}

TEST(tenants, a_total_has_no_end) {
    EXPECT_EQ(period_start(period::total, at(2026, 12, 31)), 0);
    EXPECT_FALSE(period_end(period::total, at(2026, 12, 31)));
}

TEST(tenants, times_before_1970_fall_into_the_day_that_holds_them) {
    EXPECT_EQ(period_start(period::day, -1), at(1969, 12, 31));
    EXPECT_EQ(period_end(period::day, -1), 0);
}

TEST(tenants, every_millisecond_of_a_period_has_the_same_start_and_end) {
    for (const auto what : {period::day, period::week, period::month}) {
        for (time_ms when = at(2027, 12, 20); when < at(2028, 3, 15); when += 7 * 3'600'000 + 123) {
            const time_ms start = period_start(what, when);
            const time_ms end = *period_end(what, when);
            ASSERT_LE(start, when);
            ASSERT_GT(end, when);
            ASSERT_EQ(period_start(what, start), start);
            ASSERT_EQ(period_start(what, end - 1), start);
            ASSERT_EQ(period_start(what, end), end);
        }
    }
}

TEST(tenants, a_pattern_without_star_is_the_text_itself) {
    EXPECT_TRUE(matches_pattern("claude-opus-4-5", "claude-opus-4-5"));
    EXPECT_FALSE(matches_pattern("claude-opus-4-5", "claude-opus-4-5-20251101"));
    EXPECT_FALSE(matches_pattern("", "x"));
    EXPECT_TRUE(matches_pattern("", ""));
    EXPECT_FALSE(matches_pattern("claude?", "claudes"));
}

TEST(tenants, a_star_is_any_text_and_none) {
    EXPECT_TRUE(matches_pattern("*", ""));
    EXPECT_TRUE(matches_pattern("*", "anything"));
    EXPECT_TRUE(matches_pattern("claude-opus-*", "claude-opus-4-5-20251101"));
    EXPECT_TRUE(matches_pattern("claude-opus-*", "claude-opus-"));
    EXPECT_FALSE(matches_pattern("claude-opus-*", "claude-opus"));
    EXPECT_TRUE(matches_pattern("*haiku*", "us.anthropic.claude-haiku-4-5-v1:0"));
    EXPECT_TRUE(matches_pattern("*-latest", "claude-sonnet-latest"));
    EXPECT_FALSE(matches_pattern("*-latest", "claude-sonnet-latest[1m]"));
    EXPECT_TRUE(matches_pattern("a*b*c", "a-b-b-c"));
    EXPECT_FALSE(matches_pattern("a*b*c", "a-c-b"));
    EXPECT_TRUE(matches_pattern("a**c", "ac"));
    EXPECT_FALSE(matches_pattern("ab*ba", "aba"));  // head and tail may not share letters
    EXPECT_FALSE(matches_pattern("*ab*ab", "xab"));
}

bool matches_slowly(std::string_view pattern, std::string_view text) {
    if (pattern.empty()) return text.empty();
    if (pattern[0] != '*')
        return !text.empty() && text[0] == pattern[0] && matches_slowly(pattern.substr(1), text.substr(1));
    for (std::size_t taken = 0; taken <= text.size(); ++taken)
        if (matches_slowly(pattern.substr(1), text.substr(taken))) return true;
    return false;
}

TEST(tenants, patterns_match_as_their_definition_says) {
    std::mt19937 random(7);
    const auto word = [&](std::string_view letters, std::size_t size_max) {
        std::string made(random() % (size_max + 1), ' ');
        for (char& c : made) c = letters[random() % letters.size()];
        return made;
    };
    int matched = 0;
    for (int i = 0; i < 100'000; ++i) {
        const std::string pattern = word("ab*", 7), text = word("ab", 9);
        const bool expected = matches_slowly(pattern, text);
        ASSERT_EQ(matches_pattern(pattern, text), expected) << pattern << " on " << text;
        matched += expected;
    }
    EXPECT_GT(matched, 10'000);
}

TEST(tenants, a_hostile_model_name_costs_time_in_proportion_to_its_length) {
    std::string pattern;
    for (int i = 0; i < 30; ++i) pattern += "*aaab";
    const std::string text(4'000'000, 'a');
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(matches_pattern(pattern, text));
    // A matcher that tries again from every letter needs minutes.
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace governance
