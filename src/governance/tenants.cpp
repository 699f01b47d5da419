#include "governance/tenants.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <utility>

namespace governance {
namespace {

template <class Enum, std::size_t Size>
using names = std::array<std::pair<Enum, std::string_view>, Size>;

constexpr names<role, 4> role_names{
    {{role::client, "client"}, {role::viewer, "viewer"}, {role::operator_, "operator"}, {role::admin, "admin"}}};
constexpr names<scope, 3> scope_names{{{scope::root, "root"}, {scope::team, "team"}, {scope::key, "key"}}};
constexpr names<period, 4> period_names{
    {{period::day, "day"}, {period::week, "week"}, {period::month, "month"}, {period::total, "total"}}};

template <class Enum, std::size_t Size>
std::string_view name_in(const names<Enum, Size>& table, Enum what) {
    for (const auto& [value, name] : table)
        if (value == what) return name;
    return {};
}

template <class Enum, std::size_t Size>
std::optional<Enum> value_in(const names<Enum, Size>& table, std::string_view asked) {
    for (const auto& [value, name] : table)
        if (name == asked) return value;
    return std::nullopt;
}

std::chrono::sys_days day_of(time_ms at) {
    return std::chrono::floor<std::chrono::days>(
        std::chrono::sys_time<std::chrono::milliseconds>{std::chrono::milliseconds{at}});
}

time_ms first_ms_of(std::chrono::sys_days day) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(day.time_since_epoch()).count();
}

// Where `part` begins in `text`. memmem and not string_view::find, whose time is the product of both
// lengths for texts made to be slow; the model's name comes from the client.
std::size_t find_part(std::string_view text, std::string_view part) {
    if (part.size() > text.size()) return text.npos;
    const void* const found = ::memmem(text.data(), text.size(), part.data(), part.size());
    return found == nullptr ? text.npos : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace

std::string_view name_of(role what) { return name_in(role_names, what); }
std::optional<role> role_named(std::string_view name) { return value_in(role_names, name); }
std::string_view name_of(scope what) { return name_in(scope_names, what); }
std::optional<scope> scope_named(std::string_view name) { return value_in(scope_names, name); }
std::string_view name_of(period what) { return name_in(period_names, what); }
std::optional<period> period_named(std::string_view name) { return value_in(period_names, name); }

time_ms period_start(period what, time_ms at) {
    const std::chrono::sys_days day = day_of(at);
    switch (what) {
        case period::day:
            return first_ms_of(day);
        case period::week:
            return first_ms_of(day - (std::chrono::weekday(day) - std::chrono::Monday));
        case period::month: {
            const std::chrono::year_month_day date{day};
            return first_ms_of(std::chrono::sys_days{date.year() / date.month() / 1});
        }
        case period::total:
            break;
    }
    return 0;
}

std::optional<time_ms> period_end(period what, time_ms at) {
    const std::chrono::sys_days first = day_of(period_start(what, at));
    switch (what) {
        case period::day:
            return first_ms_of(first + std::chrono::days{1});
        case period::week:
            return first_ms_of(first + std::chrono::days{7});
        case period::month: {
            const std::chrono::year_month_day date{first};
            const auto next = date.year() / date.month() + std::chrono::months{1};
            return first_ms_of(std::chrono::sys_days{next / 1});
        }
        case period::total:
            break;
    }
    return std::nullopt;
}

bool matches_pattern(std::string_view pattern, std::string_view text) {
    const std::size_t first_star = pattern.find('*');
    if (first_star == pattern.npos) return pattern == text;
    const std::string_view head = pattern.substr(0, first_star);
    if (!text.starts_with(head)) return false;
    text.remove_prefix(head.size());
    pattern.remove_prefix(first_star + 1);
    // Each part between two stars is taken at the first place where it stands: later ones leave less for the others.
    for (std::size_t star = pattern.find('*'); star != pattern.npos; star = pattern.find('*')) {
        const std::string_view part = pattern.substr(0, star);
        const std::size_t at = part.empty() ? 0 : find_part(text, part);
        if (at == text.npos) return false;
        text.remove_prefix(at + part.size());
        pattern.remove_prefix(star + 1);
    }
    return text.ends_with(pattern);
}

}  // namespace governance
