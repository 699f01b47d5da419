#include "ledger/usage_query.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <map>

#include <fmt/format.h>

#include "ledger/plain_text.hpp"

namespace ledger {
namespace {

constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t day_ms = 24 * hour_ms;
constexpr std::size_t fetched_max = 500'000;  // groups that the database may answer with

constexpr std::array all_groups = {usage_group::team, usage_group::key,  usage_group::model,  usage_group::tag,
                                   usage_group::day,  usage_group::hour, usage_group::outcome};

// What the database groups by. Tags are taken apart here: the column holds a list.
std::string_view expression_of(usage_group what) {
    switch (what) {
        case usage_group::team:
            return "team_id";
        case usage_group::key:
            return "key_id";
        case usage_group::model:
            return "model";
        case usage_group::tag:
            return "tags";
        case usage_group::day:
            return "(hour / 86400000) * 86400000";
        case usage_group::hour:
            return "hour";
        case usage_group::outcome:
            return "outcome";
    }
    return "hour";
}

std::string time_text(usage_group unit, std::int64_t ms) {
    const std::chrono::sys_days day{std::chrono::days(ms / day_ms)};
    const std::chrono::year_month_day date(day);
    const std::string text = fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
    return unit == usage_group::day ? text : fmt::format("{}T{:02}:00Z", text, ms % day_ms / hour_ms);
}

void append_utf8(std::string& to, std::uint32_t point) {
    if (point < 0x80) {
        to += static_cast<char>(point);
    } else if (point < 0x800) {
        to += static_cast<char>(0xc0 | (point >> 6));
        to += static_cast<char>(0x80 | (point & 0x3f));
    } else {
        to += static_cast<char>(0xe0 | (point >> 12));
        to += static_cast<char>(0x80 | ((point >> 6) & 0x3f));
        to += static_cast<char>(0x80 | (point & 0x3f));
    }
}

// The elements of a JSON list of strings. Escapes beyond the basic plane stay two halves: tags are short names, and the
// same text always comes to the same name.
std::vector<std::string> tags_of(std::string_view json) {
    std::vector<std::string> tags;
    for (std::size_t i = 0; i < json.size(); ++i) {
        if (json[i] != '"') continue;
        std::string tag;
        for (++i; i < json.size() && json[i] != '"'; ++i) {
            if (json[i] != '\\' || i + 1 >= json.size()) {
                tag += json[i];
                continue;
            }
            constexpr std::string_view names = "bfnrt";
            constexpr std::string_view meant = "\b\f\n\r\t";
            const char c = json[++i];
            if (const auto found = names.find(c); found != std::string_view::npos) {
                tag += meant[found];
            } else if (c == 'u' && i + 4 < json.size()) {
                std::uint32_t point = 0;
                std::from_chars(json.data() + i + 1, json.data() + i + 5, point, 16);
                append_utf8(tag, point);
                i += 4;
            } else {
                tag += c;
            }
        }
        if (std::ranges::find(tags, tag) == tags.end()) tags.push_back(std::move(tag));
    }
    return tags;
}

}  // namespace

std::string_view name_of(usage_group what) {
    switch (what) {
        case usage_group::team:
            return "team";
        case usage_group::key:
            return "key";
        case usage_group::model:
            return "model";
        case usage_group::tag:
            return "tag";
        case usage_group::day:
            return "day";
        case usage_group::hour:
            return "hour";
        case usage_group::outcome:
            return "outcome";
    }
    return "hour";
}

std::optional<usage_group> usage_group_named(std::string_view name) {
    for (const usage_group each : all_groups) {
        if (name_of(each) == name) return each;
    }
    return std::nullopt;
}

usage_counts& usage_counts::operator+=(const usage_counts& more) {
    for (auto usage_counts::* const each :
         {&usage_counts::attempts, &usage_counts::input_tokens, &usage_counts::cache_write_5m_tokens,
          &usage_counts::cache_write_1h_tokens, &usage_counts::cache_read_tokens, &usage_counts::output_tokens,
          &usage_counts::web_searches, &usage_counts::cost, &usage_counts::cost_low, &usage_counts::cost_high})
        this->*each = base::add_saturated(this->*each, more.*each);
    return *this;
}

namespace {

struct statement {
    std::string sql;
    std::vector<database::value> parameters;
};

// `columns`: what is selected and grouped by, before the sums.
statement statement_of(const usage_filter& filter, const std::vector<std::string_view>& columns, std::int64_t from,
                       std::int64_t to) {
    std::string list;
    for (const std::string_view column : columns) {
        list += column;
        list += ", ";
    }
    statement made;
    made.sql = "SELECT " + list +
               "SUM(attempts), SUM(input_tokens), SUM(cache_write_5m_tokens), SUM(cache_write_1h_tokens), "
               "SUM(cache_read_tokens), SUM(output_tokens), SUM(web_searches), SUM(cost_pico), SUM(cost_low_pico), "
               "SUM(cost_high_pico) FROM claude_proxy.usage_hourly WHERE hour >= $1";
    made.parameters = {from};
    const auto where = [&](std::string_view condition, database::value is) {
        made.parameters.push_back(std::move(is));
        made.sql += fmt::format(" AND {} ${}", condition, made.parameters.size());
    };
    if (to > 0) where("hour <", to);
    if (!filter.team_id.empty()) where("team_id =", filter.team_id);
    if (!filter.key_id.empty()) where("key_id =", filter.key_id);
    if (!filter.model.empty()) where("model =", filter.model);
    if (!columns.empty()) made.sql += " GROUP BY " + list.substr(0, list.size() - 2);
    made.sql += fmt::format(" LIMIT {}", fetched_max + 1);
    return made;
}

usage_counts counts_of(const database::row& row, std::size_t at) {
    const auto next = [&] { return database::integer_of(row.at(at++)); };
    usage_counts sum;
    sum.attempts = next();
    sum.input_tokens = next();
    sum.cache_write_5m_tokens = next();
    sum.cache_write_1h_tokens = next();
    sum.cache_read_tokens = next();
    sum.output_tokens = next();
    sum.web_searches = next();
    sum.cost = next();
    sum.cost_low = next();
    sum.cost_high = next();
    return sum;
}

std::string group_text(usage_group what, const database::value& of) {
    const bool is_time = what == usage_group::day || what == usage_group::hour;
    return is_time ? time_text(what, database::integer_of(of)) : database::text_of(of);
}

}  // namespace

usage_report query_usage(database::connection& on, const usage_filter& filter) {
    std::vector<usage_group> groups;  // each once
    for (const usage_group each : filter.group_by) {
        if (std::ranges::find(groups, each) == groups.end()) groups.push_back(each);
    }
    usage_report report{.group_by = groups,
                        .from_ms = filter.from_ms / hour_ms * hour_ms,
                        .to_ms = (filter.to_ms + hour_ms - 1) / hour_ms * hour_ms,
                        .rows = {},
                        .totals = {}};
    std::vector<std::string_view> columns;
    std::optional<std::size_t> tags_at;
    for (const usage_group each : groups) {
        if (each == usage_group::tag) tags_at = columns.size();
        columns.push_back(expression_of(each));
    }
    const bool is_tag_hidden = !tags_at && !filter.tag.empty();
    if (is_tag_hidden) {
        tags_at = columns.size();
        columns.push_back(expression_of(usage_group::tag));
    }
    const statement asked = statement_of(filter, columns, report.from_ms, report.to_ms);
    const std::vector<database::row> found = on.query(asked.sql, asked.parameters);
    if (found.size() > fetched_max)
        throw database::failure(database::failure_kind::invalid,
                                "more groups than one report can hold: ask for a shorter time or fewer groups");

    std::map<std::vector<std::string>, usage_counts> sums;
    if (groups.empty()) sums[{}] = {};
    for (const database::row& row : found) {
        const usage_counts sum = counts_of(row, columns.size());
        std::vector<std::string> tags;
        if (tags_at) tags = tags_of(database::text_of(row[*tags_at]));
        if (!filter.tag.empty() && std::ranges::find(tags, filter.tag) == tags.end()) continue;
        report.totals += sum;
        std::vector<std::string> group;
        for (std::size_t i = 0; i < groups.size(); ++i) group.push_back(group_text(groups[i], row[i]));
        if (!tags_at || is_tag_hidden) {
            sums[group] += sum;
            continue;
        }
        if (tags.empty()) tags.emplace_back();
        for (const std::string& tag : tags) {
            group[*tags_at] = tag;
            sums[group] += sum;
        }
    }
    for (auto& [group, sum] : sums) {
        if (report.rows.size() == filter.rows_max) {
            report.is_complete = false;
            break;
        }
        report.rows.push_back({group, sum});
    }
    return report;
}

}  // namespace ledger
