#include "app/price_file.hpp"

#include <fmt/format.h>

#include "config/read_file.hpp"

namespace app {

std::expected<pricing::price_table, std::vector<std::string>> load_prices(const std::string& file) {
    constexpr std::size_t file_bytes_max = 4 << 20;
    std::string overrides;
    if (!file.empty()) {
        auto text = config::read_file(file, file_bytes_max);
        if (!text) return std::unexpected(std::vector{fmt::format("{} {}", file, text.error())});
        overrides = std::move(*text);
    }
    auto table = pricing::price_table::parse(pricing::price_table::shipped().yaml(), overrides);
    if (!table) {
        for (auto& problem : table.error()) problem = fmt::format("{}: {}", file, problem);
    }
    return table;
}

}  // namespace app
