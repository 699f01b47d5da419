#include "admin/members.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>

#include "base/nearest.hpp"
#include "base/time_text.hpp"

namespace admin {

using base::errc;

namespace {

constexpr std::size_t list_entries_max = 1'000;
constexpr std::size_t shown_bytes_max = 64;  // of a name that somebody made up

std::optional<std::int64_t> whole_number(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::vector<std::string> between_commas(std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        if (comma > 0) parts.emplace_back(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return parts;
}

}  // namespace

const boost::json::value* members::find(std::string_view name) {
    known_.push_back(name);
    return asked_.members.if_contains(name);
}

void members::wrong(std::string_view name, std::string_view must) {
    if (!first_) first_ = base::error{errc::invalid_argument, fmt::format("`{}` must be {}.", name, must)};
}

// Control characters have no place in names and patterns, and PostgreSQL cannot store a NUL.
std::optional<std::string> members::text_of(std::string_view name, const boost::json::value& value) {
    const auto* const string = value.if_string();
    if (!string) {
        wrong(name, "a text");
        return std::nullopt;
    }
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::ranges::any_of(*string, is_control)) {
        wrong(name, "a text without control characters");
        return std::nullopt;
    }
    return std::string(string->data(), string->size());
}

std::optional<std::string> members::text(std::string_view name) {
    const auto* const value = find(name);
    return value ? text_of(name, *value) : std::nullopt;
}

void members::missing(std::string_view name) {
    if (!first_) first_ = base::error{errc::missing_field, fmt::format("`{}` is missing.", name)};
}

std::optional<bool> members::flag(std::string_view name) {
    const auto* const value = find(name);
    if (!value) return std::nullopt;
    if (const auto* const is = value->if_bool()) return *is;
    if (asked_.from_query && value->is_string()) {
        if (value->get_string() == "true") return true;
        if (value->get_string() == "false") return false;
    }
    wrong(name, "true or false");
    return std::nullopt;
}

std::optional<std::int64_t> members::count(std::string_view name, std::int64_t min, std::int64_t max) {
    const auto* const value = find(name);
    if (!value) return std::nullopt;
    std::optional<std::int64_t> number;
    if (const auto* const is = value->if_int64()) number = *is;
    if (asked_.from_query && value->is_string()) number = whole_number(value->get_string());
    if (number && *number >= min && *number <= max) return number;
    wrong(name, max == std::numeric_limits<std::int64_t>::max()
                    ? fmt::format("a whole number from {} on", min)
                    : fmt::format("a whole number from {} to {}", min, max));
    return std::nullopt;
}

std::optional<std::vector<std::string>> members::texts(std::string_view name) {
    const auto* const value = find(name);
    if (!value) return std::nullopt;
    if (asked_.from_query && value->is_string()) {
        const auto whole = text_of(name, *value);
        return whole ? std::optional(between_commas(*whole)) : std::nullopt;
    }
    const auto* const list = value->if_array();
    if (!list || list->size() > list_entries_max) {
        wrong(name, fmt::format("a list of at most {} texts", list_entries_max));
        return std::nullopt;
    }
    std::vector<std::string> all;
    for (const auto& each : *list) {
        auto entry = text_of(name, each);
        if (!entry) {
            if (!each.is_string()) first_->detail = fmt::format("`{}` must be a list of texts.", name);
            return std::nullopt;
        }
        all.push_back(std::move(*entry));
    }
    return all;
}

std::optional<std::vector<int>> members::percents(std::string_view name) {
    constexpr std::size_t percents_max = 20;
    constexpr std::string_view must = "a list of at most 20 whole percents from 1 to 1000";
    const auto* const value = find(name);
    if (!value) return std::nullopt;
    std::vector<int> all;
    const auto* const list = value->if_array();
    bool right = list && list->size() <= percents_max;
    for (std::size_t i = 0; right && i < list->size(); ++i) {
        const auto* const number = (*list)[i].if_int64();
        right = number && *number >= 1 && *number <= 1'000;
        if (right) all.push_back(static_cast<int>(*number));
    }
    if (right) return all;
    wrong(name, must);
    return std::nullopt;
}

std::optional<std::string> members::object(std::string_view name) {
    const auto* const value = find(name);
    if (!value) return std::nullopt;
    if (value->is_object()) return boost::json::serialize(*value);
    wrong(name, "an object");
    return std::nullopt;
}

std::optional<base::pico_dollars> members::dollars(std::string_view name) {
    const auto* const value = find(name);
    if (!value) return std::nullopt;
    std::optional<base::pico_dollars> amount;
    if (const auto* const is = value->if_string()) amount = base::parse_dollars(*is);
    if (const auto* const is = value->if_int64()) amount = base::parse_dollars(fmt::to_string(*is));
    if (!amount) {
        wrong(name, "dollars as a text such as \"50\" or \"2.50\", from 0 to 9000000 with at most 12 decimals");
    }
    return amount;
}

std::optional<std::int64_t> members::span_ms(std::string_view name) {
    const auto given = text(name);
    if (!given) return std::nullopt;
    const auto span = base::parse_span_ms(*given);
    if (!span) wrong(name, "a span of time such as 30m, 1h or 7d");
    return span;
}

std::optional<governance::time_ms> members::time(std::string_view name, governance::time_ms now, int sign) {
    const auto given = text(name);
    if (!given) return std::nullopt;
    if (const auto at = base::parse_time(*given)) return at;
    if (const auto span = base::parse_span_ms(*given)) return now + sign * *span;
    wrong(name, sign > 0 ? "a time such as 2027-01-01 or 2027-01-01T12:00:00Z, or a span from now such as 90d"
                         : "a time such as 2027-01-01 or 2027-01-01T12:00:00Z, or a span before now such as 7d");
    return std::nullopt;
}

bool members::is_null(std::string_view name) const {
    const auto* const value = asked_.members.if_contains(name);
    return value && value->is_null();
}

std::optional<base::error> members::problem() {
    // A misspelt name explains a missing one, so it goes before it.
    if (first_ && first_->kind != errc::missing_field) return first_;
    for (const auto& [key, ignored] : asked_.members) {
        const std::string_view name(key.data(), key.size());
        if (std::ranges::find(known_, name) != known_.end()) continue;
        const std::string_view like = base::nearest(name, known_);
        const std::string_view shown = name.substr(0, shown_bytes_max);
        const std::string_view what = asked_.from_query ? "parameter" : "member";
        std::string detail = fmt::format("There is no {} `{}` here", what, shown);
        if (!like.empty()) {
            detail += fmt::format("; did you mean `{}`?", like);
        } else if (known_.empty()) {
            detail += fmt::format("; it takes no {}s.", what);
        } else {
            detail += fmt::format("; it takes {}.", fmt::join(known_, ", "));
        }
        return base::error{errc::invalid_argument, std::move(detail)};
    }
    return first_;
}

}  // namespace admin
