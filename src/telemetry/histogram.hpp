// Times that are observed where they happen, and read when somebody scrapes: for what is no finished request.
//
//   telemetry::histogram start_seconds{0.1, 1, 10};                  // upper bounds, rising
//   hub.add_histogram("job_start_seconds", "...", start_seconds);    // must outlive the scrapes
//   start_seconds.observe(0.25);
//
// Thread rule: any thread. A scrape beside an observation may see its bucket and not yet its sum.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace telemetry {

class histogram {
public:
    static constexpr std::size_t bounds_max = 24;

    // At most bounds_max upper bounds, rising; what is beyond the last one is counted too.
    histogram(std::initializer_list<double> upper_bounds);
    histogram(const histogram&) = delete;
    histogram& operator=(const histogram&) = delete;

    void observe(double value);  // below 0: counts as 0

    std::span<const double> bounds() const { return bounds_; }
    // How many observations there were up to each bound, and behind them all of them.
    std::vector<std::uint64_t> cumulative() const;
    double sum() const { return static_cast<double>(sum_micros_.load(std::memory_order_relaxed)) / 1e6; }

private:
    const std::vector<double> bounds_;
    std::array<std::atomic<std::uint64_t>, bounds_max + 1> counts_{};
    std::atomic<std::uint64_t> sum_micros_{0};
};

}  // namespace telemetry
