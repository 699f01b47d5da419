// Reads what an endpoint was given, member by member, and remembers the first thing that is wrong.
//
//   members given(asked);
//   team_draft draft{.name = given.text("name"), .models = given.texts("models")};
//   if (const auto wrong = given.problem()) return std::unexpected(*wrong);
//
// A member that nobody asked for is a problem too, so that a misspelt name is told instead of dropped. The command line
// and queries give texts where JSON has numbers, lists and booleans: those are read as what they stand for.
// Thread rule: a value of its function.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/endpoint.hpp"
#include "base/money.hpp"

namespace admin {

class members {
public:
    explicit members(const request& asked) : asked_(asked) {}

    // Each gives nothing when the member is absent or wrong.
    std::optional<std::string> text(std::string_view name);
    std::optional<bool> flag(std::string_view name);
    std::optional<std::int64_t> count(std::string_view name, std::int64_t min = 0,
                                      std::int64_t max = std::numeric_limits<std::int64_t>::max());
    std::optional<std::vector<std::string>> texts(std::string_view name);  // in a query: between commas
    std::optional<std::vector<int>> percents(std::string_view name);
    std::optional<std::string> object(std::string_view name);  // as JSON
    std::optional<base::pico_dollars> dollars(std::string_view name);
    std::optional<std::int64_t> span_ms(std::string_view name);  // "1h"
    // A time, or a span such as "90d" that is added to `now` (`sign` 1) or taken from it (-1).
    std::optional<governance::time_ms> time(std::string_view name, governance::time_ms now, int sign);
    bool is_null(std::string_view name) const;
    void note(std::string_view name) { known_.push_back(name); }  // a name that is known although nothing read it

    // Its absence is a problem; what came before goes first.
    void missing(std::string_view name);

    // The value of `name` (a name such as "operator") through one of governance's readers (role_named and its like).
    template <class Value>
    std::optional<Value> named(std::string_view name, std::optional<Value> (*read)(std::string_view),
                               std::string_view choices) {
        const auto given = text(name);
        if (!given) return std::nullopt;
        const auto value = read(*given);
        if (!value) wrong(name, choices);
        return value;
    }

    // To be called when everything was read.
    std::optional<base::error> problem();

private:
    const boost::json::value* find(std::string_view name);
    std::optional<std::string> text_of(std::string_view name, const boost::json::value& value);
    void wrong(std::string_view name, std::string_view must);

    const request& asked_;
    std::vector<std::string_view> known_{};
    std::optional<base::error> first_{};
};

}  // namespace admin
