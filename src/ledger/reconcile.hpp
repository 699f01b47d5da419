// Whether the sums tell what the rows tell: usage_hourly and spend_daily beside the attempts they were made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "database/connection.hpp"

namespace ledger {

struct sums_check {
    std::uint64_t attempts = 0;            // rows that were looked at
    std::vector<std::string> differences;  // a sentence each, the first 20 of each table
    bool add_up() const { return differences.empty(); }
};

// Compares all attempts that started at or after `from_ms` (rounded up to a whole day, UTC; 0: all) with their sums,
// each table in one statement: right beside a running writer. Reads the whole ledger: for administrators and tests.
// Throws database::failure.
sums_check verify_sums(database::connection& on, std::int64_t from_ms = 0);

}  // namespace ledger
