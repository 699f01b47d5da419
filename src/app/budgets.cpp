// `claude-proxy budgets` and `claude-proxy limits`.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <charconv>

#include "app/admin_words.hpp"
#include "app/tables.hpp"
#include "base/money.hpp"

namespace app {

using base::errc;

namespace {

using enum word_kind;

constexpr word_option of_team{"--team", "team", text, "Of this team, by name or id"};
constexpr word_option of_key{"--key", "key", text, "Of this key, by id"};
constexpr word_option of_root{"--root", "root", flag, "Of everybody together"};

constexpr word_option set_budget_options[] = {
    {"AMOUNT", "amount", text, "Dollars and period: 50/month, 2.50/day, 400/week, or 1000 in total", true},
    of_team,
    of_key,
    of_root,
    {"--hard", "hard", flag, "Refuse requests that would overshoot (the default)"},
    {"--soft", "soft", flag, "Only alert"},
    {"--alerts", "alerts", text, "Percents at which to alert, such as 80,95 (the default)"}};
constexpr word_option remove_budget_options[] = {{"ID", "", text, "The budget's id (bud_...)", true}};
constexpr word_option set_limit_options[] = {
    of_team,
    of_key,
    of_root,
    {"--model", "model_class", text, "Only for models that match this pattern"},
    {"--rpm", "requests_per_minute", count, "Requests a minute; 0: no limit"},
    {"--itpm", "input_tokens_per_minute", count, "Input tokens a minute; 0: no limit"},
    {"--otpm", "output_tokens_per_minute", count, "Output tokens a minute; 0: no limit"},
    {"--concurrent", "concurrent_requests", count, "Requests at the same time; 0: no limit"}};

// --team, --key or --root as `scope` and `id`.
base::result<void> take_scope(boost::json::object& members) {
    if (members.contains("team") + members.contains("key") + members.contains("root") != 1)
        return base::fail(errc::invalid_argument, "Say whose it is: one of --team, --key or --root.");
    for (const std::string_view scope : {"team", "key", "root"}) {
        const auto* const given = members.if_contains(scope);
        if (!given) continue;
        const boost::json::value id = *given;  // a new member moves the others
        members.erase(scope);
        members["scope"] = boost::json::string(scope);
        if (id.is_string()) members["id"] = id;
    }
    return {};
}

base::result<boost::json::array> percents_of(std::string_view text) {
    boost::json::array all;
    while (!text.empty()) {
        const std::string_view item = text.substr(0, text.find(','));
        text.remove_prefix(std::min(item.size() + 1, text.size()));
        std::int64_t percent = 0;
        const auto [stop, problem] = std::from_chars(item.data(), item.data() + item.size(), percent);
        if (problem != std::errc() || stop != item.data() + item.size())
            return base::fail(errc::invalid_argument, "--alerts must be whole percents between commas, such as 80,95.");
        all.emplace_back(percent);
    }
    return all;
}

base::result<void> prepare_budget(boost::json::object& members) {
    if (auto scoped = take_scope(members); !scoped) return scoped;
    const auto amount = governance::parse_budget(std::string_view(members.at("amount").as_string()));
    if (!amount) return std::unexpected(amount.error());
    members.erase("amount");
    members["limit"] = boost::json::string(base::dollars_text(amount->limit_pico));
    members["period"] = boost::json::string(governance::name_of(amount->every));
    if (members.contains("soft")) {
        if (members.contains("hard")) return base::fail(errc::invalid_argument, "Give --hard or --soft, not both.");
        members.erase("soft");
        members["hard"] = false;
    }
    if (const auto* const given = members.if_contains("alerts")) {
        auto alerts = percents_of(std::string_view(given->as_string()));
        if (!alerts) return std::unexpected(alerts.error());
        members["alerts"] = std::move(*alerts);
    }
    return {};
}

void print_one(const boost::json::object& answer) { fmt::print("{}", members_text(answer)); }

void print_budgets(const boost::json::object& answer) {
    constexpr column columns[] = {{"ID", "id"},       {"SCOPE", "scope"},   {"NAME", "name"}, {"SPENT", "spent"},
                                  {"LIMIT", "limit"}, {"PERIOD", "period"}, {"HARD", "hard"}, {"ALERTS", "alerts"}};
    fmt::print("{}", table_text(answer.at("data").as_array(), columns, "There are no budgets."));
}

void print_limits(const boost::json::object& answer) {
    constexpr column columns[] = {{"SCOPE", "scope"},
                                  {"NAME", "name"},
                                  {"ID", "id"},
                                  {"MODELS", "model_class"},
                                  {"RPM", "requests_per_minute"},
                                  {"ITPM", "input_tokens_per_minute"},
                                  {"OTPM", "output_tokens_per_minute"},
                                  {"CONCURRENT", "concurrent_requests"}};
    fmt::print("{}", table_text(answer.at("data").as_array(), columns, "There are no limits."));
}

constexpr admin_word budget_words[] = {
    {"set", "Set or change a budget", "POST", "/admin/v1/budgets", set_budget_options, print_one, prepare_budget},
    {"list", "List budgets", "GET", "/admin/v1/budgets", {}, print_budgets},
    {"remove", "Take a budget away", "DELETE", "/admin/v1/budgets/{}", remove_budget_options, print_one},
};

constexpr admin_word limit_words[] = {
    {"set", "Set or change rate limits; what is not given stays, 0 takes away", "POST", "/admin/v1/limits",
     set_limit_options, print_one, take_scope},
    {"list", "List rate limits", "GET", "/admin/v1/limits", {}, print_limits},
};

}  // namespace

void add_budgets(CLI::App& app, chosen_command& chosen) {
    add_group(app, "budgets", "Set, list and remove budgets", budget_words, chosen);
    add_group(app, "limits", "Set and list rate limits", limit_words, chosen);
}

}  // namespace app
