#include "base/percent.hpp"

#include <gtest/gtest.h>

namespace {

using namespace base;

TEST(percent, escapes_are_decoded_once) {
    EXPECT_EQ(percent_decoded("a%20b%2fc%2Fd", plus_sign::itself), "a b/c/d");
    EXPECT_EQ(percent_decoded("%2541", plus_sign::itself), "%41");
    EXPECT_EQ(percent_decoded("", plus_sign::itself), "");
    EXPECT_EQ(percent_decoded("%00%ff", plus_sign::itself), std::string("\0\xff", 2));
}

TEST(percent, a_plus_is_a_space_only_in_a_query) {
    EXPECT_EQ(percent_decoded("a+b%2B", plus_sign::space), "a b+");
    EXPECT_EQ(percent_decoded("a+b%2B", plus_sign::itself), "a+b+");
}

TEST(percent, a_broken_escape_is_no_text) {
    for (const std::string_view text : {"%", "%2", "a%", "a%g0", "%0g", "%-1", "% 1"}) {
        EXPECT_FALSE(percent_decoded(text, plus_sign::itself)) << text;
    }
}

TEST(percent, only_hexadecimal_digits_have_a_value) {
    const std::string_view lower = "0123456789abcdef", upper = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const auto place = lower.find(c) != lower.npos ? lower.find(c) : upper.find(c);
        EXPECT_EQ(hex_digit(c), place == upper.npos ? -1 : static_cast<int>(place)) << byte;
    }
}

}  // namespace
