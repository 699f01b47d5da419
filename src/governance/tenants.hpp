// Teams, keys, limits and budgets as values: what the database holds and what an administrator sees.
// Value types; any thread. The rules that read them are in directory.hpp, rate_limit.hpp and budget.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/money.hpp"

namespace governance {

// Milliseconds since 1970 UTC.
using time_ms = std::int64_t;

// client: the public listener only. The others: the admin API only. viewer reads, operator also changes teams, keys,
// limits and budgets of clients, admin also makes and revokes the keys of administrators.
enum class role : std::uint8_t { client, viewer, operator_, admin };
std::string_view name_of(role what);  // "client", "viewer", "operator", "admin"
std::optional<role> role_named(std::string_view name);

// Where a limit or a budget applies.
enum class scope : std::uint8_t { root, team, key };
std::string_view name_of(scope what);
std::optional<scope> scope_named(std::string_view name);

enum class period : std::uint8_t { day, week, month, total };
std::string_view name_of(period what);
std::optional<period> period_named(std::string_view name);

struct team {
    std::string id;                   // "team_" and 24 characters
    std::string name;                 // unique; letters, digits, '-', '_', '.'; at most 64
    std::vector<std::string> models;  // patterns a key of the team may use ('*' matches any text); empty: all
    std::vector<std::string> tags;    // on every ledger row of the team
    std::string metadata = "{}";      // a JSON object of the administrator's own, at most 8 KiB
    time_ms created_at = 0;
    time_ms updated_at = 0;
    std::optional<time_ms> archived_at;  // its keys are refused
};

// The name and id of the team that keys of CLAUDE_PROXY_API_KEYS belong to. It may have no row; when a team of that
// name is stored, theirs is that one.
inline constexpr std::string_view static_team = "default";

struct key {
    std::string id;  // "key_" and 24 characters; never secret
    std::string team_id;
    std::string name;   // at most 128 bytes
    std::string owner;  // a person or program, free text, at most 256 bytes
    role kind = role::client;
    std::vector<std::string> scopes;     // labels of gateway/routes.cpp, or "*"; see default_scopes
    std::vector<std::string> models;     // as team::models; both must allow
    std::vector<std::string> ip_ranges;  // CIDR; empty: any address
    std::vector<std::string> tags;
    std::string metadata = "{}";
    std::optional<time_ms> expires_at;
    time_ms created_at = 0;
    time_ms updated_at = 0;
    std::optional<time_ms> revoked_at;
};

// What a key may do when nothing else was asked: every route that is understood here; "other" /v1 routes only on
// demand.
inline constexpr std::string_view default_scopes[] = {"messages", "count_tokens", "models", "batches",
                                                      "files",    "skills",       "jobs"};

// A secret of a key, as stored: its HMAC and its last four characters.
struct key_secret {
    std::string digest;  // hex
    std::string key_id;
    std::string hint;
    time_ms created_at = 0;
    std::optional<time_ms> expires_at;  // set on the old one by a rotation
};

// 0: no limit of that kind.
struct rate_limits {
    std::int64_t requests_per_minute = 0;
    std::int64_t input_tokens_per_minute = 0;
    std::int64_t output_tokens_per_minute = 0;
    std::int64_t concurrent_requests = 0;

    bool operator==(const rate_limits&) const = default;
    bool any() const {
        return requests_per_minute || input_tokens_per_minute || output_tokens_per_minute || concurrent_requests;
    }
};

struct limit {
    scope where = scope::root;
    std::string scope_id;     // team or key id; empty for root
    std::string model_class;  // a model pattern; empty: all models together
    rate_limits amounts;
};

struct budget {
    std::string id;  // "bud_" and 24 characters
    scope where = scope::root;
    std::string scope_id;
    period every = period::month;
    base::pico_dollars limit_pico = 0;
    bool hard = true;                 // false: alerts only
    std::vector<int> alerts{80, 95};  // percents of the limit at which an alert is raised, once a period
    time_ms created_at = 0;
    time_ms updated_at = 0;
};

// First millisecond of the period that holds `at`, in UTC: midnight, Monday, the first of the month; 0 for total.
time_ms period_start(period what, time_ms at);
// First millisecond after it; nothing for total.
std::optional<time_ms> period_end(period what, time_ms at);

// '*' stands for any text, also none; everything else for itself. A model id that carries a platform's decoration
// (`[1m]`, `anthropic.`, `@date`, `-v1:0`, `us.`) is compared as it was sent.
bool matches_pattern(std::string_view pattern, std::string_view text);

}  // namespace governance
