// Claims and sweeps of jobs/group.hpp: what looks for jobs instead of naming them.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_map>
#include <utility>

#include "jobs/group.hpp"

namespace jobs {
namespace {

using database::integer_of;
using database::text_of;

constexpr std::size_t teams_max = 1'024;  // that one claim looks at; the others come when those are served
constexpr std::size_t teams_a_statement = 64;
constexpr std::size_t candidates_more = 4;    // of each team, beyond an equal share
constexpr std::int64_t swept_max = 500;       // jobs of each kind in one sweep
constexpr std::int64_t unannounced_max = 64;  // a message wakes a worker, which claims until there is nothing more
constexpr std::int64_t promoted_max = 1'000;

// Teams with jobs that may run now, found by jumping from one to the next in the index.
constexpr std::string_view waiting_teams =
    "WITH RECURSIVE teams(id) AS ("
    " SELECT MIN(team_id) FROM claude_proxy.jobs WHERE lane = $1 AND status = 'queued' AND run_after = 0"
    " UNION ALL"
    " SELECT (SELECT MIN(j.team_id) FROM claude_proxy.jobs j WHERE j.lane = $1 AND j.status = 'queued'"
    "         AND j.run_after = 0 AND j.team_id > teams.id) FROM teams WHERE teams.id IS NOT NULL)"
    " SELECT id FROM teams WHERE id IS NOT NULL LIMIT $2";

std::string candidates_sql(std::size_t teams) {
    std::string sql;
    for (std::size_t i = 0; i < teams; ++i) {
        sql += fmt::format(
            "{}SELECT * FROM (SELECT team_id, rank, id FROM claude_proxy.jobs WHERE lane = $1 AND team_id = ${}"
            " AND status = 'queued' AND run_after = 0 AND expires_at > $2 ORDER BY rank LIMIT $3) AS t{}",
            i > 0 ? " UNION ALL " : "", i + 4, i);
    }
    return sql;
}

std::vector<std::string> ids_of(const std::vector<database::row>& rows) {
    std::vector<std::string> made;
    made.reserve(rows.size());
    for (const auto& row : rows) made.push_back(text_of(row[0]));
    return made;
}

}  // namespace

governance::hold_sums holds_of_queued(database::connection& on) {
    governance::hold_sums made;
    for (const auto& row : on.query("SELECT holds, COUNT(*) FROM claude_proxy.jobs"
                                    " WHERE status = 'queued' AND holds <> '[]' GROUP BY holds"
                                    " UNION ALL SELECT holds, 1 FROM claude_proxy.batches WHERE holds <> '[]'"
                                    " UNION ALL SELECT holds, 1 FROM claude_proxy.batch_jobs WHERE holds <> '[]'")) {
        for (const auto& hold : governance::read_holds(text_of(row[0]))) {
            made[{hold.budget_id, hold.period_start}] += hold.amount * integer_of(row[1]);
        }
    }
    return made;
}

bool are_holds_right(database::connection& on) {
    governance::hold_sums difference;
    const auto rows = on.query(
        "SELECT holds, COUNT(*), '', 0 FROM claude_proxy.jobs WHERE status = 'queued' AND holds <> '[]' GROUP BY holds"
        " UNION ALL SELECT holds, 1, '', 0 FROM claude_proxy.batches WHERE holds <> '[]'"
        " UNION ALL SELECT holds, 1, '', 0 FROM claude_proxy.batch_jobs WHERE holds <> '[]'"
        " UNION ALL SELECT '', period_start, budget_id, granted_pico FROM claude_proxy.budget_leases"
        " WHERE replica = $1",
        {std::string(governance::jobs_replica)});
    for (const auto& row : rows) {
        if (text_of(row[0]).empty()) {
            difference[{text_of(row[2]), integer_of(row[1])}] -= integer_of(row[3]);
            continue;
        }
        for (const auto& hold : governance::read_holds(text_of(row[0]))) {
            difference[{hold.budget_id, hold.period_start}] += hold.amount * integer_of(row[1]);
        }
    }
    return std::ranges::all_of(difference, [](const auto& of) { return of.second == 0; });
}

// Jobs whose time has come since they were told to wait.
void group::promote() {
    const std::string_view lock = on_.kind() == database::engine::postgres ? " FOR UPDATE SKIP LOCKED" : "";
    on_.execute(fmt::format("UPDATE claude_proxy.jobs SET run_after = 0 WHERE id IN"
                            " (SELECT id FROM claude_proxy.jobs WHERE status = 'queued' AND run_after > 0"
                            "  AND run_after <= $1 ORDER BY run_after LIMIT $2{})",
                            lock),
                {now_, promoted_max});
}

std::vector<std::string> group::choose(std::size_t count, lane where) {
    const std::string name(name_of(where));
    const auto teams = ids_of(on_.query(waiting_teams, {name, static_cast<std::int64_t>(teams_max)}));
    if (teams.empty()) return {};
    std::unordered_map<std::string, std::size_t> places;
    std::vector<rules::contender> contenders(teams.size());
    for (std::size_t i = 0; i < teams.size(); ++i) places.emplace(teams[i], i);
    if (teams.size() > 1) {
        for (const auto& row : on_.query("SELECT team_id, COUNT(*) FROM claude_proxy.jobs"
                                         " WHERE status = 'running' AND lane = $1 GROUP BY team_id",
                                         {name})) {
            if (const auto found = places.find(text_of(row[0])); found != places.end()) {
                contenders[found->second].running = static_cast<std::uint64_t>(integer_of(row[1]));
            }
        }
    }
    for (std::size_t each = std::min(count, count / teams.size() + candidates_more);; each = count) {
        bool is_cut = false;
        for (auto& contender : contenders) contender.waiting.clear();
        for (std::size_t first = 0; first < teams.size(); first += teams_a_statement) {
            std::vector<database::value> parameters{name, now_, static_cast<std::int64_t>(each)};
            // One of a few sizes: planning is most of the work.
            const auto size = std::bit_ceil(std::min(teams.size() - first, teams_a_statement));
            for (std::size_t i = first; i < first + size; ++i) {
                parameters.emplace_back(i < teams.size() ? teams[i] : std::string());
            }
            for (const auto& row : on_.query(candidates_sql(size), parameters)) {
                auto& waiting = contenders[places.at(text_of(row[0]))].waiting;
                waiting.push_back({integer_of(row[1]), text_of(row[2])});
                is_cut = is_cut || waiting.size() == each;
            }
        }
        auto chosen = rules::choose(contenders, count);
        if (chosen.size() == count || !is_cut || each == count) return chosen;
    }
}

// Of these the first ones, as far as their requests have room.
std::vector<std::string> group::within(std::vector<std::string> chosen, std::uint64_t bytes_max) {
    std::unordered_map<std::string, std::uint64_t> sizes;
    in_chunks(chosen, [&](const std::string& places, const std::vector<database::value>& parameters) {
        for (const auto& row : on_.query(fmt::format("SELECT job_id, {} FROM claude_proxy.job_requests"
                                                     " WHERE job_id IN ({})",
                                                     bytes_of(on_, "request"), places),
                                         parameters)) {
            sizes[text_of(row[0])] = static_cast<std::uint64_t>(integer_of(row[1]));
        }
    });
    std::uint64_t bytes = 0;
    const auto full = std::ranges::find_if(chosen, [&](const std::string& id) {
        const bool is_first = bytes == 0;
        bytes += sizes[id];
        return bytes > bytes_max && !is_first;
    });
    chosen.erase(full, chosen.end());
    return chosen;
}

void group::claim(claim_operation& one) {
    one.answer.clear();
    // One claim at a time over all replicas: then it sees what the one before it has taken, and shares fairly.
    database::lock(on_, std::string("jobs.claim.").append(name_of(one.where)));
    if (!one.tried.empty()) {
        std::vector<std::string> ids;
        for (const auto& each : one.tried) ids.push_back(each.job.id);
        load(std::move(ids));
        std::erase_if(one.tried, [&](const claim_operation::try_of& each) {
            working* const found = find(each.job.id);
            if (found == nullptr || found->row.moving.worker != replica_) return true;
            const auto also = rules::heartbeat(found->row.moving, each.job.attempt, now_, rules_.lease.count());
            apply(*found, also);
            return !also.moved;
        });
    }
    if (one.tried.empty()) {
        promote();
        auto chosen = choose(one.count, one.where);
        if (one.bytes_max > 0) chosen = within(std::move(chosen), one.bytes_max);
        load(chosen, locked_by_others::skip);
        for (const auto& id : chosen) {
            working* const job = find(id);
            if (job == nullptr) continue;
            const auto also = rules::claim(job->row.moving, replica_, now_, rules_.lease.count());
            if (!also.moved) continue;
            job->moved = true;
            const auto attempt = job->row.moving.attempt;
            one.tried.push_back({{id, attempt}, nullptr});
            if (!job->row.holds.empty()) {
                if (budgets_ != nullptr) {
                    one.tried.back().money =
                        std::make_shared<governance::arrived_money>(*budgets_, job->row.holds, now_);
                }
                money_.hand_over(job->row.holds);
                job->row.holds.clear();
            }
            history_.push_back({.id = id, .worker = replica_, .attempt = attempt, .started_at = now_});
            changes.push_back({.id = id, .kind = change::what::state, .state = status::running});
        }
    }
    deliver(one);
}

void group::deliver(claim_operation& to) {
    std::vector<std::string> ids;
    for (const auto& each : to.tried) ids.push_back(each.job.id);
    std::unordered_map<std::string, std::pair<std::string, std::string>> bodies;
    in_chunks(ids, [&](const std::string& places, const std::vector<database::value>& parameters) {
        for (auto& row : on_.query(
                 "SELECT job_id, request, headers FROM claude_proxy.job_requests WHERE job_id IN (" + places + ")",
                 parameters)) {
            bodies[text_of(row[0])] = {std::move(std::get<std::string>(row[1])), text_of(row[2])};
        }
    });
    for (const auto& each : to.tried) {
        const job_row& row = find(each.job.id)->row;
        auto& body = bodies[each.job.id];
        to.answer.push_back({summary_of(row), std::move(body.first), std::move(body.second), row.events, each.money});
    }
}

void group::sweep(sweep_operation& one) {
    one.answer = {};
    auto& told = one.answer;
    // First: `now_` is of the moment before this transaction began.
    if (on_.kind() == database::engine::postgres) {
        const auto clock = on_.query("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint)");
        told.clock_ahead = now_ - integer_of(clock.at(0).at(0));
    }
    auto ids =
        ids_of(on_.query("SELECT id FROM claude_proxy.jobs WHERE status = 'running' AND lease_until <= $1"
                         " ORDER BY lease_until LIMIT $2",
                         {now_, swept_max}));
    for (auto& id : ids_of(on_.query("SELECT id FROM claude_proxy.jobs WHERE status = 'queued' AND expires_at <= $1"
                                     " ORDER BY expires_at LIMIT $2",
                                     {now_, swept_max}))) {
        ids.push_back(std::move(id));
    }
    const time_ms retention = rules_.retention.count() * 1'000;
    load(std::move(ids), locked_by_others::skip);
    load_ends();
    for (auto& [id, job] : jobs_) {
        const auto also = rules::sweep(job.row.moving, now_, retention);
        apply(job, also);
        if (!also.moved) continue;
        switch (job.row.moving.state) {
            case status::queued:
                told.requeued += also.history.empty() ? 0 : 1;
                break;
            case status::dead:
                ++told.dead;
                break;
            case status::expired:
                ++told.expired;
                break;
            default:
                ++told.cancelled;
        }
    }
    promote();

    auto over = ids_of(on_.query("SELECT id FROM claude_proxy.jobs WHERE delete_at <= $1 ORDER BY delete_at LIMIT $2",
                                 {now_, swept_max}));
    load(over, locked_by_others::skip);
    for (const auto& id : over) {
        working* const job = find(id);
        if (job == nullptr || !job->row.moving.delete_at || *job->row.moving.delete_at > now_) continue;
        job->gone = true;
        ++told.deleted;
    }

    // Whoever has just submitted announces by itself.
    told.unannounced =
        ids_of(on_.query("SELECT id FROM claude_proxy.jobs WHERE status = 'queued' AND run_after = 0"
                         " AND lane = 'realtime' AND announced_at <= $1 AND updated_at <= $2"
                         " ORDER BY announced_at LIMIT $3",
                         {now_ - rules_.announce_again.count(), now_ - rules_.sweep_every.count(), unannounced_max}));
    // What this very sweep has moved is written at its end.
    std::erase_if(told.unannounced, [&](const std::string& id) { return jobs_.contains(id); });
    if (one.check_holds) {
        told.holds_repaired = governance::repair_job_leases(on_, [&] { return holds_of_queued(on_); });
    }
}

}  // namespace jobs
