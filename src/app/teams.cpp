// `claude-proxy teams`.
#include <fmt/format.h>

#include "app/admin_words.hpp"
#include "app/tables.hpp"

namespace app {
namespace {

using enum word_kind;

constexpr word_option models{"--model", "models", texts, "A model pattern that the team may use; repeat it for more"};
constexpr word_option tags{"--tag", "tags", texts, "A tag on every ledger row of the team; repeat it for more"};
constexpr word_option metadata{"--metadata", "metadata", json, "A JSON object of your own"};

constexpr word_option create_options[] = {
    {"--name,NAME", "name", text, "Letters, digits, '-', '_' and '.'", true}, models, tags, metadata};
constexpr word_option list_options[] = {{"--with-archived", "with_archived", flag, "Also archived ones"}};
constexpr word_option one_team[] = {{"TEAM", "", text, "Id or name", true}};
constexpr word_option update_options[] = {
    {"TEAM", "", text, "Id or name", true}, {"--name", "name", text, "Another name"}, models, tags, metadata};

constexpr word_option secret_options[] = {
    {"TEAM", "", text, "Id or name", true},
    {"--rotate", "rotate", flag, "Make another one; the one before it signs, too, until the overlap is over"},
    {"--overlap", "overlap", text, "How long that is, such as 1h; 24h without it"}};

void print_team(const boost::json::object& answer) { fmt::print("{}", members_text(answer)); }

void print_teams(const boost::json::object& answer) {
    constexpr column columns[] = {{"NAME", "name"},          {"ID", "id"},
                                  {"MODELS", "models"},      {"TAGS", "tags"},
                                  {"CREATED", "created_at"}, {"ARCHIVED", "archived_at"}};
    fmt::print("{}", table_text(answer.at("data").as_array(), columns, "There are no teams."));
}

constexpr admin_word words[] = {
    {"create", "Make a team", "POST", "/admin/v1/teams", create_options, print_team},
    {"list", "List teams", "GET", "/admin/v1/teams", list_options, print_teams},
    {"show", "Show one team", "GET", "/admin/v1/teams/{}", one_team, print_team},
    {"update", "Change a team; what is not given stays", "PATCH", "/admin/v1/teams/{}", update_options, print_team},
    {"archive", "End a team: its keys are refused from now on", "DELETE", "/admin/v1/teams/{}", one_team, print_team},
    {"webhook-secret", "Show, or with --rotate renew, what signs the webhooks of a team's jobs", "POST",
     "/admin/v1/teams/{}/webhook-secret", secret_options, print_team},
};

}  // namespace

void add_teams(CLI::App& app, chosen_command& chosen) {
    add_group(app, "teams", "Make, list, change and archive teams", words, chosen);
}

}  // namespace app
