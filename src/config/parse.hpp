// Readers of setting values. Each gives the value or a sentence without a subject ("must be a duration such as ...")
// that the caller puts behind the variable's name; none repeats the text it was given, which may be a secret in the
// wrong place. Plain functions of bytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace config {

template <class T>
using parsed = std::expected<T, std::string>;

// "500ms", "15s", "10m", "1h". The unit is needed: a bare number would be guessed wrong by somebody.
parsed<std::chrono::milliseconds> parse_duration(std::string_view text);
// "65536", "64KiB", "32MiB", "1GiB".
parsed<std::uint64_t> parse_size(std::string_view text);
// Plain digits.
parsed<std::uint64_t> parse_count(std::string_view text);
// "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "0.0.0.0:0".
parsed<address> parse_address(std::string_view text);
// Items between commas, without white space around them, empty ones left out.
std::vector<std::string_view> split_list(std::string_view text);

// The shortest texts that the readers above read back as the same value.
std::string duration_text(std::chrono::milliseconds value);
std::string size_text(std::uint64_t value);
std::string address_text(const address& value);

// 127.0.0.0/8, ::1 or localhost.
bool is_loopback(std::string_view host);

}  // namespace config
