#include "jobs/reads.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <set>

#include "jobs/rows.hpp"

namespace jobs::reads {
namespace {

using database::integer_of;
using database::text_of;

// A step of a long replay looks at so many events at most, not at all that follow.
constexpr std::int64_t events_a_read = 4'096;
constexpr std::size_t wishes_a_statement = 256;
constexpr std::uint32_t list_max = 101;  // a page, and one more to know whether there are more

// Conditions with numbered parameters, as many as there are.
class conditions {
public:
    void add(std::string_view condition, database::value is) {
        text_ += text_.empty() ? " WHERE " : " AND ";
        text_ += fmt::format(fmt::runtime(condition), fmt::format("${}", parameters_.size() + 1));
        parameters_.push_back(std::move(is));
    }
    const std::string& text() const { return text_; }
    std::vector<database::value>& parameters() { return parameters_; }

private:
    std::string text_;
    std::vector<database::value> parameters_;
};

// "($1, $2), ($3, $4)": rows for a VALUES list, filled up with the last one to one of a few sizes.
template <class Item, class Values>
std::string values_of(std::span<const Item> items, std::vector<database::value>& parameters, const Values& values) {
    const auto size = std::bit_ceil(items.size());
    std::string text;
    for (std::size_t i = 0; i < size; ++i) {
        const auto [first, second] = values(items[std::min(i, items.size() - 1)], i < items.size());
        fmt::format_to(std::back_inserter(text), "{}(${}, ${})", i > 0 ? ", " : "", parameters.size() + 1,
                       parameters.size() + 2);
        parameters.emplace_back(first);
        parameters.emplace_back(second);
    }
    return text;
}

std::string select(std::string_view more_columns) {
    return fmt::format("SELECT {}{} FROM claude_proxy.jobs j", job_columns(true), more_columns);
}

// Of the jobs without news those that are not there.
void add_gone(database::connection& on, std::span<const store::log_wish> wishes, std::vector<store::log_news>& made) {
    std::set<std::string_view> with_news;
    for (const auto& each : made) with_news.insert(each.id);
    std::vector<std::string> quiet;
    for (const auto& wish : wishes) {
        if (!with_news.contains(wish.id)) quiet.push_back(wish.id);
    }
    std::set<std::string> there;
    in_chunks(quiet, [&](const std::string& places, const std::vector<database::value>& parameters) {
        for (const auto& row : on.query("SELECT id FROM claude_proxy.jobs WHERE id IN (" + places + ")", parameters)) {
            there.insert(text_of(row[0]));
        }
    });
    for (auto& id : quiet) {
        if (!there.contains(id)) made.push_back({.id = std::move(id), .pieces = {}, .gone = true});
    }
}

}  // namespace

std::optional<summary> find(database::connection& on, const std::string& id, const std::string& team_id) {
    const auto rows = on.query(select("") + " WHERE j.id = $1 AND ($2 = '' OR j.team_id = $2)", {id, team_id});
    if (rows.empty()) return {};
    return summary_of(row_of(rows[0]));
}

std::optional<std::vector<summary>> list(database::connection& on, const filter& which) {
    conditions where;
    if (!which.team_id.empty()) where.add("j.team_id = {}", which.team_id);
    if (!which.key_id.empty()) where.add("j.key_id = {}", which.key_id);
    if (which.state) where.add("j.status = {}", std::string(name_of(*which.state)));
    if (which.where) where.add("j.lane = {}", std::string(name_of(*which.where)));
    if (!which.model.empty()) where.add("j.model = {}", which.model);
    if (!which.before_id.empty()) {
        const auto from =
            on.query("SELECT created_at FROM claude_proxy.jobs WHERE id = $1 AND ($2 = '' OR team_id = $2)",
                     {which.before_id, which.team_id});
        // Also when the job has been deleted since the page before was read.
        const auto created = from.empty() ? created_at_of(which.before_id) : std::optional(integer_of(from[0][0]));
        if (!created) return {};
        where.add("j.created_at <= {}", *created);
        where.add(fmt::format("(j.created_at < {} OR j.id < {{}})", *created), which.before_id);
    }
    const auto count = std::clamp(which.count, 1U, list_max);
    std::vector<summary> made;
    for (const auto& row :
         on.query(fmt::format("{}{} ORDER BY j.created_at DESC, j.id DESC LIMIT {}", select(""), where.text(), count),
                  where.parameters())) {
        made.push_back(summary_of(row_of(row)));
    }
    return made;
}

std::optional<std::pair<summary, std::string>> result(database::connection& on, const std::string& id,
                                                      const std::string& team_id) {
    const auto rows = on.query(select(", (SELECT r.result FROM claude_proxy.job_results r WHERE r.job_id = j.id)") +
                                   " WHERE j.id = $1 AND ($2 = '' OR j.team_id = $2)",
                               {id, team_id});
    if (rows.empty()) return {};
    return std::pair(summary_of(row_of(rows[0])), text_of(rows[0].back()));
}

std::vector<store::log_news> logs(database::connection& on, std::span<const store::log_wish> wishes,
                                  std::size_t bytes_max) {
    std::vector<store::log_news> made;
    std::int64_t left = static_cast<std::int64_t>(bytes_max);
    while (!wishes.empty() && left > 0) {
        const auto now = wishes.first(std::min(wishes.size(), wishes_a_statement));
        wishes = wishes.subspan(now.size());
        std::vector<database::value> parameters{left};
        // Pieces of a log follow each other without gaps: the first one that is wanted begins at `after` + 1 or holds
        // it. What is too much is cut before any bytes are read, from all logs alike.
        const auto values = values_of(now, parameters, [](const store::log_wish& wish, bool real) {
            return std::pair(real ? wish.id : std::string(), static_cast<std::int64_t>(wish.after));
        });
        const auto rows = on.query(
            fmt::format(
                "SELECT e.job_id, p.status, p.events, e.first_id, e.last_id, e.bytes FROM"
                " (SELECT w.job_id, w.status, w.events, w.first_id,"
                "   SUM(w.size) OVER (ORDER BY w.first_id - w.since, w.job_id ROWS UNBOUNDED PRECEDING) - w.size AS "
                "total"
                "  FROM (SELECT k.job_id AS job_id, j.status AS status, j.events AS events, k.first_id AS first_id,"
                "          k.size AS size,"
                "          v.column2 AS since FROM (VALUES {}) AS v"
                "        JOIN claude_proxy.jobs j ON j.id = v.column1"
                "        JOIN claude_proxy.job_events k ON k.job_id = v.column1 AND k.last_id > v.column2"
                "          AND k.first_id <= v.column2 + {} AND k.first_id >="
                "          COALESCE((SELECT MAX(b.first_id) FROM claude_proxy.job_events b"
                "                    WHERE b.job_id = v.column1 AND b.first_id <= v.column2 + 1), 0)) AS w) AS p"
                " JOIN claude_proxy.job_events e ON e.job_id = p.job_id AND e.first_id = p.first_id"
                " WHERE p.total < $1 ORDER BY e.job_id, e.first_id",
                values, events_a_read),
            parameters);
        for (const auto& row : rows) {
            const auto& id = text_of(row[0]);
            if (made.empty() || made.back().id != id) {
                made.push_back({.id = id,
                                .state = status_named(text_of(row[1])).value_or(status::queued),
                                .events = static_cast<std::uint64_t>(integer_of(row[2])),
                                .pieces = {}});
            }
            made.back().pieces.push_back({.first_id = static_cast<std::uint64_t>(integer_of(row[3])),
                                          .last_id = static_cast<std::uint64_t>(integer_of(row[4])),
                                          .bytes = text_of(row[5])});
            left -= static_cast<std::int64_t>(text_of(row[5]).size());
        }
        add_gone(on, now, made);
    }
    return made;
}

std::vector<attempt_entry> history(database::connection& on, const std::string& id) {
    std::vector<attempt_entry> made;
    for (const auto& row : on.query("SELECT attempt, worker, started_at, ended_at, outcome, reason, request_id"
                                    " FROM claude_proxy.job_attempts WHERE job_id = $1 ORDER BY attempt",
                                    {id})) {
        made.push_back({.attempt = static_cast<std::uint32_t>(integer_of(row[0])),
                        .worker = text_of(row[1]),
                        .started_at = integer_of(row[2]),
                        .ended_at = database::is_null(row[3]) ? std::nullopt : std::optional(integer_of(row[3])),
                        .outcome = text_of(row[4]),
                        .reason = text_of(row[5]),
                        .request_id = text_of(row[6])});
    }
    return made;
}

std::vector<store::running_job> to_cancel(database::connection& on, std::span<const store::running_job> held) {
    std::vector<store::running_job> made;
    while (!held.empty()) {
        const auto now = held.first(std::min(held.size(), wishes_a_statement));
        held = held.subspan(now.size());
        std::vector<database::value> parameters;
        const auto values = values_of(now, parameters, [](const store::running_job& job, bool real) {
            return std::pair(real ? job.id : std::string(), std::int64_t{job.attempt});
        });
        for (const auto& row :
             on.query(fmt::format("SELECT j.id, j.attempt FROM (VALUES {}) AS v JOIN claude_proxy.jobs j"
                                  " ON j.id = v.column1 AND j.attempt = v.column2"
                                  " WHERE j.status = 'running' AND j.cancel_asked = 1",
                                  values),
                      parameters)) {
            made.push_back({text_of(row[0]), static_cast<std::uint32_t>(integer_of(row[1]))});
        }
    }
    return made;
}

counts_by_status count(database::connection& on) {
    // Each part by a partial index of its own.
    const auto rows = on.query(
        "SELECT (SELECT COUNT(*) FROM claude_proxy.jobs WHERE status = 'queued' AND run_after = 0)"
        "     + (SELECT COUNT(*) FROM claude_proxy.jobs WHERE status = 'queued' AND run_after > 0),"
        " (SELECT COUNT(*) FROM claude_proxy.jobs WHERE status = 'running'),"
        " (SELECT COUNT(*) FROM claude_proxy.jobs WHERE status = 'dead'),"
        " (SELECT COUNT(*) FROM claude_proxy.webhook_deliveries WHERE state = 'waiting'),"
        " (SELECT MIN(created_at) FROM claude_proxy.jobs WHERE status = 'queued')");
    const auto number = [&](std::size_t at) { return static_cast<std::uint64_t>(integer_of(rows.at(0).at(at))); };
    return {.queued = number(0),
            .running = number(1),
            .dead = number(2),
            .waiting_webhooks = number(3),
            .oldest_queued_at = integer_of(rows.at(0).at(4))};
}

std::map<std::string, std::uint64_t, std::less<>> open_by_team(database::connection& on) {
    std::map<std::string, std::uint64_t, std::less<>> made;
    for (const auto& row : on.query("SELECT team_id, COUNT(*) FROM claude_proxy.jobs WHERE status IN ('queued', "
                                    "'running') GROUP BY team_id")) {
        made[text_of(row[0])] = static_cast<std::uint64_t>(integer_of(row[1]));
    }
    return made;
}

}  // namespace jobs::reads
