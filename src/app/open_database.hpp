// The database of the settings, opened for a subcommand of an administrator. Thread rule: the main thread.
#pragma once

#include <memory>

#include "base/error.hpp"
#include "config/settings.hpp"
#include "database/connection.hpp"
#include "governance/administration.hpp"

namespace app {

struct opened_database {
    std::unique_ptr<database::connection> on;
    std::unique_ptr<governance::key_hasher> hasher;
    governance::actor by;  // "cli:USER"
};

// SQLite is migrated on the way; PostgreSQL must have been (`claude-proxy migrate`). Error: a sentence with the cure.
base::result<opened_database> open_database(const config::settings& settings);

// Milliseconds since 1970.
governance::time_ms clock_ms();

}  // namespace app
