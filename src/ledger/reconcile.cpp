#include "ledger/reconcile.hpp"

namespace ledger {
namespace {

constexpr std::int64_t day_ms = 86'400'000;

constexpr std::string_view usage_differences = R"(
WITH made AS (
  SELECT (started_at / 3600000) * 3600000 AS hour, team_id, key_id, model, tags, outcome, COUNT(*) AS attempts,
    SUM(input_tokens) AS a, SUM(cache_write_5m_tokens) AS b, SUM(cache_write_1h_tokens) AS c,
    SUM(cache_read_tokens) AS d, SUM(output_tokens) AS e, SUM(web_searches) AS f, SUM(cost_pico) AS cost,
    SUM(cost_low_pico) AS low, SUM(cost_high_pico) AS high
  FROM claude_proxy.attempts WHERE started_at >= $1
  GROUP BY (started_at / 3600000) * 3600000, team_id, key_id, model, tags, outcome),
kept AS (
  SELECT hour, team_id, key_id, model, tags, outcome, attempts, input_tokens AS a, cache_write_5m_tokens AS b,
    cache_write_1h_tokens AS c, cache_read_tokens AS d, output_tokens AS e, web_searches AS f, cost_pico AS cost,
    cost_low_pico AS low, cost_high_pico AS high
  FROM claude_proxy.usage_hourly WHERE hour >= $1)
SELECT 'attempts say' AS who, missing.* FROM (SELECT * FROM made EXCEPT SELECT * FROM kept) AS missing
UNION ALL
SELECT 'usage_hourly says' AS who, extra.* FROM (SELECT * FROM kept EXCEPT SELECT * FROM made) AS extra
LIMIT 20)";

constexpr std::string_view spend_differences = R"(
WITH each AS (
  SELECT (started_at / 86400000) * 86400000 AS day, team_id, key_id, cost_pico
  FROM claude_proxy.attempts WHERE started_at >= $1 AND cost_pico <> 0),
made AS (
  SELECT 'root' AS scope, '' AS scope_id, day, SUM(cost_pico) AS spent FROM each GROUP BY day
  UNION ALL SELECT 'team', team_id, day, SUM(cost_pico) FROM each GROUP BY team_id, day
  UNION ALL SELECT 'key', key_id, day, SUM(cost_pico) FROM each GROUP BY key_id, day),
kept AS (SELECT scope, scope_id, day, spent_pico AS spent FROM claude_proxy.spend_daily WHERE day >= $1)
SELECT 'attempts say' AS who, missing.* FROM (SELECT * FROM made EXCEPT SELECT * FROM kept) AS missing
UNION ALL
SELECT 'spend_daily says' AS who, extra.* FROM (SELECT * FROM kept EXCEPT SELECT * FROM made) AS extra
LIMIT 20)";

std::string as_text(const database::value& of) {
    if (database::is_null(of)) return "null";
    if (const auto* number = std::get_if<std::int64_t>(&of)) return std::to_string(*number);
    return database::text_of(of);
}

void add_differences(std::vector<std::string>& to, const std::vector<database::row>& rows) {
    for (const database::row& row : rows) {
        std::string sentence = database::text_of(row[0]) + ":";
        for (std::size_t i = 1; i < row.size(); ++i) sentence += " " + as_text(row[i]);
        to.push_back(std::move(sentence));
    }
}

}  // namespace

sums_check verify_sums(database::connection& on, std::int64_t from_ms) {
    const std::int64_t from = (from_ms + day_ms - 1) / day_ms * day_ms;
    sums_check found;
    add_differences(found.differences, on.query(usage_differences, {from}));
    add_differences(found.differences, on.query(spend_differences, {from}));
    const auto counted = on.query("SELECT COUNT(*) FROM claude_proxy.attempts WHERE started_at >= $1", {from});
    found.attempts = static_cast<std::uint64_t>(database::integer_of(counted.at(0).at(0)));
    return found;
}

}  // namespace ledger
