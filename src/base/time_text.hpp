// Times and spans of time as people and JSON write them. Times are milliseconds since 1970 UTC.
// Plain functions of values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace base {

// RFC 3339 in UTC: "2027-01-01T00:00:00Z", with milliseconds only when there are any. Years 0 to 9999; other times are
// written as the nearest of them.
std::string time_text(std::int64_t at_ms);

// "2027-01-01" (midnight UTC) or RFC 3339 with any offset and up to nine decimals, of which three count. Nothing for
// anything else, days that do not exist included.
std::optional<std::int64_t> parse_time(std::string_view text);

// "30s", "15m", "1h", "90d", "2w": a whole number with a unit, at most 100 years.
std::optional<std::int64_t> parse_span_ms(std::string_view text);

}  // namespace base
