#include "database/text.hpp"

#include <gtest/gtest.h>

#include <random>

namespace database {
namespace {

using namespace std::string_literals;

std::string cleaned(std::string_view text) {
    std::string storage;
    return std::string(clean(text, storage));
}

TEST(text, clean_text_is_handed_through_without_a_copy) {
    for (const std::string& text :
         {""s, "a"s, "plain text of more than eight bytes"s, "\x01\x7f\t"s,
          "\u00e4 \u0800 \uffff \U00010000 \U0010ffff \u00fc"s, "\xED\x9F\xBF\xEE\x80\x80"s}) {
        std::string storage;
        EXPECT_EQ(clean(text, storage).data(), text.data()) << text;
    }
}

TEST(text, each_bad_byte_becomes_one_replacement_character) {
    const std::string r = "\xEF\xBF\xBD";
    EXPECT_EQ(cleaned("\0"s), r);
    EXPECT_EQ(cleaned("12345678\0"s), "12345678" + r);
    EXPECT_EQ(cleaned("1234567\0abcdefgh"s), "1234567" + r + "abcdefgh");
    EXPECT_EQ(cleaned("\x80"s), r);                          // a continuation alone
    EXPECT_EQ(cleaned("\xC3"s), r);                          // cut off
    EXPECT_EQ(cleaned("\xC3("s), r + "(");                   // wrong second byte
    EXPECT_EQ(cleaned("\xC0\xAF\xC1\xBF"s), r + r + r + r);  // overlong
    EXPECT_EQ(cleaned("\xE0\x9F\xBF"s), r + r + r);          // overlong
    EXPECT_EQ(cleaned("\xF0\x8F\xBF\xBF"s), r + r + r + r);  // overlong
    EXPECT_EQ(cleaned("\xED\xA0\x80"s), r + r + r);          // a surrogate
    EXPECT_EQ(cleaned("\xF4\x90\x80\x80"s), r + r + r + r);  // above U+10FFFF
    EXPECT_EQ(cleaned("\xF5\xFF"s), r + r);                  // never part of UTF-8
    EXPECT_EQ(cleaned("\xF0\x9F\x98"s), r + r + r);          // cut off
    EXPECT_EQ(cleaned("\xE4\xB8\xAD\xE4\xB8"s), "\xE4\xB8\xAD" + r + r);
}

TEST(text, a_bad_byte_is_found_wherever_it_stands) {
    for (std::size_t length = 1; length <= 19; ++length) {
        for (std::size_t place = 0; place < length; ++place) {
            for (const char byte : {'\0', '\x80', '\xff'}) {
                std::string text(length, 'x');
                text[place] = byte;
                EXPECT_EQ(cleaned(text),
                          std::string(place, 'x') + "\xEF\xBF\xBD" + std::string(length - place - 1, 'x'));
            }
        }
    }
}

TEST(text, what_was_cleaned_is_clean) {
    std::mt19937 random(20261124);
    for (int round = 0; round < 20'000; ++round) {
        std::string text;
        for (auto length = random() % 24; length > 0; --length) {
            // Mostly the bytes at the borders of the rules.
            constexpr unsigned char bytes[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF,
                                               0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
            text += static_cast<char>(bytes[random() % sizeof bytes]);
        }
        const auto once = cleaned(text);
        ASSERT_EQ(cleaned(once), once);
        ASSERT_EQ(once.find('\0'), std::string::npos);
    }
}

TEST(text, the_schema_is_taken_off_names_only) {
    EXPECT_EQ(without_schema("SELECT claude_proxy.keys.id FROM claude_proxy.keys,claude_proxy.teams"),
              "SELECT keys.id FROM keys,teams");
    EXPECT_EQ(without_schema("(claude_proxy.a)"), "(a)");
    for (const char* same :
         {"SELECT 'claude_proxy.keys'", "SELECT 'it''s claude_proxy.keys'", "SELECT \"claude_proxy.k\"",
          "-- the claude_proxy.keys' table\n", "/* ' claude_proxy.keys */", "my_claude_proxy.keys",
          "x.claude_proxy.keys", "'never closed claude_proxy.keys", "/* claude_proxy.keys", ""}) {
        EXPECT_EQ(without_schema(same), same);
    }
    EXPECT_EQ(without_schema("-- it's\nclaude_proxy.a /* ' */ claude_proxy.b ''claude_proxy.c"),
              "-- it's\na /* ' */ b ''c");
}

}  // namespace
}  // namespace database
