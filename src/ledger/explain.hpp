// Everything the database knows of one request: its attempts and its refusal. Throws database::failure; blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "database/connection.hpp"
#include "ledger/usage_query.hpp"

namespace ledger {

// A row of `attempts` as it stands.
struct attempt_row {
    std::string attempt_id;
    std::int64_t started_at = 0;
    std::int64_t finished_at = 0;
    std::string replica;
    std::string team_id;
    std::string key_id;
    std::string model;
    std::string tags;  // JSON list
    std::int64_t status = 0;
    std::string outcome;
    usage_counts sum;  // attempts: 1
    std::string price_table;
    std::string details;  // JSON object
};

struct refusal_row {
    std::string request_id;
    std::int64_t at = 0;
    std::string team_id;
    std::string key_id;
    std::string model;
    std::int64_t status = 0;
    std::string reason;
    std::string details;  // JSON object
};

struct explanation {
    std::vector<attempt_row> attempts;  // in the order of their numbers
    std::optional<refusal_row> refused;

    bool is_known() const { return !attempts.empty() || refused.has_value(); }
};

inline constexpr int attempts_explained = 8;  // more than a request ever makes

explanation explain(database::connection& on, std::string_view request_id);

// {"request_id","attempts":[{...,"tags":[...],"details":{...}}],"refusal":{...} or null,"cost_pico","cost_dollars"}
std::string to_json(const explanation& of, std::string_view request_id);

}  // namespace ledger
