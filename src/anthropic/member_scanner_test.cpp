#include "anthropic/member_scanner.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace {

using namespace anthropic;

constexpr std::string_view wanted[] = {"model", "usage"};

// What a scanner found, as one line a member, and how it ended.
std::string found_by(const member_scanner& scanner) {
    std::string text;
    for (const auto& found : scanner.members()) {
        text +=
            fmt::format("{}@{}-{}={}{}\n", found.key, found.begin, found.end, found.text, found.oversized ? "..." : "");
    }
    if (scanner.complete()) text += "complete";
    if (scanner.failed()) text += fmt::format("failed at {}", scanner.failed_at());
    return text;
}

std::string scan(std::string_view text, std::size_t piece_bytes, member_scanner::options limits) {
    member_scanner scanner(wanted, limits);
    for (std::size_t position = 0; position < text.size(); position += piece_bytes) {
        const std::string piece(text.substr(position, piece_bytes));  // memory of its own: reading beyond it is noticed
        scanner.feed(piece);
    }
    return found_by(scanner);
}

// Scans whole and in pieces of every size, which must not matter.
std::string scan(std::string_view text, member_scanner::options limits = {}) {
    const auto whole = scan(text, text.size() + 1, limits);
    for (std::size_t piece_bytes = 1; piece_bytes <= text.size(); ++piece_bytes) {
        EXPECT_EQ(scan(text, piece_bytes, limits), whole) << "in pieces of " << piece_bytes;
    }
    return whole;
}

TEST(member_scanner, values_of_every_type_are_found_as_they_came) {
    EXPECT_EQ(scan(R"({"model":"a\"b","x":1,"usage":{"model":[1,{}]}})"),
              "model@9-15=\"a\\\"b\"\nusage@30-46={\"model\":[1,{}]}\ncomplete");
    EXPECT_EQ(scan(R"({"model":-1.5E+3})"), "model@9-16=-1.5E+3\ncomplete");
    EXPECT_EQ(scan(R"({"model":null,"usage":[]})"), "model@9-13=null\nusage@22-24=[]\ncomplete");
}

TEST(member_scanner, white_space_between_tokens_is_no_part_of_a_value) {
    EXPECT_EQ(scan("\t{ \"model\" \r\n: true , \"usage\":\n[ ] } \n"), "model@15-19=true\nusage@31-34=[ ]\ncomplete");
    EXPECT_EQ(scan(" { } "), "complete");
}

TEST(member_scanner, only_members_of_the_top_level_count) {
    EXPECT_EQ(scan(R"({"a":{"model":1},"b":[{"model":2}],"c":"\"model\":3"})"), "complete");
}

TEST(member_scanner, a_value_that_equals_a_key_is_no_key) { EXPECT_EQ(scan(R"({"a":"model","b":1})"), "complete"); }

TEST(member_scanner, a_key_written_with_escapes_is_found) {
    EXPECT_EQ(scan(R"({"\u006dodel":1})"), "model@14-15=1\ncomplete");
    EXPECT_EQ(scan(R"({"\u006D\u006F\u0064\u0065\u006C":1})"), "model@34-35=1\ncomplete");
}

TEST(member_scanner, a_key_that_only_resembles_a_wanted_one_is_not_found) {
    EXPECT_EQ(scan(R"({"Model":1,"mode":2,"models":3,"model ":4,"model\u0000":5,"\\u006dodel":6,"\ud83dodel":7})"),
              "complete");
}

TEST(member_scanner, a_very_long_key_is_passed_over) {
    const auto key = std::string(500, 'k');
    EXPECT_EQ(scan(fmt::format(R"({{"{0}":1,"{0}\u00":2,"model":3}})", key)), "model@1023-1024=3\ncomplete");
}

TEST(member_scanner, a_key_that_occurs_twice_is_listed_twice) {
    EXPECT_EQ(scan(R"({"model":1,"\u006dodel":2})"), "model@9-10=1\nmodel@24-25=2\ncomplete");
}

