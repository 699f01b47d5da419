// Percent-encoding of URLs (RFC 3986, 2.1), and the hexadecimal digits it is made of. Plain functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace base {

// 0 to 15; -1 for what is no hexadecimal digit.
constexpr int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// The byte that the escape at the beginning of `text` ("%2F...") stands for, 0 to 255; -1 when none is there.
constexpr int escaped_byte(std::string_view text) {
    if (text.size() < 3 || text[0] != '%') return -1;
    const int high = hex_digit(text[1]);
    const int low = hex_digit(text[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// In the query of a form a plus stands for a space, in a path for itself.
enum class plus_sign : std::uint8_t { itself, space };

// Decoded once. Nothing for a broken escape; which characters are welcome is for the caller to say.
std::optional<std::string> percent_decoded(std::string_view text, plus_sign plus);

}  // namespace base
