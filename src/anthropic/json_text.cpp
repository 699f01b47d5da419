#include "anthropic/json_text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace anthropic {
namespace {

constexpr std::uint32_t replacement_character = 0xFFFD;

void append_utf8(std::string& to, std::uint32_t code_point) {
    const auto byte = [&](std::uint32_t value) { to += static_cast<char>(value); };
    if (code_point < 0x80) {
        byte(code_point);
    } else if (code_point < 0x800) {
        byte(0xC0 | code_point >> 6);
        byte(0x80 | (code_point & 0x3F));
    } else if (code_point < 0x10000) {
        byte(0xE0 | code_point >> 12);
        byte(0x80 | (code_point >> 6 & 0x3F));
        byte(0x80 | (code_point & 0x3F));
    } else {
        byte(0xF0 | code_point >> 18);
        byte(0x80 | (code_point >> 12 & 0x3F));
        byte(0x80 | (code_point >> 6 & 0x3F));
        byte(0x80 | (code_point & 0x3F));
    }
}

// The number written by the four hexadecimal digits at `position`.
std::optional<std::uint32_t> hex4(std::string_view text, std::size_t position) {
    if (text.size() < position + 4) return {};
    std::uint32_t value = 0;
    const char* const first = text.data() + position;
    const auto [stopped, status] = std::from_chars(first, first + 4, value, 16);
    if (status != std::errc() || stopped != first + 4) return {};
    return value;
}

bool is_high_surrogate(std::uint32_t unit) { return unit >= 0xD800 && unit <= 0xDBFF; }
bool is_low_surrogate(std::uint32_t unit) { return unit >= 0xDC00 && unit <= 0xDFFF; }

// Reads \uXXXX, or two of them that form a pair, from the `u` at `position`; moves `position` past it.
std::optional<std::uint32_t> unicode_escape(std::string_view text, std::size_t& position) {
    const auto unit = hex4(text, position + 1);
    if (!unit) return {};
    position += 5;
    if (is_low_surrogate(*unit)) return replacement_character;
    if (!is_high_surrogate(*unit)) return unit;
    if (text.substr(position, 2) != "\\u") return replacement_character;
    const auto low = hex4(text, position + 2);
    if (!low || !is_low_surrogate(*low)) return replacement_character;  // the second escape is read for itself next
    position += 6;
    return 0x10000 + ((*unit - 0xD800) << 10) + (*low - 0xDC00);
}

// Length of the valid UTF-8 character at the beginning of `text`, 0 if there is none.
std::size_t character_bytes(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (length > text.size()) return 0;
    return simdjson::validate_utf8(text.data(), length) ? length : 0;
}

// Visible ASCII and spaces without a backslash, eight at a time: what nearly every string here is made of. May say no
// to more than it must.
bool is_plain(std::string_view text) {
    constexpr std::uint64_t every = 0x0101010101010101;
    std::uint64_t other = 0;
    const auto look = [&](std::uint64_t word) {
        const std::uint64_t control = word - every * 0x20;
        const std::uint64_t backslash = (word ^ every * '\\') - every;
        other |= word | control | backslash;
    };
    std::size_t at = 0;
    for (; at + 8 <= text.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + at, 8);
        look(word);
    }
    if (at < text.size()) {
        std::uint64_t word = every * ' ';
        std::memcpy(&word, text.data() + at, text.size() - at);
        look(word);
    }
    return (other & every * 0x80) == 0;
}

}  // namespace

std::optional<std::string> unescape(std::string_view between_quotes) {
    std::string decoded;
    decoded.reserve(between_quotes.size());
    std::size_t position = 0;
    while (position < between_quotes.size()) {
        const auto escape = std::min(between_quotes.find('\\', position), between_quotes.size());
        decoded.append(between_quotes, position, escape - position);
        position = escape + 1;
        if (escape == between_quotes.size()) break;
        if (position == between_quotes.size()) return {};
        switch (const char letter = between_quotes[position]) {
            case '"':
            case '\\':
            case '/':
                decoded += letter;
                break;
            case 'b':
                decoded += '\b';
                break;
            case 'f':
                decoded += '\f';
                break;
            case 'n':
                decoded += '\n';
                break;
            case 'r':
                decoded += '\r';
                break;
            case 't':
                decoded += '\t';
                break;
            case 'u': {
                const auto code_point = unicode_escape(between_quotes, position);
                if (!code_point) return {};
                append_utf8(decoded, *code_point);
                continue;
            }
            default:
                return {};
        }
        ++position;
    }
    return decoded;
}

std::optional<std::string> decode_string(std::string_view text) {
    if (text.size() < 2 || text.front() != '"' || text.back() != '"') return {};
    const auto inside = text.substr(1, text.size() - 2);
    if (is_plain(inside)) return std::string(inside);
    if (std::ranges::any_of(inside, [](char byte) { return static_cast<unsigned char>(byte) < 0x20; })) return {};
    if (!simdjson::validate_utf8(inside.data(), inside.size())) return {};
    return unescape(inside);
}

void append_escaped(std::string& to, std::string_view text) {
    while (!text.empty()) {
        const char letter = text.front();
        std::size_t length = 1;
        if (letter == '"' || letter == '\\') {
            to += '\\';
            to += letter;
        } else if (letter == '\n') {
            to += "\\n";
        } else if (letter == '\r') {
            to += "\\r";
        } else if (letter == '\t') {
            to += "\\t";
        } else if (static_cast<unsigned char>(letter) < 0x20) {
            to += fmt::format("\\u{:04x}", static_cast<unsigned>(letter));
        } else if (const auto bytes = character_bytes(text)) {
            length = bytes;
            to += text.substr(0, bytes);
        } else {
            to += '?';
        }
        text.remove_prefix(length);
    }
}

std::optional<std::uint64_t> plain_count(std::string_view text) {
    if (text.empty() || (text.size() > 1 && text.front() == '0')) return {};
    std::uint64_t value = 0;
    const auto [stopped, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status != std::errc() || stopped != text.data() + text.size()) return {};
    return value;
}

std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max) {
    if (text.size() <= bytes_max) return text;
    std::size_t length = bytes_max;
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
    return text.substr(0, length);
}

}  // namespace anthropic
