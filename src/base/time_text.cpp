#include "base/time_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

namespace base {
namespace {

using namespace std::chrono;

constexpr std::int64_t ms_per_day = 86'400'000;

// Takes `count` digits off the front, or nothing.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
    if (text.size() < count) return std::nullopt;
    int number = 0;
    for (const char c : text.substr(0, count)) {
        if (c < '0' || c > '9') return std::nullopt;
        number = number * 10 + (c - '0');
    }
    text.remove_prefix(count);
    return number;
}

bool take(std::string_view& text, char wanted, char or_this) {
    if (text.empty() || (text.front() != wanted && text.front() != or_this)) return false;
    text.remove_prefix(1);
    return true;
}

// Milliseconds of ".123456789", or of nothing.
std::optional<std::int64_t> take_fraction_ms(std::string_view& text) {
    if (!take(text, '.', '.')) return 0;
    constexpr std::size_t decimals_max = 9;
    std::int64_t ms = 0;
    std::size_t decimals = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++decimals) {
        if (decimals < 3) ms = ms * 10 + (text.front() - '0');
    }
    if (decimals == 0 || decimals > decimals_max) return std::nullopt;
    for (; decimals < 3; ++decimals) ms *= 10;
    return ms;
}

// Milliseconds by which local time is ahead of UTC: "Z", "+02:00", "-08:00".
std::optional<std::int64_t> take_offset_ms(std::string_view& text) {
    if (take(text, 'Z', 'z')) return 0;
    const bool behind = text.starts_with('-');
    if (!take(text, '+', '-')) return std::nullopt;
    const auto hour = take_digits(text, 2);
    if (!hour || *hour > 23 || !take(text, ':', ':')) return std::nullopt;
    const auto minute = take_digits(text, 2);
    if (!minute || *minute > 59) return std::nullopt;
    const std::int64_t ahead = (*hour * 60 + *minute) * 60'000;
    return behind ? -ahead : ahead;
}

}  // namespace

std::string time_text(std::int64_t at_ms) {
    constexpr std::int64_t first = -62'167'219'200'000, last = 253'402'300'799'999;  // of the years 0 and 9999
    const sys_time<milliseconds> at{milliseconds(std::clamp(at_ms, first, last))};
    const auto day = floor<days>(at);
    const year_month_day date(day);
    const hh_mm_ss time(at - day);
    std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                   static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                   time.hours().count(), time.minutes().count(), time.seconds().count());
    if (time.subseconds().count() != 0) text += fmt::format(".{:03}", time.subseconds().count());
    return text + 'Z';
}

std::optional<std::int64_t> parse_time(std::string_view text) {
    const auto y = take_digits(text, 4);
    if (!y || !take(text, '-', '-')) return std::nullopt;
    const auto m = take_digits(text, 2);
    if (!m || !take(text, '-', '-')) return std::nullopt;
    const auto d = take_digits(text, 2);
    if (!d) return std::nullopt;
    const year_month_day date(year(*y), month(static_cast<unsigned>(*m)), day(static_cast<unsigned>(*d)));
    if (!date.ok()) return std::nullopt;
    const std::int64_t midnight = sys_days(date).time_since_epoch().count() * ms_per_day;
    if (text.empty()) return midnight;
    if (!take(text, 'T', 't')) return std::nullopt;
    const auto hour = take_digits(text, 2);
    if (!hour || *hour > 23 || !take(text, ':', ':')) return std::nullopt;
    const auto minute = take_digits(text, 2);
    if (!minute || *minute > 59 || !take(text, ':', ':')) return std::nullopt;
    const auto second = take_digits(text, 2);
    if (!second || *second > 59) return std::nullopt;
    const auto fraction = take_fraction_ms(text);
    if (!fraction) return std::nullopt;
    const auto ahead = take_offset_ms(text);
    if (!ahead || !text.empty()) return std::nullopt;
    return midnight + (*hour * 3'600 + *minute * 60 + *second) * 1'000LL + *fraction - *ahead;
}

std::optional<std::int64_t> parse_span_ms(std::string_view text) {
    constexpr std::int64_t span_ms_max = 36'525 * ms_per_day;
    constexpr std::pair<std::string_view, std::int64_t> units[] = {
        {"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", ms_per_day}, {"w", 7 * ms_per_day}};
    std::int64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || number < 0) return std::nullopt;
    const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    const auto* const found = std::ranges::find(units, unit, &std::pair<std::string_view, std::int64_t>::first);
    if (found == std::end(units) || number > span_ms_max / found->second) return std::nullopt;
    return number * found->second;
}

}  // namespace base
