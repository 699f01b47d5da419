// Texts on their way to a database. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace database {

// Both engines keep UTF-8 without NUL, and PostgreSQL refuses anything else. A row is worth more than an odd byte of a
// user agent: each byte that is NUL or no part of valid UTF-8 becomes U+FFFD.
void append_clean(std::string& to, std::string_view text);

// `text` itself when nothing is wrong with it; else the clean one, kept in `storage`.
std::string_view clean(std::string_view text, std::string& storage);

// SQL without the prefix `claude_proxy.` of its tables: SQLite has no schemas. Literals, quoted names and comments are
// left as they are.
std::string without_schema(std::string_view sql);

}  // namespace database
