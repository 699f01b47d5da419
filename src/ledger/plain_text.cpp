#include "ledger/plain_text.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace ledger {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Bytes of the character that begins at `at`; 0: none does.
std::size_t character_at(const char* at, std::size_t left) {
    const auto first = static_cast<unsigned char>(*at);
    if (first < 0x80) return first == 0 ? 0 : 1;
    const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || bytes > left) return 0;
    for (std::size_t i = 1; i < bytes; ++i) {
        if (!continues(at[i])) return 0;
    }
    const auto second = static_cast<unsigned char>(at[1]);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool surrogate = first == 0xed && second >= 0xa0;
    const bool beyond = first == 0xf4 && second >= 0x90;
    return overlong || surrogate || beyond ? 0 : bytes;
}

// No control character, quote or backslash among at least eight bytes; the last eight may be looked at twice.
bool is_plain_json(std::string_view text) {
    constexpr std::uint64_t ones = 0x0101010101010101;
    std::uint64_t seen = 0;
    const auto look = [&](std::size_t at) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + at, sizeof word);
        const auto marked = [](std::uint64_t below, std::uint64_t limit) { return (below - limit) & ~below; };
        seen |= marked(word, 0x20 * ones) | marked(word ^ ('"' * ones), ones) | marked(word ^ ('\\' * ones), ones);
    };
    if (text.size() < sizeof ones) return false;
    for (std::size_t at = 0; at + sizeof ones <= text.size(); at += sizeof ones) look(at);
    look(text.size() - sizeof ones);
    return (seen & 0x80 * ones) == 0;
}

constexpr std::array<bool, 256> make_escaped() {
    std::array<bool, 256> escaped{};
    for (std::size_t c = 0; c < 0x20; ++c) escaped[c] = true;
    escaped['"'] = escaped['\\'] = true;
    return escaped;
}
constexpr std::array<bool, 256> escaped = make_escaped();

}  // namespace

std::string_view cut_text(std::string_view text, std::size_t bytes) {
    if (text.size() <= bytes) return text;
    std::size_t end = bytes;
    for (int back = 0; back < 4 && end > 0 && continues(text[end]); ++back) --end;
    return text.substr(0, end);
}

cut_list cut_tags(std::string_view json, std::size_t bytes) {
    if (json.empty()) return {"[]"};
    if (json.size() <= bytes) return {json};
    std::size_t whole = 0;  // the end of the last element that leaves room for the "]"
    bool in_string = false;
    for (std::size_t i = 1; i + 1 < bytes; ++i) {
        if (in_string && json[i] == '\\') {
            ++i;
        } else if (json[i] == '"') {
            if (in_string) whole = i + 1;
            in_string = !in_string;
        }
    }
    if (json.front() != '[' || whole == 0) return {"[]"};
    return {json.substr(0, whole), false};
}

bool is_plain_ascii(const char* text, std::size_t bytes) {
    constexpr std::uint64_t high = 0x8080808080808080;
    constexpr std::uint64_t ones = 0x0101010101010101;
    std::uint64_t seen = 0;
    std::size_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, text + i, 8);
        seen |= (word | (word - ones)) & high;  // a byte with its high bit, or a zero
    }
    for (; i < bytes; ++i) seen |= (static_cast<unsigned char>(text[i]) & 0x80) | (text[i] == 0 ? 0x80u : 0u);
    return seen == 0;
}

void mend_text(char* text, std::size_t bytes) {
    if (is_plain_ascii(text, bytes)) return;
    for (std::size_t i = 0; i < bytes;) {
        if (const std::size_t length = character_at(text + i, bytes - i); length > 0) {
            i += length;
        } else {
            text[i++] = '?';
        }
    }
}

void append_json(std::string& to, std::string_view text) {
    constexpr char digits[] = "0123456789abcdef";
    to += '"';
    std::size_t plain = 0;
    for (std::size_t i = is_plain_json(text) ? text.size() : 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (!escaped[c]) continue;
        to.append(text, plain, i - plain);
        plain = i + 1;
        if (c == '"' || c == '\\') {
            to += '\\';
            to += static_cast<char>(c);
        } else {
            to += "\\u00";
            to += digits[c >> 4];
            to += digits[c & 15];
        }
    }
    to.append(text, plain, text.size() - plain);
    to += '"';
}

}  // namespace ledger
