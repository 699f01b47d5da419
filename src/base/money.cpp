#include "base/money.hpp"

#include <fmt/format.h>

namespace base {
namespace {
constexpr std::size_t decimals_max = 12;
constexpr std::int64_t dollars_max = 9'000'000;
}  // namespace

std::string dollars_text(pico_dollars amount) {
    // The magnitude of the smallest number has no positive twin in int64.
    const auto magnitude = amount < 0 ? -static_cast<__int128>(amount) : static_cast<__int128>(amount);
    const auto whole = static_cast<std::int64_t>(magnitude / pico_per_dollar);
    const auto rest = static_cast<std::int64_t>(magnitude % pico_per_dollar);
    std::string text = fmt::format("{}{}", amount < 0 ? "-" : "", whole);
    if (rest == 0) return text;
    std::string decimals = fmt::format("{:0{}}", rest, decimals_max);
    decimals.erase(decimals.find_last_not_of('0') + 1);
    return text.append(".").append(decimals);
}

std::optional<pico_dollars> parse_dollars(std::string_view text) {
    if (text.starts_with('$')) text.remove_prefix(1);
    const std::size_t point = text.find('.');
    const std::string_view whole = text.substr(0, point);
    const std::string_view decimals = point == text.npos ? std::string_view() : text.substr(point + 1);
    if (whole.empty() || whole.size() > 7 || decimals.size() > decimals_max) return std::nullopt;
    if (point != text.npos && decimals.empty()) return std::nullopt;
    pico_dollars amount = 0;
    for (const char c : whole) {
        if (c < '0' || c > '9') return std::nullopt;
        amount = amount * 10 + (c - '0');
    }
    if (amount > dollars_max) return std::nullopt;
    for (std::size_t i = 0; i < decimals_max; ++i) {
        const char c = i < decimals.size() ? decimals[i] : '0';
        if (c < '0' || c > '9') return std::nullopt;
        amount = amount * 10 + (c - '0');
    }
    return amount > dollars_max * pico_per_dollar ? std::nullopt : std::optional(amount);
}

}  // namespace base
