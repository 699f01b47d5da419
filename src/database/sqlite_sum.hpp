// SUM for SQLite that stops at the ends of the range, as the port has it: SQLite's own fails the whole statement.
#pragma once

struct sqlite3;

namespace database {

// SQLite's result code. Of integers the sum is exact, also within a window; of anything else it is SQLite's.
int use_saturating_sum(sqlite3* file);

}  // namespace database
