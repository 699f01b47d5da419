// Settings of the database.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/live_secret.hpp"

namespace database {

using std::chrono::milliseconds;

struct options {
    base::secret url{"sqlite:var/claude-proxy.db"};  // DATABASE_URL; a secret because it may carry a password
    base::secret direct_url{};                       // DATABASE_DIRECT_URL: for migrations, past a pooler; empty: url
    // What new connections take instead of `url`, where that may change while the process runs; null: it does not.
    std::shared_ptr<const base::live_secret> live_url{};
    milliseconds connect_timeout{5'000};
    milliseconds statement_timeout{10'000};   // a statement that takes longer is given up as `unavailable`
    milliseconds migration_timeout{600'000};  // the same for a migration, and for the wait for another replica's
    std::uint32_t threads = 2;                // connections for admin and look-ups; the ledger's writer has its own
    std::uint32_t queue_max = 4'096;          // work waiting for a thread; more is refused as unavailable
};

}  // namespace database
