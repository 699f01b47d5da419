// What the PostgreSQL adapter says on the wire, as pure functions of values. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "database/connection.hpp"

namespace database {

// Object ids of types, fixed in PostgreSQL's catalogue.
enum postgres_type : unsigned {
    postgres_any = 0,  // the server finds out
    postgres_bool = 16,
    postgres_int8 = 20,
    postgres_int2 = 21,
    postgres_int4 = 23,
    postgres_text = 25,
    postgres_oid = 26,
    postgres_text_array = 1009,
    postgres_int8_array = 1016,
    postgres_numeric = 1700,
};

// One column of a batch as a binary array: what PostgreSQL reads without parsing a single number. Replaces `into`.
void write_array(std::string& into, const batch& rows, std::size_t column);

// INSERT ... SELECT * FROM unnest(...): one statement for any number of rows.
std::string insert_statement(const batch& rows);

// Why libpq must not be given this URL; empty when it may. A password with characters that were not percent-encoded
// moves the borders of the URL's parts, and libpq would print the rest of it as a host or port that it cannot find.
std::string_view trouble_with_url(std::string_view url);

}  // namespace database
