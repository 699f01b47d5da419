// The SQLite adapter of database/connection.hpp: one file, WAL, made with mode 0600 when it is not there.
#pragma once

#include <memory>
#include <string_view>

#include "database/connection.hpp"

namespace database {

// Throws failure{invalid} for a path that no second connection could share.
std::unique_ptr<connection> open_sqlite(std::string_view path, const options& limits);

// What a result code of SQLite means; exposed for tests.
failure_kind kind_of_sqlite(int code);

}  // namespace database
