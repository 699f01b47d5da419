// Which settings are secrets, and how two readings of them differ.
#include <algorithm>

#include "config/settings.hpp"
#include "config/table.hpp"

namespace config {
namespace {

// Who we are for Amazon has to be known before a secret can be had from there.
constexpr std::string_view amazon_prefix = "AWS_";

bool is_of_secret_kind(const table::kind& value) {
    return std::holds_alternative<table::secret>(value) || std::holds_alternative<table::secret_line>(value) ||
           std::holds_alternative<table::secret_list>(value) || std::holds_alternative<table::secret_url>(value);
}

struct comparer {
    settings& before;
    settings& after;

    bool operator()(const table::secret_list& field) const {
        return !std::ranges::equal(field.at(before), field.at(after), {}, &base::secret::reveal, &base::secret::reveal);
    }
    template <class Kind>
    bool operator()(const Kind& field) const {
        if constexpr (requires { field.at(before).reveal(); }) {
            return field.at(before).reveal() != field.at(after).reveal();
        } else {
            return false;
        }
    }
};

struct taker {
    settings& from;
    settings& into;

    template <class Kind>
    void operator()(const Kind& field) const {
        if constexpr (requires { field.at(into) = field.at(from); }) field.at(into) = field.at(from);
    }
};

}  // namespace

bool is_secret(std::string_view name) {
    const auto rows = table::rows();
    const auto found = std::ranges::find(rows, name, &table::row::name);
    return found != rows.end() && is_of_secret_kind(found->value) && !name.starts_with(amazon_prefix);
}

std::vector<std::string_view> changed_secrets(const settings& before, const settings& after) {
    settings one = before, other = after;  // the table's fields are reached through settings that may be written
    std::vector<std::string_view> changed;
    for (const auto& row : table::rows()) {
        if (is_of_secret_kind(row.value) && std::visit(comparer{one, other}, row.value)) changed.push_back(row.name);
    }
    return changed;
}

void take_secret(std::string_view name, const settings& from, settings& into) {
    settings copy = from;
    const auto rows = table::rows();
    const auto found = std::ranges::find(rows, name, &table::row::name);
    if (found != rows.end() && is_of_secret_kind(found->value)) std::visit(taker{copy, into}, found->value);
}

}  // namespace config
