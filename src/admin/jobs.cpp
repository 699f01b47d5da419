// Durable jobs of all teams: /admin/v1/jobs and /admin/v1/dead-letters.
#include <boost/json/parse.hpp>
#include <boost/json/string.hpp>

#include "admin/endpoint.hpp"
#include "admin/members.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"
#include "governance/change.hpp"
#include "governance/tenants.hpp"
#include "jobs/asking.hpp"
#include "jobs/job_text.hpp"

namespace admin {

using base::errc;

namespace {

constexpr std::int64_t entries_default = 20;
constexpr std::int64_t entries_max = 100;
// One call redrives so many dead jobs at most; who has more calls again.
constexpr std::int64_t redrive_max = 100;
// The team of the static keys, which may have jobs although it is not stored.

boost::json::string text_of(std::string_view what) { return boost::json::string(what); }

boost::json::object view_of(const jobs::summary& what) {
    auto view = boost::json::parse(jobs::json_of(what)).as_object();
    view["team_id"] = text_of(what.who.team_id);
    if (!what.who.subject.empty()) view["subject"] = text_of(what.who.subject);
    return view;
}

boost::json::array view_of(const std::vector<jobs::attempt_entry>& history) {
    boost::json::array all;
    for (const auto& entry : history) {
        all.push_back(boost::json::object{{"attempt", entry.attempt},
                                          {"worker", text_of(entry.worker)},
                                          {"started_at", time_value(entry.started_at)},
                                          {"ended_at", time_value(entry.ended_at)},
                                          {"outcome", text_of(entry.outcome.empty() ? "running" : entry.outcome)},
                                          {"reason", text_of(entry.reason)},
                                          {"request_id", text_of(entry.request_id)}});
    }
    return all;
}

// What an outcome means to an administrator. Nothing for `done`.
std::optional<base::error> problem_of(jobs::outcome how, const std::string& id, std::string_view needs) {
    switch (how) {
        case jobs::outcome::done:
            return std::nullopt;
        case jobs::outcome::not_found:
            return base::error{errc::job_not_found, "There is no job " + id + "."};
        case jobs::outcome::unavailable:
            return base::error{errc::database_unavailable, {}, std::chrono::seconds(1)};
        case jobs::outcome::refused:
            return base::error{errc::database_refused};
        default:
            return base::error{errc::job_conflict, "The job " + id + std::string(needs)};
    }
}

// The job as it is now, with its history.
base::result<reply> show(const std::string& id, workbench& bench) {
    const auto [how, found] = jobs::ask_find(bench.jobs(), id);
    if (auto wrong = problem_of(how, id, " cannot be shown.")) return std::unexpected(std::move(*wrong));
    const auto [read, history] = jobs::ask_history(bench.jobs(), id);
    if (auto wrong = problem_of(read, id, " cannot be shown.")) return std::unexpected(std::move(*wrong));
    auto view = view_of(found);
    view["attempts"] = view_of(history);
    return reply_of(view);
}

base::result<void> note(workbench& bench, const governance::actor& by, std::string_view action, const std::string& id) {
    return governance::make_change(bench.on, by, bench.now(), [&](governance::change& made) -> base::result<void> {
        made.record(action, id, "{}");
        return {};
    });
}

base::result<jobs::filter> read_filter(members& given, workbench& bench) {
    jobs::filter which;
    const auto team = given.text("team");
    which.key_id = given.text("key").value_or("");
    which.state =
        given.named("status", jobs::status_named, "queued, running, succeeded, failed, cancelled, expired or dead");
    which.where = given.named("lane", jobs::lane_named, "realtime or batch");
    which.model = given.text("model").value_or("");
    which.before_id = given.text("before_id").value_or("");
    which.count = static_cast<std::uint32_t>(given.count("limit", 1, entries_max).value_or(entries_default));
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    if (!team) return which;
    // A typing error must not look like a team without jobs.
    const auto found = bench.tenants.find_team(*team);
    if (!found && *team != governance::static_team) return std::unexpected(found.error());
    which.team_id = found ? found->id : *team;
    return which;
}

base::result<reply> list(jobs::filter which, workbench& bench) {
    const std::size_t limit = which.count++;
    auto [how, found] = jobs::ask_list(bench.jobs(), which);
    if (auto wrong = problem_of(how, which.before_id, " is not there.")) return std::unexpected(std::move(*wrong));
    const bool has_more = found.size() > limit;
    if (has_more) found.pop_back();
    boost::json::array all;
    for (const auto& job : found) all.push_back(view_of(job));
    boost::json::value last = found.empty() ? boost::json::value(nullptr) : text_of(found.back().id);
    return reply_of(page_of(std::move(all), has_more, std::move(last)));
}

}  // namespace

base::result<reply> list_jobs(const request& asked, workbench& bench) {
    members given(asked);
    auto which = read_filter(given, bench);
    if (!which) return std::unexpected(which.error());
    return list(std::move(*which), bench);
}

base::result<reply> list_dead_letters(const request& asked, workbench& bench) {
    members given(asked);
    auto which = read_filter(given, bench);
    if (!which) return std::unexpected(which.error());
    which->state = jobs::status::dead;
    return list(std::move(*which), bench);
}

base::result<reply> show_job(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    return show(asked.path[0], bench);
}

base::result<reply> cancel_job(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    if (auto may = governance::may_change(asked.by); !may) return std::unexpected(may.error());
    const auto how = jobs::ask_cancel(bench.jobs(), asked.path[0]);
    if (auto wrong = problem_of(how, asked.path[0], " has ended already.")) return std::unexpected(std::move(*wrong));
    if (auto noted = note(bench, asked.by, "job.cancel", asked.path[0]); !noted) return std::unexpected(noted.error());
    return show(asked.path[0], bench);
}

base::result<reply> redrive_job(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    if (auto may = governance::may_change(asked.by); !may) return std::unexpected(may.error());
    const auto how = jobs::ask_redrive(bench.jobs(), asked.path[0]);
    if (auto wrong = problem_of(how, asked.path[0], " is not dead: only dead ones are redriven."))
        return std::unexpected(std::move(*wrong));
    if (auto noted = note(bench, asked.by, "job.redrive", asked.path[0]); !noted) return std::unexpected(noted.error());
    return show(asked.path[0], bench);
}

// The newest dead jobs that the filter matches, at most redrive_max; `has_more` tells to call again.
base::result<reply> redrive_dead_letters(const request& asked, workbench& bench) {
    members given(asked);
    auto which = read_filter(given, bench);
    if (!which) return std::unexpected(which.error());
    if (auto may = governance::may_change(asked.by); !may) return std::unexpected(may.error());
    which->state = jobs::status::dead;
    which->count = static_cast<std::uint32_t>(redrive_max) + 1;
    auto [how, found] = jobs::ask_list(bench.jobs(), *which);
    if (auto wrong = problem_of(how, which->before_id, " is not there.")) return std::unexpected(std::move(*wrong));
    const bool has_more = found.size() > static_cast<std::size_t>(redrive_max);
    if (has_more) found.pop_back();
    std::int64_t redriven = 0;
    for (const auto& job : found) {
        const auto one = jobs::ask_redrive(bench.jobs(), job.id);
        if (one == jobs::outcome::unavailable || one == jobs::outcome::refused)
            return std::unexpected(*problem_of(one, job.id, ""));
        if (one != jobs::outcome::done) continue;  // somebody was faster
        ++redriven;
        if (auto noted = note(bench, asked.by, "job.redrive", job.id); !noted) return std::unexpected(noted.error());
    }
    return reply_of({{"redriven", redriven}, {"has_more", has_more}});
}

}  // namespace admin
