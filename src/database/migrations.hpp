// Forward-only numbered migrations: the files of migrations/, in the binary.
//
// A file is SQL for both engines; lines between `-- only: sqlite` or `-- only: postgres` and `-- all` are for one.
// A migration must leave a schema that the release before it can still use (add tables and columns, never rename or
// drop them), because old and new replicas run side by side during a deploy. Each runs in one transaction under a lock,
// so that replicas that start together do not collide. Thread rule: the connection's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "database/connection.hpp"

namespace database {

struct migration {
    std::uint32_t number;
    std::string_view name;  // "0001_tenancy"
    std::string_view sql;
};

std::span<const migration> migrations();  // in order

// The text of a migration for one engine; exposed for tests.
std::string text_for(const migration& what, engine kind);

struct schema_state {
    std::uint32_t applied = 0;  // highest number in the database; 0: none
    std::uint32_t known = 0;    // highest number in this binary
};
schema_state look(connection& on);

// Applies what is missing; the numbers that were applied. A schema newer than this binary is left alone.
std::vector<std::uint32_t> migrate(connection& on);

// Makes sure that the ledger's month partitions for `at_ms` and the month after it exist (PostgreSQL; else nothing).
// Throws failure{busy} when somebody holds the ledger, or runs a migration, for longer than a second.
void ensure_partitions(connection& on, std::int64_t at_ms);

}  // namespace database
