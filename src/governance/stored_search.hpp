// Look-ups and descriptions that the parts of `administration` share. Throw database::failure, also for a row that
// cannot be understood: an administrator must see that. Blocking; thread rule: the connection's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "database/connection.hpp"
#include "governance/tenants.hpp"

namespace governance {

// Nothing for anything that has neither the shape of an id nor that of a name: the database is not asked.
std::optional<team> search_team(database::connection& on, std::string_view id_or_name);
std::optional<key> search_key(database::connection& on, std::string_view id);

// The id behind a scope's id or name; nothing when there is no such team or key. Empty for root.
std::optional<std::string> search_scope(database::connection& on, scope where, std::string_view id_or_name);

// `{"before":...,"after":...}` for the audit log; either may be empty. Each description is a JSON object.
std::string details_of(std::string_view before, std::string_view after);
std::string description_of(const team& what);
std::string description_of(const key& what);
std::string description_of(const limit& what);
std::string description_of(const budget& what);

// For rows that cannot be understood.
[[noreturn]] void throw_unreadable(std::string_view table, std::string_view id);

}  // namespace governance
