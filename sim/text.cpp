#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <ctime>
#include <random>

namespace sim {

std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
    return value ^ (value >> 31);
}

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
    std::uint64_t hash = mix(seed ^ (bytes.size() * 0x9e3779b97f4a7c15ULL));
    while (bytes.size() >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), 8);
        hash = (hash ^ mix(word)) * 0x9fb21c651e98df25ULL;
        bytes.remove_prefix(8);
    }
    std::uint64_t rest = 0;
    if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
    return mix(hash ^ mix(rest + 1));
}

namespace {

constexpr std::string_view alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

// Ids must differ between two runs with the same seed: a ledger may outlive a simulator.
std::uint64_t process_nonce() {
    static const std::uint64_t nonce = [] {
        std::random_device device;
        return (static_cast<std::uint64_t>(device()) << 32) ^ device();
    }();
    return nonce;
}

std::tm broken_down(wall_clock::time_point at) {
    const std::time_t seconds = wall_clock::to_time_t(at);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    return parts;
}

}  // namespace

std::string letters_and_digits(std::uint64_t seed, std::size_t length) {
    random_source random(seed);
    std::string text(length, '0');
    for (char& letter : text) letter = alphabet[random.below(alphabet.size())];
    return text;
}

std::string unique_id(std::string_view prefix) {
    static std::atomic<std::uint64_t> counter{0};
    const std::uint64_t number = ++counter;
    return fmt::format("{}01{}", prefix, letters_and_digits(mix(process_nonce() + number * 0x9e3779b97f4a7c15ULL), 22));
}

std::string base64_noise(std::uint64_t seed, std::size_t length) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    random_source random(seed);
    std::string text(length / 4 * 4, 'A');
    for (char& letter : text) letter = digits[random.below(digits.size())];
    return text;
}

std::string rfc3339_micros(wall_clock::time_point at) {
    const auto micros =
        std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count() % 1'000'000;
    const std::tm parts = broken_down(at);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, micros);
}

std::string rfc3339_seconds(wall_clock::time_point at) {
    const std::tm parts = broken_down(at);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                       parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string http_date(wall_clock::time_point at) {
    constexpr std::array days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const std::tm parts = broken_down(at);
    return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", days.at(static_cast<std::size_t>(parts.tm_wday)),
                       parts.tm_mday, months.at(static_cast<std::size_t>(parts.tm_mon)), parts.tm_year + 1900,
                       parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string quote(std::string_view text) {
    std::string quoted;
    quoted.reserve(text.size() + 2);
    quoted += '"';
    for (const char letter : text) {
        switch (letter) {
            case '"':
                quoted += "\\\"";
                break;
            case '\\':
                quoted += "\\\\";
                break;
            case '\n':
                quoted += "\\n";
                break;
            case '\r':
                quoted += "\\r";
                break;
            case '\t':
                quoted += "\\t";
                break;
            default:
                if (static_cast<unsigned char>(letter) < 0x20) {
                    quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(letter));
                } else {
                    quoted += letter;
                }
        }
    }
    quoted += '"';
    return quoted;
}

std::string quote_or_null(std::string_view text) { return text.empty() ? "null" : quote(text); }

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& letter : result) {
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
    return result;
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
    return text;
}

std::string percent_decoded(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    for (std::size_t at = 0; at < text.size(); ++at) {
        unsigned value = 0;
        if (text[at] == '%' && at + 2 < text.size()) {
            const char* first = text.data() + at + 1;
            const auto [end, failure] = std::from_chars(first, first + 2, value, 16);
            if (failure == std::errc{} && end == first + 2) {
                result += static_cast<char>(value);
                at += 2;
                continue;
            }
        }
        result += text[at];
    }
    return result;
}

bool read_number(std::string_view text, std::uint64_t& number) {
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    return result.ec == std::errc{} && result.ptr == end && !text.empty();
}

namespace {
bool starts_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }
}  // namespace

std::size_t characters(std::string_view utf8) {
    return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), starts_character));
}

std::size_t offset_of(std::string_view utf8, std::size_t count) {
    for (std::size_t at = 0; at < utf8.size(); ++at) {
        if (!starts_character(utf8[at])) continue;
        if (count == 0) return at;
        --count;
    }
    return utf8.size();
}

}  // namespace sim
