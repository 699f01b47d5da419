// Rows of the database as the values of tenants.hpp: the columns in the order they are asked for, and their readers.
// Plain functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "database/connection.hpp"
#include "governance/tenants.hpp"

namespace governance {

inline constexpr std::string_view team_columns =
    "id, name, models, tags, metadata, created_at, updated_at, archived_at";
inline constexpr std::string_view key_columns =
    "id, team_id, name, owner, role, scopes, models, ip_ranges, tags, metadata, expires_at, created_at, updated_at, "
    "revoked_at";
inline constexpr std::string_view secret_columns = "digest, key_id, hint, created_at, expires_at";
inline constexpr std::string_view limit_columns =
    "scope, scope_id, model_class, requests_per_minute, input_tokens_per_minute, output_tokens_per_minute, "
    "concurrent_requests";
inline constexpr std::string_view budget_columns =
    "id, scope, scope_id, period, limit_pico, hard, alerts, created_at, updated_at";

// Nothing for a row that this binary cannot understand: a list that is no JSON list, a role of a later release. Such a
// row must not turn into one that allows more, as an empty list of models would.
std::optional<team> team_of(const database::row& row);
std::optional<key> key_of(const database::row& row);
key_secret key_secret_of(const database::row& row);
std::optional<limit> limit_of(const database::row& row);
// Alerts that cannot be read are none: what the budget refuses does not depend on them.
std::optional<budget> budget_of(const database::row& row);

// Lists in TEXT columns: '["a","b"]'.
std::string json_of(const std::vector<std::string>& list);
std::string json_of(const std::vector<int>& list);
std::optional<std::vector<std::string>> strings_of(std::string_view json);
std::optional<std::vector<int>> integers_of(std::string_view json);

// A time that may be absent, as a parameter.
database::value value_of(const std::optional<time_ms>& at);

}  // namespace governance
