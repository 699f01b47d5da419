// Money as integer pico-dollars: 1e-12 US dollars, so that half of a cent per million tokens is still a whole number
// (docs/protocol.md, prices). An int64 holds 9.2 million dollars either way. Nothing here rounds, but where it says so.
// Plain functions of values; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace base {

using pico_dollars = std::int64_t;

inline constexpr pico_dollars pico_per_dollar = 1'000'000'000'000;
inline constexpr pico_dollars pico_dollars_max = std::numeric_limits<pico_dollars>::max();

// Sums and products stop at the ends of the range instead of wrapping: an absurd bound stays absurd.
constexpr pico_dollars add_saturated(pico_dollars a, pico_dollars b) {
    pico_dollars sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) return a < 0 ? std::numeric_limits<pico_dollars>::min() : pico_dollars_max;
    return sum;
}
constexpr pico_dollars multiply_saturated(std::uint64_t count, pico_dollars each) {
    pico_dollars product = 0;
    if (__builtin_mul_overflow(count, each, &product))
        return each < 0 ? std::numeric_limits<pico_dollars>::min() : pico_dollars_max;
    return product;
}

// "12.5", "0.000001", "-3": exact, without trailing zeros and without a currency sign.
std::string dollars_text(pico_dollars amount);

// "50", "$50", "0.25": at most 12 decimals and 9,000,000 dollars; nothing for anything else, negative amounts included.
std::optional<pico_dollars> parse_dollars(std::string_view text);

}  // namespace base
