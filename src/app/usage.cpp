// `claude-proxy usage` and `claude-proxy requests`.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

#include "app/admin_words.hpp"
#include "app/tables.hpp"

namespace app {
namespace {

using enum word_kind;

constexpr word_option usage_options[] = {
    {"--team", "team", text, "Only of this team, by name or id"},
    {"--key", "key", text, "Only of this key, by id"},
    {"--model", "model", text, "Only of this model"},
    {"--tag", "tag", text, "Only with this tag"},
    {"--from", "from", text, "From this time on: 2027-01-01, 2027-01-01T12:00:00Z, or 7d for the last seven days"},
    {"--to", "to", text, "Before this time"},
    {"--by", "group_by", text, "A row for each of: team, key, model, tag, day, hour, outcome, between commas"},
    {"--csv", "format", flag, "Print the rows as CSV"}};
constexpr word_option request_options[] = {{"ID", "", text, "The request's id (req_cp_...)", true}};

base::result<void> csv_is_a_format(boost::json::object& members) {
    if (members.contains("format")) members["format"] = "csv";
    return {};
}

void print_usage(const boost::json::object& answer) {
    std::vector<column> columns;
    for (const auto& group : answer.at("group_by").as_array()) {
        const std::string_view name(group.as_string());
        columns.push_back({name, name});
        if (name == "key") columns.push_back({"name", "key_name"});
    }
    for (const auto& [title, member] : std::initializer_list<column>{{"attempts", "attempts"},
                                                                     {"input", "input_tokens"},
                                                                     {"cache write 5m", "cache_write_5m_tokens"},
                                                                     {"cache write 1h", "cache_write_1h_tokens"},
                                                                     {"cache read", "cache_read_tokens"},
                                                                     {"output", "output_tokens"},
                                                                     {"searches", "web_searches"},
                                                                     {"dollars", "cost_dollars"}})
        columns.push_back({title, member});
    const auto& rows = answer.at("rows").as_array();
    if (!answer.at("group_by").as_array().empty()) {
        fmt::print("{}\n", table_text(rows, columns, "Nothing was used."));
        if (!answer.at("complete").as_bool()) fmt::print("There are more rows; ask for a shorter time.\n\n");
    }
    fmt::print("total\n{}", members_text(answer.at("totals").as_object()));
}

void print_request(const boost::json::object& answer) {
    fmt::print("request  {}\ncost     {} dollars\n", cell_text(answer.at("request_id")),
               cell_text(answer.at("cost_dollars")));
    for (const auto& attempt : answer.at("attempts").as_array())
        fmt::print("\nattempt\n{}", members_text(attempt.as_object()));
    if (const auto* const refusal = answer.at("refusal").if_object())
        fmt::print("\nrefused\n{}", members_text(*refusal));
}

constexpr admin_word usage_word{"usage",     "Report tokens and cost", "GET", "/admin/v1/usage", usage_options,
                                print_usage, csv_is_a_format};
constexpr admin_word request_words[] = {
    {"show", "Tell what became of a request: attempts, price, refusal", "GET", "/admin/v1/requests/{}", request_options,
     print_request},
};

}  // namespace

void add_usage(CLI::App& app, chosen_command& chosen) {
    add_word(app, usage_word, chosen);
    add_group(app, "requests", "Explain requests", request_words, chosen);
}

}  // namespace app
