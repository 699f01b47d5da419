// What `doctor` (doctor.hpp) finds, one entry a check. Thread rule: the main thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace app {

struct doctor_check {
    enum class result : std::uint8_t { ok, warn, fail };

    std::string_view name;
    result is = result::ok;
    std::string text;
    std::string cure{};
};

// The database and its schema, the journal's folder, Redis, the queue, the prices and the JWT settings. Changes
// nothing: a SQLite file that is not there yet is not made.
void check_stores(const config::settings& settings, std::vector<doctor_check>& all);

}  // namespace app
