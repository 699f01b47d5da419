// What administrators may write into teams, keys, limits and budgets. Each check gives a sentence that names the field,
// the rule and the cure, and never repeats what was given. Plain functions of values; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "governance/tenants.hpp"

namespace governance {

using verdict = base::result<void>;

verdict check_team_name(std::string_view name);
verdict check_text(std::string_view field, std::string_view text, std::size_t bytes_max);  // UTF-8 on one line
verdict check_patterns(std::string_view field, std::span<const std::string> patterns);
verdict check_pattern(std::string_view field, std::string_view pattern);
verdict check_tags(std::span<const std::string> tags);
verdict check_scopes(std::span<const std::string> scopes);
verdict check_ip_ranges(std::span<const std::string> ranges);
verdict check_metadata(std::string_view json);
verdict check_expiry(time_ms expires_at, time_ms now);
verdict check_amounts(const rate_limits& amounts);
verdict check_alerts(std::span<const int> percents);

// The shape of a team's name, for look-ups: anything else cannot exist.
bool is_team_name(std::string_view text);
bool is_utf8(std::string_view text);

}  // namespace governance
