// Small words that everything here speaks: hashes, ids, times, JSON strings. Pure functions, safe from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace sim {

using wall_clock = std::chrono::system_clock;

// One round of splitmix64: a well mixed value from any value.
std::uint64_t mix(std::uint64_t value);

// A fast 64-bit hash, stable between runs. Not cryptographic.
std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed = 0);

// A small seeded generator. The same seed gives the same sequence on every machine.
class random_source {
public:
    explicit random_source(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
    // In [0, bound); bound must not be 0.
    std::uint64_t below(std::uint64_t bound) { return next() % bound; }

private:
    std::uint64_t state_;
};

// PREFIX + "01" + 22 letters and digits, never the same twice, also across restarts.
std::string unique_id(std::string_view prefix);
std::string letters_and_digits(std::uint64_t seed, std::size_t length);
std::string base64_noise(std::uint64_t seed, std::size_t length);

// 2026-08-20T18:37:24.100435Z, 2026-08-20T18:37:24Z and Thu, 20 Aug 2026 18:37:24 GMT.
std::string rfc3339_micros(wall_clock::time_point at);
std::string rfc3339_seconds(wall_clock::time_point at);
std::string http_date(wall_clock::time_point at);

// A JSON string literal with its quotes. Bytes above 127 stay as they are.
std::string quote(std::string_view text);
std::string quote_or_null(std::string_view text);  // empty gives null

std::string lower(std::string_view text);
std::string_view trim(std::string_view text);
std::string percent_decoded(std::string_view text);

// A whole decimal number, nothing else around it. False when it is not one.
bool read_number(std::string_view text, std::uint64_t& number);

// The length in code points, and the byte offset behind the first `count` code points (or the end).
std::size_t characters(std::string_view utf8);
std::size_t offset_of(std::string_view utf8, std::size_t count);

}  // namespace sim
