// What `doctor` (doctor.hpp) finds, one entry a check. Thread rule: the main thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/settings_source.hpp"
#include "config/settings.hpp"

namespace app {

struct doctor_check {
    enum class result : std::uint8_t { ok, warn, fail };

    std::string_view name;
    result is = result::ok;
    std::string text;
    std::string cure{};
};

// Whether the secrets that CLAUDE_PROXY_SECRETS names could be read, which the settings needed already.
// doctor_secrets.cpp
doctor_check check_secrets(const settings_source& source,
                           const std::expected<settings_source::reading, settings_source::failure>& read);

// The database and its schema, the journal's folder, Redis, the queue, the prices and the JWT settings. Changes
// nothing: a SQLite file that is not there yet is not made.
void check_stores(const config::settings& settings, std::vector<doctor_check>& all);

}  // namespace app
