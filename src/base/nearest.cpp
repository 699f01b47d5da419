#include "base/nearest.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace base {

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row[b.size()];
}

std::string_view nearest(std::string_view asked, std::span<const std::string_view> names) {
    constexpr std::size_t asked_bytes_max = 256;  // the comparison is quadratic
    if (asked.size() > asked_bytes_max) return {};
    std::string_view best;
    // Names share long prefixes, so a third of the length would call everything alike.
    std::size_t best_distance = std::min<std::size_t>(asked.size() / 4, 5) + 1;
    for (const std::string_view name : names) {
        const std::size_t distance = edit_distance(asked, name);
        if (distance < best_distance) {
            best = name;
            best_distance = distance;
        }
    }
    return best;
}

}  // namespace base
