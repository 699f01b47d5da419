#include "jobs/job.hpp"

#include <array>

namespace jobs {
namespace {

constexpr std::array<std::string_view, 7> status_names = {"queued",    "running", "succeeded", "failed",
                                                          "cancelled", "expired", "dead"};
constexpr std::array<std::string_view, 2> lane_names = {"realtime", "batch"};

constexpr std::string_view id_prefix = "job_";
constexpr std::string_view id_digits = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::size_t time_digits = 11, other_digits = 13;

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

std::string new_id(std::int64_t created_at_us, std::string_view beyond) {
    std::string time(time_digits, id_digits[0]);
    for (auto digit = time.rbegin(); digit != time.rend(); ++digit) {
        *digit = id_digits[static_cast<std::size_t>(created_at_us % std::int64_t{id_digits.size()})];
        created_at_us /= std::int64_t{id_digits.size()};
    }
    return std::string(id_prefix).append(time).append(beyond.substr(0, other_digits));
}

std::optional<time_ms> created_at_of(std::string_view id) {
    if (!id.starts_with(id_prefix) || id.size() != id_prefix.size() + time_digits + other_digits) return {};
    id.remove_prefix(id_prefix.size());
    if (id.find_first_not_of(id_digits) != id.npos) return {};
    std::int64_t us = 0;
    for (const char digit : id.substr(0, time_digits)) {
        us = us * std::int64_t{id_digits.size()} + static_cast<std::int64_t>(id_digits.find(digit));
    }
    return us / 1'000;
}

}  // namespace jobs
