#include "telemetry/line.hpp"

#include <gtest/gtest.h>

namespace telemetry {
namespace {

using namespace std::string_literals;

std::string as_quoted(std::string_view text) {
    std::string out;
    append_quoted(out, text);
    return out;
}

std::string as_word(std::string_view text) {
    std::string out;
    append_word(out, text);
    return out;
}

std::string time_text(std::int64_t ms_since_epoch) {
    std::string out;
    append_time(out, std::chrono::system_clock::time_point(std::chrono::milliseconds(ms_since_epoch)));
    return out;
}

TEST(log_line, quotes_plain_text_as_it_is) {
    EXPECT_EQ(as_quoted(""), "\"\"");
    EXPECT_EQ(as_quoted("POST /v1/messages"), "\"POST /v1/messages\"");
    EXPECT_EQ(as_quoted("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

TEST(log_line, escapes_quotes_backslashes_and_control_characters) {
    EXPECT_EQ(as_quoted("a\"b\\c"), R"("a\"b\\c")");
    EXPECT_EQ(as_quoted("\n\r\t\0\x1b[31m\x7f"s), R"("\n\u000d\u0009\u0000\u001b[31m\u007f")");
}

TEST(log_line, finds_what_to_escape_wherever_it_stands) {
    for (std::size_t length = 1; length <= 19; ++length) {
        for (std::size_t place = 0; place < length; ++place) {
            for (const auto& [byte, escaped] : {std::pair{'"', "\\\""},
                                                {'\\', "\\\\"},
                                                {'\x1f', "\\u001f"},
                                                {'\x7f', "\\u007f"},
                                                {'\x80', "\\ufffd"},
                                                {'\0', "\\u0000"}}) {
                std::string text(length, 'x');
                text[place] = byte;
                const std::string wanted =
                    "\"" + std::string(place, 'x') + escaped + std::string(length - place - 1, 'x') + "\"";
                EXPECT_EQ(as_quoted(text), wanted);
            }
        }
    }
}

TEST(log_line, escapes_the_control_characters_beyond_ascii_that_steer_terminals) {
    EXPECT_EQ(as_quoted("\xc2\x80\xc2\x9b\xc2\x9f"), R"("\u0080\u009b\u009f")");
    EXPECT_EQ(as_quoted("\xc2\xa0"), "\"\xc2\xa0\"") << "U+00A0 is the first that does not";
}

TEST(log_line, replaces_bytes_that_are_not_utf8) {
    const std::string r = R"(\ufffd)";
    EXPECT_EQ(as_quoted("a\xff"
                        "b"),
              "\"a" + r + "b\"");
    EXPECT_EQ(as_quoted("\x80"), "\"" + r + "\"") << "a continuation byte alone";
    EXPECT_EQ(as_quoted("\xc3"), "\"" + r + "\"") << "cut after the first byte";
    EXPECT_EQ(as_quoted("\xe2\x82"), "\"" + r + r + "\"") << "cut after the second byte";
    EXPECT_EQ(as_quoted("\xf0\x9f\x98"), "\"" + r + r + r + "\"") << "cut after the third byte";
    EXPECT_EQ(as_quoted("\xc0\xaf"), "\"" + r + r + "\"") << "overlong, two bytes";
    EXPECT_EQ(as_quoted("\xe0\x80\xaf"), "\"" + r + r + r + "\"") << "overlong, three bytes";
    EXPECT_EQ(as_quoted("\xf0\x80\x80\xaf"), "\"" + r + r + r + r + "\"") << "overlong, four bytes";
    EXPECT_EQ(as_quoted("\xed\xa0\x80"), "\"" + r + r + r + "\"") << "half of a surrogate pair";
    EXPECT_EQ(as_quoted("\xf4\x90\x80\x80"), "\"" + r + r + r + r + "\"") << "above U+10FFFF";
    EXPECT_EQ(as_quoted("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\"") << "U+10FFFF itself";
    EXPECT_EQ(as_quoted("\xc3\""), "\"" + r + "\\\"\"") << "the quote behind a cut character is still escaped";
}

TEST(log_line, quotes_a_word_only_when_it_could_be_misread) {
    EXPECT_EQ(as_word("claude-opus-4-8"), "claude-opus-4-8");
    EXPECT_EQ(as_word("two words"), "\"two words\"");
    EXPECT_EQ(as_word("a=b"), "\"a=b\"");
    EXPECT_EQ(as_word(""), "\"\"");
    EXPECT_EQ(as_word("\x1b[2J"), "\"\\u001b[2J\"");
}

TEST(log_line, writes_times_in_utc_with_milliseconds) {
    EXPECT_EQ(time_text(0), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(time_text(1'795'488'717'007), "2026-11-24T02:51:57.007Z");
    EXPECT_EQ(time_text(1'795'488'717'999), "2026-11-24T02:51:57.999Z") << "the same second again, from memory";
    EXPECT_EQ(time_text(1'795'488'718'000), "2026-11-24T02:51:58.000Z");
    EXPECT_EQ(time_text(-1), "1969-12-31T23:59:59.999Z");
}

TEST(log_line, writes_microseconds_as_milliseconds_with_three_decimals) {
    const auto ms = [](std::uint64_t us) {
        std::string out;
        append_ms(out, us);
        return out;
    };
    EXPECT_EQ(ms(0), "0.000");
    EXPECT_EQ(ms(7), "0.007");
    EXPECT_EQ(ms(1'000), "1.000");
    EXPECT_EQ(ms(12'345), "12.345");
    EXPECT_EQ(ms(3'600'000'010), "3600000.010");
}

}  // namespace
}  // namespace telemetry
