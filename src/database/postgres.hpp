// The PostgreSQL adapter of database/connection.hpp, on libpq. Everything it sends is an unnamed statement and leaves
// no state in the session, so that a transaction pooler may stand in between.
#pragma once

#include <memory>
#include <string_view>

#include "database/connection.hpp"

namespace database {

// Throws failure{invalid} for a URL that libpq cannot read, or would read otherwise than it was meant.
// `live`: what each new connection takes instead; null: `url` for good.
std::unique_ptr<connection> open_postgres(std::string_view url, const options& limits,
                                          std::shared_ptr<const base::live_secret> live = {});

// What an SQLSTATE means; exposed for tests.
failure_kind kind_of_sqlstate(std::string_view sqlstate);

// A column's text as a value: integers, booleans and numerics without a fraction are integers. `type` is the oid.
value value_of_postgres(unsigned type, std::string_view text);

}  // namespace database
