// The building blocks of log lines: text that may hold anything, times and numbers, appended to a string. A log line is
// read by programs and shown on terminals, so neither may be led astray by what a client sent: control characters are
// escaped and bytes that are not UTF-8 become U+FFFD. Plain functions; free to call from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "telemetry/telemetry.hpp"

namespace telemetry {

std::string_view name_of(level severity);

// A JSON string with its quotes.
void append_quoted(std::string& out, std::string_view text);

// The text as it is when it is one plain word, else as a JSON string.
void append_word(std::string& out, std::string_view text);

// "2026-11-24T02:51:57.123Z"
void append_time(std::string& out, std::chrono::system_clock::time_point at);

void append_number(std::string& out, std::uint64_t number);

// Microseconds as milliseconds with three decimals: "12.345".
void append_ms(std::string& out, std::uint64_t us);

// The beginning of every line; fields follow with append_field. JSON lines are closed with a brace by the caller.
void begin_line(std::string& out, format form, std::chrono::system_clock::time_point at, level severity,
                std::string_view event);
void append_field(std::string& out, format form, std::string_view name, std::string_view value);

}  // namespace telemetry
