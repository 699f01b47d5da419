#include "telemetry/line.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <ctime>

namespace telemetry {
namespace {

// Bytes that a JSON string takes as they are. What lies above ASCII is looked at character by character.
bool is_plain(char byte) { return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\'; }

// How many plain bytes the text begins with. Eight at a time: nearly all text is plain, and every line has a dozen.
std::size_t plain_size(std::string_view text) {
    constexpr std::uint64_t ones = 0x0101010101010101, highs = 0x80 * ones;
    // The high bit of each byte that is zero; a byte above one that is may be marked too, which only ends the fast
    // part.
    const auto zeros = [](std::uint64_t word) { return (word - ones) & ~word; };
    const auto is_plain_word = [&](std::size_t at) {
        std::uint64_t word;
        std::memcpy(&word, text.data() + at, sizeof word);
        const std::uint64_t below_space = (word - 0x20 * ones) & ~word;
        const std::uint64_t beyond = word | (word + ones);  // 0x7f and above
        return ((below_space | beyond | zeros(word ^ ('"' * ones)) | zeros(word ^ ('\\' * ones))) & highs) == 0;
    };
    constexpr std::size_t step = sizeof(std::uint64_t);
    std::size_t at = 0;
    while (at + step <= text.size() && is_plain_word(at)) at += step;
    // The last eight again, with those that came before: a rest of a few bytes is no loop.
    if (text.size() >= step && at + step > text.size() && is_plain_word(text.size() - step)) return text.size();
    while (at < text.size() && is_plain(text[at])) ++at;
    return at;
}

// Length of the UTF-8 character at the beginning of `text`; 0 when the bytes are none (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
std::size_t utf8_size(std::string_view text) {
    const auto byte = [&text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const auto follows = [&byte](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
    const unsigned first = byte(0);
    const unsigned second = byte(1);
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4 || !follows(1)) return 0;
    if (first < 0xe0) return 2;
    if (!follows(2)) return 0;
    if (first < 0xf0) return (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ? 0 : 3;
    if (!follows(3)) return 0;
    return (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f) ? 0 : 4;
}

void append_escape(std::string& out, unsigned code) {
    constexpr std::string_view digits = "0123456789abcdef";
    out.append("\\u");
    for (int shift = 12; shift >= 0; shift -= 4) out.push_back(digits[(code >> shift) & 15u]);
}

}  // namespace

std::string_view name_of(level severity) {
    switch (severity) {
        case level::debug:
            return "debug";
        case level::info:
            return "info";
        case level::warn:
            return "warn";
        case level::error:
            return "error";
    }
    return "error";
}

void append_quoted(std::string& out, std::string_view text) {
    constexpr unsigned replacement_character = 0xfffd;
    constexpr unsigned c1_controls_end = 0xa0;  // U+0080 to U+009F steer terminals as ESC does
    out.push_back('"');
    while (!text.empty()) {
        const std::size_t plain = plain_size(text);
        out.append(text.substr(0, plain));
        text.remove_prefix(plain);
        if (text.empty()) break;
        const unsigned char first = static_cast<unsigned char>(text.front());
        const std::size_t size = utf8_size(text);
        if (first == '"' || first == '\\') {
            out.push_back('\\');
            out.push_back(text.front());
        } else if (first == '\n') {
            out.append("\\n");
        } else if (first < 0x80) {
            append_escape(out, first);
        } else if (size == 0) {
            append_escape(out, replacement_character);
        } else if (first == 0xc2 && static_cast<unsigned char>(text[1]) < c1_controls_end) {
            append_escape(out, static_cast<unsigned char>(text[1]));
        } else {
            out.append(text.substr(0, size));
        }
        text.remove_prefix(size == 0 ? 1 : size);
    }
    out.push_back('"');
}

void append_word(std::string& out, std::string_view text) {
    bool word = !text.empty();
    for (const char byte : text) word = word && is_plain(byte) && byte != ' ' && byte != '=';
    if (word) {
        out.append(text);
    } else {
        append_quoted(out, text);
    }
}

void append_time(std::string& out, std::chrono::system_clock::time_point at) {
    using namespace std::chrono;
    // Thousands of lines share a second: its text is made once.
    thread_local std::int64_t known_second = -1;
    thread_local std::array<char, sizeof "2026-11-24T02:51:57"> known_text{};
    const auto whole = floor<seconds>(at);
    const auto millis = static_cast<unsigned>(duration_cast<milliseconds>(at - whole).count());
    const std::int64_t second = whole.time_since_epoch().count();
    if (second != known_second) {
        const std::time_t as_time = static_cast<std::time_t>(second);
        std::tm parts{};
        gmtime_r(&as_time, &parts);
        std::strftime(known_text.data(), known_text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
        known_second = second;
    }
    const char tail[] = {'.', static_cast<char>('0' + millis / 100), static_cast<char>('0' + millis / 10 % 10),
                         static_cast<char>('0' + millis % 10), 'Z'};
    out.append(known_text.data()).append(tail, sizeof tail);
}

void append_number(std::string& out, std::uint64_t number) {
    const fmt::format_int text(number);
    out.append(text.data(), text.size());
}

void append_ms(std::string& out, std::uint64_t us) {
    append_number(out, us / 1000);
    const unsigned rest = static_cast<unsigned>(us % 1000);
    const char tail[] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                         static_cast<char>('0' + rest % 10)};
    out.append(tail, sizeof tail);
}

void begin_line(std::string& out, format form, std::chrono::system_clock::time_point at, level severity,
                std::string_view event) {
    if (form == format::json) {
        out.append("{\"ts\":\"");
        append_time(out, at);
        out.append("\",\"level\":\"").append(name_of(severity)).append("\",\"event\":");
        append_quoted(out, event);
        return;
    }
    constexpr std::size_t level_width = 5;
    const std::string_view name = name_of(severity);
    append_time(out, at);
    out.append(" ").append(name).append(level_width + 1 - name.size(), ' ');
    append_word(out, event);
}

void append_field(std::string& out, format form, std::string_view name, std::string_view value) {
    if (form == format::json) {
        out.push_back(',');
        append_quoted(out, name);
        out.push_back(':');
        append_quoted(out, value);
    } else {
        out.append(" ").append(name).append("=");
        append_word(out, value);
    }
}

}  // namespace telemetry
