// What a price table looks like in memory: every rate computed beforehand, so that a price is a look-up. Used by
// pricing.cpp alone. Values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pricing/price_document.hpp"

namespace pricing {

// How a request is billed, as an index: each of the four doubles the rates.
struct billing {
    bool long_prompt = false;
    bool fast = false;
    bool us = false;
    bool batch = false;  // without effect on fast

    std::size_t index() const { return long_prompt * 8U + fast * 4U + us * 2U + batch * 1U; }
};

struct price_row {
    std::int64_t from_ms = std::numeric_limits<std::int64_t>::min();
    std::uint64_t context_window = 0;
    std::uint64_t output_max = 0;
    std::uint64_t long_prompt_above = std::numeric_limits<std::uint64_t>::max();
    std::array<class_rates, 16> rates{};  // by billing::index

    const class_rates& rates_for(billing how) const { return rates[how.index()]; }
};

struct name_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
};

struct price_rows {
    base::pico_dollars web_search = 0;
    std::unordered_map<std::string, std::size_t, name_hash, std::equal_to<>> names;  // to an index of `models`
    std::vector<std::vector<price_row>> models;                                      // each by from_ms, never empty
    std::vector<std::string> families;
    std::vector<price_row> family_dearest;  // one a family: class by class the highest of its rows
    price_row dearest;                      // of all rows

    struct found {
        const price_row& row;
        bool known = true;  // else the row is the dearest of the family
    };
    found find(std::string_view model, std::int64_t at_ms) const;
};

// All problems at once, each a sentence with its line.
std::expected<price_rows, std::vector<std::string>> build_price_rows(std::string_view base, std::string_view overrides);

}  // namespace pricing
