// Who used what, from the hourly sums: the answer to `usage` of the command line and the admin API.
//
// Functions that read throw database::failure and block: on a thread of their own (database/workers.hpp). The writers
// of text are plain functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/money.hpp"
#include "database/connection.hpp"

namespace ledger {

enum class usage_group : std::uint8_t { team, key, model, tag, day, hour, outcome };
std::string_view name_of(usage_group what);  // "team", ...
std::optional<usage_group> usage_group_named(std::string_view name);

// Empty members do not filter.
struct usage_filter {
    std::string team_id{};
    std::string key_id{};
    std::string model{};
    std::string tag{};
    std::int64_t from_ms = 0;  // hours are whole: the one it falls into counts
    std::int64_t to_ms = 0;    // before this; the hour it falls into counts. 0: no end
    std::vector<usage_group> group_by{};
    std::size_t rows_max = 10'000;  // more are left out, and the report says so; its totals are of all
};

struct usage_counts {
    std::int64_t attempts = 0;
    std::int64_t input_tokens = 0;
    std::int64_t cache_write_5m_tokens = 0;
    std::int64_t cache_write_1h_tokens = 0;
    std::int64_t cache_read_tokens = 0;
    std::int64_t output_tokens = 0;
    std::int64_t web_searches = 0;
    base::pico_dollars cost = 0;
    base::pico_dollars cost_low = 0;
    base::pico_dollars cost_high = 0;

    usage_counts& operator+=(const usage_counts& more);
    bool operator==(const usage_counts&) const = default;
};

struct usage_row {
    std::vector<std::string> group;  // in the order of group_by; days and hours as "2026-05-28" and "2026-05-28T13:00Z"
    usage_counts sum;

    bool operator==(const usage_row&) const = default;
};

struct usage_report {
    std::vector<usage_group> group_by;
    std::int64_t from_ms = 0;     // of the first hour that counts
    std::int64_t to_ms = 0;       // behind the last one; 0: no end
    std::vector<usage_row> rows;  // sorted by their groups; one without groups
    bool is_complete = true;      // false: there were more than rows_max
    // Each attempt once. Rows add up to it exactly, but when grouped by tag: an attempt with two tags is in two rows,
    // one without tags in the row of the empty tag.
    usage_counts totals;
};

usage_report query_usage(database::connection& on, const usage_filter& filter);

// {"from","to","group_by","totals":{...},"rows":[{"team":...,"attempts":...,"cost_pico":...,"cost_dollars":"..."}]}
std::string to_json(const usage_report& of);
// RFC 4180 with a head line. A text that a spreadsheet would take for a formula gets a quote mark (') before it.
std::string to_csv(const usage_report& of);

}  // namespace ledger
