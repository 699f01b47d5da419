// Reads one price document (the form of data/prices.yaml) into rows, strictly: what is unknown, missing, repeated or
// inexact is a problem, and all problems are told at once. Used by pricing.cpp alone. Plain functions; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/money.hpp"

namespace pricing {

enum token_class : std::size_t { input, cache_write_5m, cache_write_1h, cache_read, output, token_classes };

// Pico-dollars of one token, by class.
using class_rates = std::array<base::pico_dollars, token_classes>;

struct document_row {
    int line = 0;
    std::string where;  // "line 12" or "overrides, line 12", for problems found later
    std::string model;
    std::vector<std::string> aliases;
    std::int64_t from_ms = std::numeric_limits<std::int64_t>::min();  // milliseconds since 1970
    std::uint64_t context_window = 0;
    std::uint64_t output_max = 0;
    bool us_inference = false;
    class_rates standard{};
    std::uint64_t long_prompt_above = std::numeric_limits<std::uint64_t>::max();
    std::optional<class_rates> long_prompt;
    std::optional<class_rates> fast;
};

struct price_document {
    std::optional<std::vector<std::string>> families;
    std::optional<std::int64_t> batch_factor;  // in millionths
    std::optional<std::int64_t> us_factor;     // in millionths
    std::optional<base::pico_dollars> web_search;
    std::optional<std::vector<document_row>> rows;
};

inline constexpr std::int64_t factor_one = 1'000'000;

// `prefix` stands before "line 12" in every problem. Nothing when the text is no document at all; else what could be
// read, which is only worth something when no problem was added.
std::optional<price_document> read_price_document(std::string_view text, std::string_view prefix,
                                                  std::vector<std::string>& problems);

}  // namespace pricing
