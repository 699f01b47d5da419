#include "anthropic/json_text.hpp"

#include <gtest/gtest.h>

namespace {

using namespace anthropic;

TEST(json_text, short_escapes_mean_their_characters) {
    EXPECT_EQ(unescape(R"(a\"\\\/\b\f\n\r\tz)"), "a\"\\/\b\f\n\r\tz");
}

TEST(json_text, unicode_escapes_become_utf8_of_one_to_four_bytes) {
    EXPECT_EQ(unescape(R"(\u006d\u00E9\u20ac\ud83d\ude00)"), "m\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    EXPECT_EQ(unescape(R"(\u0000)"), std::string(1, '\0'));
}

TEST(json_text, half_a_surrogate_pair_becomes_the_replacement_character) {
    EXPECT_EQ(unescape(R"(\ud83dx)"), "\xEF\xBF\xBDx");
    EXPECT_EQ(unescape(R"(\ude00)"), "\xEF\xBF\xBD");
    EXPECT_EQ(unescape(R"(\ud83d\ud83d\ude00)"), "\xEF\xBF\xBD\xF0\x9F\x98\x80");
    EXPECT_EQ(unescape(R"(\ud83d\n)"), "\xEF\xBF\xBD\n");
}

TEST(json_text, escapes_that_json_does_not_have_are_refused) {
    for (const std::string_view text :
         {R"(\x41)", R"(\)", R"(ab\)", R"(\u12)", R"(\u12g4)", R"(\u+123)", R"(\U0041)"}) {
        EXPECT_FALSE(unescape(text)) << text;
    }
}

TEST(json_text, a_string_needs_its_quotes_valid_utf8_and_no_control_characters) {
    EXPECT_EQ(decode_string(R"("claude\u002dopus")"), "claude-opus");
    EXPECT_EQ(decode_string(R"("")"), "");
    for (const std::string_view text :
         {"", "\"", "null", "x\"", "\"a\nb\"", "\"\xC3\"", "\"\xED\xA0\x80\"", "\"\\q\""}) {
        EXPECT_FALSE(decode_string(text)) << text;
    }
}

TEST(json_text, every_byte_at_every_place_of_a_string_is_looked_at) {
    for (std::size_t size = 1; size <= 17; ++size) {
        for (std::size_t place = 0; place < size; ++place) {
            for (int byte = 0; byte < 256; ++byte) {
                std::string inside(size, 'z');
                inside[place] = static_cast<char>(byte);
                const auto decoded = decode_string('"' + inside + '"');
                const bool is_good = byte >= 0x20 && byte < 0x80 && byte != '\\';
                ASSERT_EQ(decoded.has_value(), is_good) << "byte " << byte << " at " << place << " of " << size;
                if (is_good) ASSERT_EQ(*decoded, inside);
            }
        }
    }
}

TEST(json_text, a_plain_count_has_digits_only) {
    EXPECT_EQ(plain_count("0"), 0U);
    EXPECT_EQ(plain_count("4096"), 4096U);
    EXPECT_EQ(plain_count("18446744073709551615"), 18446744073709551615U);
    for (const std::string_view text :
         {"", "-1", "+1", "1.0", "1e3", "01", " 1", "\"5\"", "null", "18446744073709551616"}) {
        EXPECT_FALSE(plain_count(text)) << text;
    }
}

TEST(json_text, a_prefix_never_ends_inside_a_character) {
    EXPECT_EQ(utf8_prefix("abc", 3), "abc");
    EXPECT_EQ(utf8_prefix("abcd", 3), "abc");
    EXPECT_EQ(utf8_prefix("ab\xC3\xA9", 3), "ab");
    EXPECT_EQ(utf8_prefix("\xF0\x9F\x98\x80", 3), "");
    EXPECT_EQ(utf8_prefix("a\xE2\x82\xAC!", 4), "a\xE2\x82\xAC");
}

}  // namespace
