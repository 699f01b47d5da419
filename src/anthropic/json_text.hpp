// Small readers of JSON text that somebody else has already cut out: one string, one count; and the writer of a string.
// Plain functions of bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace anthropic {

// What the bytes between the quotes of a JSON string mean. Nothing on an escape that JSON does not have. Half of a
// surrogate pair, which JSON's grammar allows, becomes U+FFFD. Raw bytes are passed on unchecked.
std::optional<std::string> unescape(std::string_view between_quotes);

// A whole JSON string, quotes included. Nothing when it is not one: no quotes, a control character, a bad escape,
// invalid UTF-8.
std::optional<std::string> decode_string(std::string_view text);

// Writes `text` as it stands between the quotes of a JSON string. Every byte that is no UTF-8 becomes a question mark.
void append_escaped(std::string& to, std::string_view text);

// A non-negative integer in plain digits. Nothing for everything else: sign, fraction, exponent, leading zero, more
// than 64 bits.
std::optional<std::uint64_t> plain_count(std::string_view text);

// The longest beginning of `text` that has at most `bytes_max` bytes and does not end inside a UTF-8 character.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max);

}  // namespace anthropic
