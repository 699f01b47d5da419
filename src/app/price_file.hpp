// The price table in force: the shipped one with those of CLAUDE_PROXY_PRICES before it. Any thread.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "pricing/pricing.hpp"

namespace app {

// `file`: empty for none. Error: every problem, each a sentence.
std::expected<pricing::price_table, std::vector<std::string>> load_prices(const std::string& file);

}  // namespace app
