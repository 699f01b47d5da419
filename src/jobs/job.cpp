#include "jobs/job.hpp"

#include <array>

namespace jobs {
namespace {

constexpr std::array<std::string_view, 7> status_names = {"queued",    "running", "succeeded", "failed",
                                                          "cancelled", "expired", "dead"};
constexpr std::array<std::string_view, 2> lane_names = {"realtime", "batch"};

template <class Value, std::size_t count>
std::optional<Value> named(const std::array<std::string_view, count>& names, std::string_view name) {
    for (std::size_t i = 0; i < count; ++i) {
        if (names[i] == name) return static_cast<Value>(i);
    }
    return {};
}

}  // namespace

std::string_view name_of(status what) { return status_names.at(static_cast<std::size_t>(what)); }
std::optional<status> status_named(std::string_view name) { return named<status>(status_names, name); }

std::string_view name_of(lane what) { return lane_names.at(static_cast<std::size_t>(what)); }
std::optional<lane> lane_named(std::string_view name) { return named<lane>(lane_names, name); }

}  // namespace jobs