TEST(member_scanner, of_a_key_that_occurs_often_the_first_and_the_last_are_kept) {
    EXPECT_EQ(scan(R"({"model":1,"model":2,"usage":5,"model":3,"model":4})"),
              "model@9-10=1\nmodel@49-50=4\nusage@29-30=5\ncomplete");
}

TEST(member_scanner, find_gives_the_last_of_a_name_or_nothing) {
    member_scanner scanner(wanted);
    scanner.feed(R"({"model":1,"model":2,"model":3})");
    ASSERT_NE(scanner.find("model"), nullptr);
    EXPECT_EQ(scanner.find("model")->text, "3");
    EXPECT_EQ(scanner.find("usage"), nullptr);
}

TEST(member_scanner, a_value_longer_than_the_limit_keeps_its_span_but_no_text) {
    EXPECT_EQ(scan(R"({"model":"123","usage":[1,2]})", {.value_bytes_max = 5}),
              "model@9-14=\"123\"\nusage@23-28=[1,2]\ncomplete");
    EXPECT_EQ(scan(R"({"model":"123","usage":[1,2]})", {.value_bytes_max = 4}),
              "model@9-14=...\nusage@23-28=...\ncomplete");
    EXPECT_EQ(scan(R"({"model":"123","usage":7})", {.value_bytes_max = 4}), "model@9-14=...\nusage@23-24=7\ncomplete");
}

TEST(member_scanner, backslashes_before_a_quote_are_counted) {
    EXPECT_EQ(scan(R"({"model":"\\","usage":"\\\""})"), "model@9-13=\"\\\\\"\nusage@22-28=\"\\\\\\\"\"\ncomplete");
}

TEST(member_scanner, deep_nesting_costs_no_memory) {
    const std::size_t depth = 100'000;
    const auto text = "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + ",\"model\":1}";
    EXPECT_EQ(scan(text, text.size(), {}), fmt::format("model@{0}-{1}=1\ncomplete", 2 * depth + 14, 2 * depth + 15));
}

TEST(member_scanner, what_is_not_an_object_fails_at_its_first_byte) {
    for (const std::string_view text : {"[1]", "\"{}\"", "null", "\xEF\xBB\xBF{}", "<html>"}) {
        EXPECT_EQ(scan(text), "failed at 0") << text;
    }
    EXPECT_EQ(scan(std::string_view("{\0\"a\":1}", 8)), "failed at 1");
}

TEST(member_scanner, a_break_at_the_top_level_is_located) {
    EXPECT_EQ(scan(R"({"a" 1})"), "failed at 5");
    EXPECT_EQ(scan(R"({"a":})"), "failed at 5");
    EXPECT_EQ(scan(R"({"a":1,})"), "failed at 7");
    EXPECT_EQ(scan(R"({,"a":1})"), "failed at 1");
    EXPECT_EQ(scan(R"({"a":1 "b":2})"), "failed at 7");
    EXPECT_EQ(scan(R"({a:1})"), "failed at 1");
    EXPECT_EQ(scan(R"({"a":1]})"), "failed at 6");
    EXPECT_EQ(scan(R"({"\q":1})"), "failed at 4");
}

TEST(member_scanner, what_was_found_before_a_break_stays) {
    EXPECT_EQ(scan(R"({"model":1,"usage":2;})"), "model@9-10=1\nusage@19-20=2\nfailed at 20");
}

TEST(member_scanner, bytes_after_the_object_fail_although_it_is_complete) {
    EXPECT_EQ(scan(R"({"model":1} x{)"), "model@9-10=1\ncompletefailed at 12");
}

TEST(member_scanner, a_text_that_ends_early_is_neither_complete_nor_failed) {
    for (const std::string_view text : {"", " ", "{", "{\"mod", "{\"model\"", "{\"model\":", "{\"model\":1",
                                        "{\"model\":\"1", "{\"model\":[1]", "{\"x\":{\"model\":1}"}) {
        const auto result = scan(text);
        EXPECT_EQ(result.find("complete"), result.npos) << text;
        EXPECT_EQ(result.find("failed"), result.npos) << text;
    }
}

}  // namespace
