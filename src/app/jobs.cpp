// `claude-proxy jobs`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "app/admin_words.hpp"
#include "app/job_calls.hpp"
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

constexpr word_option job_filter_options[] = {
    {"--team", "team", text, "Only those of this team; name or id"},
    {"--key", "key", text, "Only those of this key's id"},
    {"--status", "status", text, "Only those that are queued, running, succeeded, failed, cancelled, expired or dead"},
    {"--lane", "lane", text, "Only those of the lane realtime or batch"},
    {"--model", "model", text, "Only those of this model"},
    {"--before", "before_id", text, "Only those that were submitted before this job"},
    {"--limit", "limit", count, "At most so many, 1 to 100; 20 without it"}};
constexpr word_option one_job[] = {{"ID", "", text, "The job's id (job_...)", true}};
constexpr word_option dead_options[] = {{"--team", "team", text, "Only those of this team; name or id"},
                                        {"--model", "model", text, "Only those of this model"}};

void print_jobs(const boost::json::object& answer) {
    constexpr column columns[] = {{"ID", "id"},           {"STATUS", "status"},      {"TEAM", "team_id"},
                                  {"MODEL", "model"},     {"LANE", "lane"},          {"PRIORITY", "priority"},
                                  {"ATTEMPT", "attempt"}, {"CREATED", "created_at"}, {"FINISHED", "finished_at"}};
    fmt::print("{}", table_text(answer.at("data").as_array(), columns, "There are no jobs."));
}

void print_job(const boost::json::object& answer) {
    constexpr column columns[] = {{"ATTEMPT", "attempt"},   {"OUTCOME", "outcome"},    {"REASON", "reason"},
                                  {"WORKER", "worker"},     {"STARTED", "started_at"}, {"ENDED", "ended_at"},
                                  {"REQUEST", "request_id"}};
    boost::json::object shown = answer;
    const auto history = shown.at("attempts");
    shown.erase("attempts");
    fmt::print("{}\n{}", members_text(shown), table_text(history.as_array(), columns, "Nobody has tried it yet."));
}

void print_redriven(const boost::json::object& answer) { fmt::print("{}", members_text(answer)); }

constexpr admin_word words[] = {
    {"list", "List jobs, the newest first", "GET", "/admin/v1/jobs", job_filter_options, print_jobs},
    {"show", "Show a job and its attempts", "GET", "/admin/v1/jobs/{}", one_job, print_job},
    {"cancel", "Cancel a job; one that runs stops within a second", "POST", "/admin/v1/jobs/{}/cancel", one_job,
     print_job},
    {"redrive", "Give a dead job its attempts again", "POST", "/admin/v1/jobs/{}/redrive", one_job, print_job},
    {"redrive-all", "The same for up to 100 dead jobs of a team or model", "POST", "/admin/v1/dead-letters/redrive",
     dead_options, print_redriven},
};

constexpr admin_word webhook_words[] = {
    {"list", "List deliveries, the newest first", "GET", "/admin/v1/webhooks", webhook_list_options, print_webhooks,
     nullptr, "after_id"},
    {"show", "Show one delivery", "GET", "/admin/v1/webhooks/{}", webhook_show_options, print_webhook},
    {"replay", "Send again: a delivery, that of a job, or those of a team and a state", "POST",
     "/admin/v1/webhooks/replay", webhook_replay_options, print_webhook},
};

}  // namespace

void add_jobs(CLI::App& app, chosen_command& chosen) {
    CLI::App* const group = app.add_subcommand("jobs", "Submit, watch and look after durable jobs");
    group->require_subcommand(1);
    add_job_calls(*group, chosen);
    for (const auto& word : words) add_word(*group, word, chosen);
    add_group(*group, "webhooks", "What became of the webhooks of jobs, and how to send them again", webhook_words,
              chosen);
}

}  // namespace app
