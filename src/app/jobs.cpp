// `claude-proxy jobs`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/admin_words.hpp"
#include "app/tables.hpp"

namespace app {
namespace {

using enum word_kind;

constexpr word_option job{"--job", "job", text, "Only those of this job"};
constexpr word_option team{"--team", "team", text, "Only those of this team; name or id"};
constexpr word_option state{"--state", "state", text, "Only those that are waiting, delivered or given_up"};

constexpr word_option webhook_list_options[] = {job,
                                                team,
                                                state,
                                                {"--after", "after_id", text, "Only those behind this id"},
                                                {"--limit", "limit", count, "At most so many, 1 to 1000"}};
constexpr word_option webhook_show_options[] = {{"ID", "", text, "The delivery's id (evt_...)", true}};
constexpr word_option webhook_replay_options[] = {{"ID", "id", text, "The delivery's id (evt_...)"}, job, team, state};

void print_webhook(const boost::json::object& answer) { fmt::print("{}", members_text(answer)); }

void print_webhooks(const boost::json::object& answer) {
    constexpr column columns[] = {{"ID", "id"},        {"JOB", "job_id"},       {"EVENT", "event"},
                                  {"STATE", "state"},  {"TRIES", "tries"},      {"STATUS", "last_status"},
                                  {"NEXT", "next_at"}, {"ERROR", "last_error"}, {"CREATED", "created_at"},
                                  {"URL", "url"}};
    fmt::print("{}", table_text(answer.at("data").as_array(), columns, "There are no webhooks."));
}

constexpr admin_word webhook_words[] = {
    {"list", "List deliveries, the newest first", "GET", "/admin/v1/webhooks", webhook_list_options, print_webhooks,
     nullptr, "after_id"},
    {"show", "Show one delivery", "GET", "/admin/v1/webhooks/{}", webhook_show_options, print_webhook},
    {"replay", "Send again: a delivery, that of a job, or those of a team and a state", "POST",
     "/admin/v1/webhooks/replay", webhook_replay_options, print_webhook},
};

}  // namespace

void add_jobs(CLI::App& app, chosen_command& chosen) {
    CLI::App* const group = app.add_subcommand("jobs", "Look after durable jobs");
    group->require_subcommand(1);
    add_group(*group, "webhooks", "What became of the webhooks of jobs, and how to send them again", webhook_words,
              chosen);
}

}  // namespace app
