#include "governance/validation.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <boost/json.hpp>

#include "governance/directory.hpp"
#include "governance/key_secret.hpp"

namespace governance {
namespace {

constexpr std::size_t team_name_bytes_max = 64;
constexpr std::size_t patterns_max = 64;
constexpr std::size_t pattern_bytes_max = 128;
constexpr std::size_t tags_max = 32;
constexpr std::size_t tag_bytes_max = 64;
constexpr std::size_t ip_ranges_max = 64;
constexpr std::size_t metadata_bytes_max = 8 * 1024;
constexpr std::size_t alerts_max = 10;
constexpr time_ms expiry_max = 253'402'300'799'000;     // the end of the year 9999: every clock can show it
constexpr std::int64_t amount_max = 1'000'000'000'000;  // leaves room for the arithmetic of token buckets

// Labels of gateway/routes.cpp that a key can be given.
constexpr std::string_view known_scopes[] = {"messages", "count_tokens", "models", "batches", "files",
                                             "skills",   "jobs",         "other",  "*"};

std::unexpected<base::error> wrong(std::string sentence) {
    return base::fail(base::errc::invalid_argument, std::move(sentence));
}

bool is_one_of(char c, std::string_view others) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || others.find(c) != others.npos;
}

bool is_tag_character(char c) { return is_one_of(c, "._:/=-"); }

}  // namespace

bool is_team_name(std::string_view text) {
    return !text.empty() && text.size() <= team_name_bytes_max &&
           std::ranges::all_of(text, [](char c) { return is_one_of(c, "-_."); }) && !is_id("team_", text);
}

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

verdict check_team_name(std::string_view name) {
    if (is_team_name(name)) return {};
    return wrong("name: write 1 to 64 letters, digits, '-', '_' or '.', not in the shape of a team's id");
}

verdict check_text(std::string_view field, std::string_view text, std::size_t bytes_max) {
    if (text.size() > bytes_max) return wrong(fmt::format("{}: shorten it to {} bytes", field, bytes_max));
    const bool has_control =
        std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
    if (has_control) return wrong(fmt::format("{}: take out the control characters", field));
    if (!is_utf8(text)) return wrong(fmt::format("{}: write it in UTF-8", field));
    return {};
}

verdict check_pattern(std::string_view field, std::string_view pattern) {
    const bool visible = std::ranges::all_of(pattern, [](char c) { return c > 0x20 && c < 0x7F; });
    if (!pattern.empty() && pattern.size() <= pattern_bytes_max && visible) return {};
    return wrong(
        fmt::format("{}: a pattern has 1 to {} visible ASCII characters, '*' for any text", field, pattern_bytes_max));
}

verdict check_patterns(std::string_view field, std::span<const std::string> patterns) {
    if (patterns.size() > patterns_max)
        return wrong(fmt::format("{}: give at most {} patterns; '*' stands for any text", field, patterns_max));
    for (const auto& pattern : patterns)
        if (auto checked = check_pattern(field, pattern); !checked) return checked;
    return {};
}

verdict check_tags(std::span<const std::string> tags) {
    if (tags.size() > tags_max) return wrong(fmt::format("tags: give at most {}", tags_max));
    for (const auto& tag : tags) {
        if (tag.empty() || tag.size() > tag_bytes_max || !std::ranges::all_of(tag, is_tag_character))
            return wrong(fmt::format("tags: a tag has 1 to {} letters, digits, or any of . _ : / = -", tag_bytes_max));
    }
    return {};
}

verdict check_scopes(std::span<const std::string> scopes) {
    const bool known = std::ranges::all_of(scopes, [&](const auto& asked) {
        return std::ranges::find(known_scopes, asked) != std::end(known_scopes) &&
               std::ranges::count(scopes, asked) == 1;
    });
    if (scopes.empty() || scopes.size() > std::size(known_scopes) || !known)
        return wrong(fmt::format("scopes: name one or more of {}, each once", fmt::join(known_scopes, ", ")));
    return {};
}

verdict check_ip_ranges(std::span<const std::string> ranges) {
    if (ranges.size() > ip_ranges_max) return wrong(fmt::format("ip_ranges: give at most {}", ip_ranges_max));
    for (const auto& range : ranges) {
        if (!parse_ip_range(range))
            return wrong("ip_ranges: write addresses or ranges such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32");
    }
    return {};
}

verdict check_metadata(std::string_view json) {
    if (json.size() > metadata_bytes_max)
        return wrong(fmt::format("metadata: shorten it to {} bytes", metadata_bytes_max));
    boost::system::error_code failed;
    const boost::json::value read = boost::json::parse(json, failed);
    if (failed || !read.is_object()) return wrong("metadata: write a JSON object such as {\"cost_center\":\"42\"}");
    return {};
}

verdict check_expiry(time_ms expires_at, time_ms now) {
    if (expires_at > now && expires_at <= expiry_max) return {};
    return wrong("expires_at: give a time in the future, in milliseconds since 1970, or 0 for never");
}

verdict check_amounts(const rate_limits& amounts) {
    for (const auto& [field, amount] : {std::pair("requests_per_minute", amounts.requests_per_minute),
                                        std::pair("input_tokens_per_minute", amounts.input_tokens_per_minute),
                                        std::pair("output_tokens_per_minute", amounts.output_tokens_per_minute),
                                        std::pair("concurrent_requests", amounts.concurrent_requests)}) {
        if (amount < 0 || amount > amount_max)
            return wrong(fmt::format("{}: give a number from 1 to {}, or 0 for no limit", field, amount_max));
    }
    return {};
}

verdict check_alerts(std::span<const int> percents) {
    const bool fits = std::ranges::all_of(percents, [](int percent) { return percent >= 1 && percent <= 100; });
    if (percents.size() <= alerts_max && fits) return {};
    return wrong(fmt::format("alerts: give at most {} percents from 1 to 100", alerts_max));
}

}  // namespace governance
