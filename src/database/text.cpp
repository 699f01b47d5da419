#include "database/text.hpp"

#include <cstdint>
#include <cstring>

namespace database {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view schema_prefix = "claude_proxy.";

bool is_between(char c, unsigned low, unsigned high) {
    const auto byte = static_cast<unsigned char>(c);
    return low <= byte && byte <= high;
}

// The length of the valid character above U+007F that `text` begins with; 0 when it is none. The ranges of the second
// byte keep out overlong forms, surrogates and what lies above U+10FFFF.
std::size_t wide_character(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    std::size_t length = 0;
    unsigned low = 0x80, high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    }
    if (length == 0 || text.size() < length || !is_between(text[1], low, high)) return 0;
    for (std::size_t i = 2; i < length; ++i) {
        if (!is_between(text[i], 0x80, 0xBF)) return 0;
    }
    return length;
}

// Clean for sure: at least eight bytes, all of them ASCII and none NUL. The last eight may be looked at twice.
bool is_plain(std::string_view text) {
    std::uint64_t word = 0;
    if (text.size() < sizeof word) return false;
    std::uint64_t seen = 0;
    const auto look = [&](std::size_t at) {
        std::memcpy(&word, text.data() + at, sizeof word);
        seen |= (word - 0x0101010101010101U) | word;
    };
    for (std::size_t at = 0; at + sizeof word <= text.size(); at += sizeof word) look(at);
    look(text.size() - sizeof word);
    return (seen & 0x8080808080808080U) == 0;
}

// How many bytes at the beginning are clean.
std::size_t clean_prefix(std::string_view text) {
    if (is_plain(text)) return text.size();
    std::size_t at = 0;
    while (at < text.size()) {
        // Eight bytes at once: the highest bit of a byte shows in one of the two terms when it is 0 or above 0x7F.
        std::uint64_t word = 0;
        while (text.size() - at >= sizeof word) {
            std::memcpy(&word, text.data() + at, sizeof word);
            if ((((word - 0x0101010101010101U) | word) & 0x8080808080808080U) != 0) break;
            at += sizeof word;
        }
        if (at == text.size()) break;
        if (is_between(text[at], 0x01, 0x7F)) {
            ++at;
            continue;
        }
        const auto length = wide_character(text.substr(at));
        if (length == 0) break;
        at += length;
    }
    return at;
}

bool is_part_of_name(char c) {
    return is_between(c, 'a', 'z') || is_between(c, 'A', 'Z') || is_between(c, '0', '9') || c == '_' || c == '.' ||
           is_between(c, 0x80, 0xFF);
}

// Where the literal, quoted name or comment that begins at `at` ends; `at` itself when none begins there.
std::size_t end_of_opaque(std::string_view sql, std::size_t at) {
    const auto end_after = [&](std::string_view closing, std::size_t from) {
        const auto found = sql.find(closing, from);
        return found == std::string_view::npos ? sql.size() : found + closing.size();
    };
    // A doubled quote inside of a literal ends it here and begins the next one: the same text either way.
    if (sql[at] == '\'') return end_after("'", at + 1);
    if (sql[at] == '"') return end_after("\"", at + 1);
    if (sql.substr(at).starts_with("--")) return end_after("\n", at);
    if (sql.substr(at).starts_with("/*")) return end_after("*/", at + 2);
    return at;
}

}  // namespace

void append_clean(std::string& to, std::string_view text) {
    for (;;) {
        const auto good = clean_prefix(text);
        to.append(text.substr(0, good));
        if (good == text.size()) return;
        to.append(replacement);
        text.remove_prefix(good + 1);
    }
}

std::string_view clean(std::string_view text, std::string& storage) {
    if (clean_prefix(text) == text.size()) return text;
    storage.clear();
    append_clean(storage, text);
    return storage;
}

std::string without_schema(std::string_view sql) {
    std::string made;
    made.reserve(sql.size());
    std::size_t at = 0;
    while (at < sql.size()) {
        if (const auto end = end_of_opaque(sql, at); end != at) {
            made.append(sql.substr(at, end - at));
            at = end;
        } else if (is_part_of_name(sql[at])) {
            auto stop = at;
            while (stop < sql.size() && is_part_of_name(sql[stop])) ++stop;
            auto name = sql.substr(at, stop - at);
            if (name.starts_with(schema_prefix)) name.remove_prefix(schema_prefix.size());
            made.append(name);
            at = stop;
        } else {
            made += sql[at++];
        }
    }
    return made;
}

}  // namespace database
