#include "anthropic/raw_json.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace anthropic;

TEST(raw_json, every_kind_of_value_is_whole) {
    for (const std::string_view text : {"0", "-0", "-12.50e+7", "1E400", "123456789012345678901234567890", "true",
                                        " null ", R"("")", R"("\"\\\/\b\f\n\r\t\u00eF\ud83d")", "[]", "[ [ ] , { } ]",
                                        R"({"a":{"b":[1,"]",false]},"":-1})", "\"\x7F\xC3\xA9\""}) {
        EXPECT_EQ(check_json(text).state, json_state::whole) << text;
    }
}

TEST(raw_json, what_is_no_json_is_broken_at_a_byte) {
    const auto broken_at = [](std::string_view text) {
        const auto checked = check_json(text);
        EXPECT_EQ(checked.state, json_state::broken) << text;
        return checked.at;
    };
    EXPECT_EQ(broken_at("01"), 1U);
    EXPECT_EQ(broken_at("+1"), 0U);
    EXPECT_EQ(broken_at("[1.]"), 3U);
    EXPECT_EQ(broken_at("[1e]"), 3U);
    EXPECT_EQ(broken_at("[-]"), 2U);
    EXPECT_EQ(broken_at("trve"), 2U);
    EXPECT_EQ(broken_at("NaN"), 0U);
    EXPECT_EQ(broken_at("[1,]"), 3U);
    EXPECT_EQ(broken_at("{,}"), 1U);
    EXPECT_EQ(broken_at(R"({"a"})"), 4U);
    EXPECT_EQ(broken_at(R"({"a":1,})"), 7U);
    EXPECT_EQ(broken_at("{a:1}"), 1U);
    EXPECT_EQ(broken_at("[1}"), 2U);
    EXPECT_EQ(broken_at("[]]"), 2U);
    EXPECT_EQ(broken_at("{} x"), 3U);
    EXPECT_EQ(broken_at(R"("\x")"), 2U);
    EXPECT_EQ(broken_at(R"("\u12g4")"), 5U);
    EXPECT_EQ(broken_at("\"a\nb\""), 2U);
    EXPECT_EQ(broken_at(std::string_view("[\0]", 3)), 1U);
    EXPECT_EQ(broken_at("[\"\xC3\xA9\", \"ab\xFF\"]"), 10U);
    EXPECT_EQ(broken_at("\xEF\xBB\xBF{}"), 0U);
}

TEST(raw_json, long_strings_are_checked_at_every_byte) {
    for (std::size_t at = 1; at < 200; ++at) {
        std::string text = '"' + std::string(220, 'x') + '"';
        EXPECT_TRUE(is_json(text));
        text[at] = '\x1F';
        EXPECT_EQ(check_json(text).at, at);
        text[at] = '"';
        EXPECT_EQ(check_json(text).at, at + 1);
        text[at] = '\\';
        EXPECT_EQ(check_json(text).at, at + 1);
    }
}

TEST(raw_json, a_cut_value_is_closed_without_what_is_half_there) {
    EXPECT_EQ(completed_json(R"( {"a": 1.0} )"), R"({"a": 1.0})");
    EXPECT_EQ(completed_json(R"({"a": 1.0, "b": [tr)"), R"({"a": 1.0, "b": []})");
    EXPECT_EQ(completed_json(R"({"a": 1.0, "b": [true)"), R"({"a": 1.0, "b": [true]})");
    EXPECT_EQ(completed_json(R"({"a": 1)"), "{}");
    EXPECT_EQ(completed_json(R"({"a": 1 )"), R"({"a": 1})");
    EXPECT_EQ(completed_json(R"([{"a":"x"},{"b":"\u00)"), R"([{"a":"x"},{}])");
    EXPECT_EQ(completed_json("17"), "17");
    for (const std::string_view text : {"", " ", "\"a", "tru", "-", "[1,]", R"({"a":x)"}) {
        EXPECT_FALSE(completed_json(text)) << text;
    }
}

TEST(raw_json, every_prefix_of_a_value_is_cut_and_can_be_closed) {
    const std::string text = R"({"a":[1,-2.5e+3,"x\u00e9\n",{"b":null,"c":[[],{}]}],"d":false})";
    for (std::size_t size = 1; size < text.size(); ++size) {
        const auto prefix = std::string(text.substr(0, size));
        EXPECT_EQ(check_json(prefix).state, json_state::cut) << prefix;
        const auto closed = completed_json(prefix);
        ASSERT_TRUE(closed) << prefix;
        EXPECT_TRUE(is_json(*closed)) << *closed;
    }
}

// simdjson is the judge, but for numbers that it cannot hold and halves of surrogate pairs, which do not occur here.
TEST(raw_json, random_texts_are_judged_as_a_parser_judges_them) {
    std::mt19937 random(1);
    constexpr std::string_view tokens[] = {"{",       "}",  "[",       "]",  ",",  ":",    "\"a\"",
                                           "\"\\n\"", "1",  "-0.5",    " ",  "\"", "true", "\"\\u0041\"",
                                           "nul",     "01", "{\"k\":", "\\", "\t"};
    simdjson::dom::parser parser;
    int whole = 0;
    for (int round = 0; round < 200'000; ++round) {
        std::string text;
        for (auto count = random() % 8; count > 0; --count) text += tokens[random() % std::size(tokens)];
        simdjson::dom::element document;
        const bool is_valid = parser.parse(text).get(document) == simdjson::SUCCESS;
        ASSERT_EQ(is_json(text), is_valid) << text;
        whole += is_valid ? 1 : 0;
        if (const auto closed = completed_json(text)) {
            ASSERT_EQ(parser.parse(*closed).get(document), simdjson::SUCCESS) << text << " became " << *closed;
        }
    }
    EXPECT_GT(whole, 1000);
}

TEST(raw_json, deep_nesting_needs_no_stack) {
    const std::string open(1'000'000, '['), close(1'000'000, ']');
    EXPECT_TRUE(is_json(open + close));
    EXPECT_EQ(check_json(open).state, json_state::cut);
}

TEST(raw_json, a_cursor_gives_members_with_their_places) {
    const std::string_view text = R"( { "a" : 1.0 ,"b\u0062":"x,}" , "c":[1,{"d":2}],"e":true} )";
    raw_cursor member(text);
    std::vector<std::string> seen;
    while (member.next()) {
        seen.push_back(std::string(member.key()) + "=" + std::string(member.value()));
        EXPECT_EQ(text[member.begin()], '"');
        EXPECT_EQ(text.substr(member.value_begin(), member.end() - member.value_begin()), member.value());
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"a=1.0", R"(b\u0062="x,}")", R"(c=[1,{"d":2}])", "e=true"}));
    EXPECT_FALSE(member.next());
    EXPECT_EQ(find_member(text, "bb"), R"("x,}")");
    EXPECT_EQ(find_member(text, "d"), std::nullopt);
    EXPECT_EQ(find_member(R"({"a":1,"a":2})", "a"), "2");
}

TEST(raw_json, a_cursor_gives_elements_and_nothing_of_scalars) {
    std::string seen;
    for (raw_cursor element(R"([ 1 , "]", [], {"a":[]} ])"); element.next();) {
        seen += element.value();
        seen += ';';
        EXPECT_EQ(element.key(), "");
    }
    EXPECT_EQ(seen, R"(1;"]";[];{"a":[]};)");
    for (const std::string_view text : {"", " ", "17", "\"{}\"", "[]", "{ }"}) {
        raw_cursor none(text);
        EXPECT_FALSE(none.next()) << text;
    }
}

}  // namespace
