#include "telemetry/histogram.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace telemetry {

histogram::histogram(std::initializer_list<double> upper_bounds) : bounds_(upper_bounds) {
    assert(bounds_.size() <= bounds_max && std::ranges::is_sorted(bounds_));
}

void histogram::observe(double value) {
    value = std::max(value, 0.0);
    const auto bucket = static_cast<std::size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin());
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    sum_micros_.fetch_add(static_cast<std::uint64_t>(std::llround(value * 1e6)), std::memory_order_relaxed);
}

std::vector<std::uint64_t> histogram::cumulative() const {
    std::vector<std::uint64_t> made;
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i <= bounds_.size(); ++i) {
        so_far += counts_[i].load(std::memory_order_relaxed);
        made.push_back(so_far);
    }
    return made;
}

}  // namespace telemetry
