#include "worker/batch_lane_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <unordered_map>

#include "gateway/batch_account.hpp"
#include "governance/job_holds.hpp"
#include "jobs/rows.hpp"
#include "jobs/rules.hpp"
#include "ledger/row_buffer.hpp"
#include "resources/custom_ids.hpp"

namespace worker::lane_rows {
namespace {

using database::column;
using database::integer_of;
using database::text_of;
constexpr auto integer = column::type::integer;
constexpr auto words = column::type::text;

// As long as whoever makes a batch lives there is no look at it (resources/batch_rows.cpp).
constexpr time_ms never = std::numeric_limits<time_ms>::max() / 2;

constexpr std::array batch_job_columns = {
    column{"batch_id", words}, column{"job_id", words},       column{"attempt", integer}, column{"team_id", words},
    column{"key_id", words},   column{"subject", words},      column{"tags", words},      column{"model", words},
    column{"holds", words},    column{"bound_pico", integer},
};

// A request of a batch as its row has it.
struct batch_job {
    std::string id;
    std::uint32_t attempt = 0;
    jobs::owner who;
    std::string tags, model;
    std::vector<governance::budget_hold> holds;
    base::pico_dollars bound = 0;
    bool runs = false;         // the job waits for this very attempt
    std::uint64_t events = 0;  // in its log
};

constexpr std::string_view batch_job_query =
    "SELECT b.job_id, b.attempt, b.team_id, b.key_id, b.subject, b.tags, b.model, b.holds, b.bound_pico,"
    " j.status, j.attempt, (SELECT e.last_id FROM claude_proxy.job_events e WHERE e.job_id = b.job_id"
    " ORDER BY e.first_id DESC LIMIT 1)"
    " FROM claude_proxy.batch_jobs b LEFT JOIN claude_proxy.jobs j ON j.id = b.job_id WHERE b.batch_id = $1 ";

batch_job batch_job_of(const database::row& row) {
    batch_job made;
    made.id = text_of(row.at(0));
    made.attempt = static_cast<std::uint32_t>(integer_of(row.at(1)));
    made.who = {.team_id = text_of(row.at(2)), .key_id = text_of(row.at(3)), .subject = text_of(row.at(4))};
    made.tags = text_of(row.at(5));
    made.model = text_of(row.at(6));
    made.holds = governance::read_holds(text_of(row.at(7)));
    made.bound = integer_of(row.at(8));
    made.runs = text_of(row.at(9)) == jobs::name_of(jobs::status::running) && integer_of(row.at(10)) == made.attempt;
    made.events = static_cast<std::uint64_t>(integer_of(row.at(11)));
    return made;
}

// As the account of one request sees its batch.
batch_entry account_of(const batch_entry& batch, const batch_job& job) {
    batch_entry made;
    made.id = batch.id;
    made.upstream_id = batch.upstream_id;
    made.team_id = job.who.team_id;
    made.key_id = job.who.key_id;
    made.subject = job.who.subject;
    made.tags = job.tags;
    made.user_agent = batch.user_agent;
    made.created_at = batch.created_at;
    return made;
}

std::vector<std::string> jobs_in(database::connection& on, const std::string& batch_id) {
    std::vector<std::string> made;
    for (const auto& row : on.query("SELECT job_id FROM claude_proxy.batch_jobs WHERE batch_id = $1", {batch_id})) {
        made.push_back(text_of(row[0]));
    }
    return made;
}

// The jobs that may go into the batch, by id, made part of it.
std::vector<std::string> take_in(database::connection& on, std::span<const entering_job> those, time_ms now) {
    std::unordered_map<std::string_view, std::uint32_t> attempts;
    std::vector<std::string> ids;
    for (const auto& one : those) {
        attempts.emplace(one.id, one.attempt);
        ids.push_back(one.id);
    }
    std::vector<jobs::job_row> rows = jobs::lock_rows(on, std::move(ids));
    std::vector<std::string> taken;
    for (auto& row : rows) {
        if (jobs::rules::enter_batch(row.moving, attempts.at(row.id), now).moved) taken.push_back(row.id);
    }
    jobs::in_chunks(
        taken,
        [&](const std::string& places, std::vector<database::value> parameters) {
            parameters.insert(parameters.begin(), {jobs::rules::in_batch, now});
            on.execute("UPDATE claude_proxy.jobs SET lease_until = $1, updated_at = $2 WHERE id IN (" + places + ")",
                       parameters);
        },
        3);
    return taken;
}

}  // namespace

waiting_jobs waiting(database::connection& on, std::uint32_t enough, time_ms now) {
    const auto rows =
        on.query(fmt::format("SELECT COUNT(*), COALESCE(SUM(t.bytes), 0), COALESCE(MIN(t.since), 0) FROM"
                             " (SELECT {} AS bytes, j.updated_at AS since FROM claude_proxy.jobs j"
                             "  JOIN claude_proxy.job_requests r ON r.job_id = j.id WHERE j.lane = 'batch'"
                             "  AND j.status = 'queued' AND j.run_after = 0 AND j.expires_at > $1 LIMIT $2) AS t",
                             jobs::bytes_of(on, "r.request")),
                 {now, std::int64_t{enough}});
    return {.count = static_cast<std::uint64_t>(integer_of(rows.at(0).at(0))),
            .bytes = static_cast<std::uint64_t>(integer_of(rows.at(0).at(1))),
            .since = integer_of(rows.at(0).at(2))};
}

std::vector<std::size_t> enter(database::connection& on, const batch_entry& what, std::span<const entering_job> those,
                               std::string_view replica, time_ms now, time_ms owned_until) {
    database::transaction together(on);
    std::vector<std::string> inside;
    const bool is_there = resources::batch_exists(on, what.id);
    if (is_there) {
        inside = jobs_in(on, what.id);
    } else {
        inside = take_in(on, those, now);
    }
    std::ranges::sort(inside);
    std::vector<std::size_t> kept;
    resources::custom_id_digest digest;
    for (std::size_t i = 0; i < those.size(); ++i) {
        if (!std::ranges::binary_search(inside, those[i].id)) continue;
        kept.push_back(i);
        digest.add(custom_id_of(those[i].id, those[i].attempt));
    }
    if (is_there || kept.empty()) return kept;
    on.execute(
        "INSERT INTO claude_proxy.batches (id, origin, state, team_id, key_id, digest, requests, owner, owned_until,"
        " next_look_at, created_at, updated_at) VALUES ($1, 'lane', 'creating', '', '', $2, $3, $4, $5, $6, $7, $7)",
        {what.id, digest.text(), static_cast<std::int64_t>(kept.size()), std::string(replica), owned_until, never,
         what.created_at});
    database::batch rows("claude_proxy.batch_jobs", batch_job_columns, "");
    governance::hold_moves money;
    for (const std::size_t i : kept) {
        const entering_job& one = those[i];
        rows.add(what.id);
        rows.add(one.id);
        rows.add(std::int64_t{one.attempt});
        rows.add(one.who.team_id);
        rows.add(one.who.key_id);
        rows.add(one.who.subject);
        rows.add(one.tags);
        rows.add(one.model);
        rows.add(one.holds.empty() ? "[]" : governance::holds_text(one.holds));
        rows.add(one.bound);
        money.set_aside(one.holds);
    }
    on.insert(rows);
    if (!money.empty()) money.write(on, replica, now);
    together.commit();
    return kept;
}

bool open(database::connection& on, std::string_view id, std::string_view upstream_id, time_ms look_at, time_ms now) {
    return !on.query(
                  "UPDATE claude_proxy.batches SET state = 'open', upstream_id = $2, owner = '', owned_until = 0,"
                  " next_look_at = $3, updated_at = $4 WHERE id = $1 AND origin = 'lane'"
                  " AND (state = 'creating' OR upstream_id = $2) RETURNING id",
                  {std::string(id), std::string(upstream_id), look_at, now})
                .empty();
}

std::vector<open_job> open_jobs(database::connection& on, std::string_view batch_id, std::uint32_t count_max) {
    std::vector<open_job> made;
    for (const auto& row : on.query(std::string(batch_job_query) +
                                        "AND j.status = 'running' AND j.attempt = b.attempt ORDER BY b.job_id LIMIT $2",
                                    {std::string(batch_id), std::int64_t{count_max}})) {
        batch_job job = batch_job_of(row);
        made.push_back({std::move(job.id), job.attempt, job.events});
    }
    return made;
}

settled settle(database::connection& on, ledger::row_writer& writer, const batch_entry& batch,
               std::span<const result_line> lines, const pricing::price_table& prices, std::string_view replica,
               time_ms owned_until, time_ms now) {
    database::transaction together(on);
    settled made;
    const auto locked = on.query(
        "UPDATE claude_proxy.batches SET owner = $2, owned_until = $3, updated_at = $4"
        " WHERE id = $1 AND state = 'open' RETURNING id",
        {batch.id, std::string(replica), owned_until, now});
    if (locked.empty()) return made;
    made.is_open = true;
    made.jobs.resize(lines.size());
    std::vector<std::string> ids;
    for (const auto& line : lines) {
        if (auto named = read_custom_id(line.said.custom_id)) ids.push_back(std::move(named->first));
    }
    std::map<std::string, batch_job> found;  // by custom id
    jobs::in_chunks(
        ids,
        [&](const std::string& places, std::vector<database::value> parameters) {
            parameters.insert(parameters.begin(), batch.id);
            for (const auto& row :
                 on.query(std::string(batch_job_query) + "AND b.job_id IN (" + places + ")", parameters)) {
                batch_job job = batch_job_of(row);
                auto name = custom_id_of(job.id, job.attempt);
                found.emplace(std::move(name), std::move(job));
            }
        },
        2);
    ledger::row_buffer rows{std::string(replica)};
    governance::hold_moves money;
    std::vector<std::string> freed;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const auto at = found.find(lines[i].said.custom_id);
        if (at == found.end()) {
            ++made.unknown;
            continue;
        }
        batch_job& job = at->second;
        if (lines[i].said.succeeded) gateway::add_result(rows, account_of(batch, job), lines[i].said, prices, now);
        if (std::exchange(job.runs, false)) made.jobs[i] = {job.id, job.attempt, job.events};
        if (job.holds.empty()) continue;
        money.give_back(job.holds);
        job.holds.clear();
        freed.push_back(job.id);
    }
    if (rows.size() > 0) writer.write_within(on, rows.rows());
    jobs::in_chunks(
        freed,
        [&](const std::string& places, std::vector<database::value> parameters) {
            parameters.insert(parameters.begin(), batch.id);
            on.execute(
                "UPDATE claude_proxy.batch_jobs SET holds = '[]' WHERE batch_id = $1 AND job_id IN (" + places + ")",
                parameters);
        },
        2);
    if (!money.empty()) money.write(on, "", now);
    together.commit();
    return made;
}

void settle_lost(database::connection& on, ledger::row_writer& writer, const batch_entry& batch,
                 const pricing::price_table& prices, std::string_view replica, time_ms now) {
    database::transaction together(on);
    ledger::row_buffer rows{std::string(replica)};
    for (const auto& found : on.query(batch_job_query, {batch.id})) {
        const batch_job job = batch_job_of(found);
        const batch_entry account = account_of(batch, job);
        const auto request_id = resources::result_request_id(batch.id, custom_id_of(job.id, job.attempt));
        ledger::attempt row = gateway::attempt_of_batch(account, request_id, prices.id(), now);
        row.model = row.model_asked = job.model;
        row.result = ledger::outcome::lost;
        row.reason = "batch_gone";
        row.cost_high = job.bound;
        rows.add(row);
    }
    if (rows.size() > 0) writer.write_within(on, rows.rows());
    together.commit();
}

bool close(database::connection& on, std::string_view id, resources::batch_phase as, time_ms now) {
    database::transaction together(on);
    const auto locked = on.query(
        "UPDATE claude_proxy.batches SET updated_at = updated_at WHERE id = $1 AND state IN ('creating', 'open')"
        " RETURNING id",
        {std::string(id)});
    if (locked.empty()) return true;
    if (!open_jobs(on, id, 1).empty()) return false;
    governance::hold_moves money;
    for (const auto& row : on.query("SELECT holds FROM claude_proxy.batch_jobs WHERE batch_id = $1 AND holds <> '[]'",
                                    {std::string(id)})) {
        money.give_back(governance::read_holds(text_of(row[0])));
    }
    on.execute("DELETE FROM claude_proxy.batch_jobs WHERE batch_id = $1", {std::string(id)});
    on.execute(
        "UPDATE claude_proxy.batches SET state = $2, owner = '', owned_until = 0, updated_at = $3, ended_at = $3"
        " WHERE id = $1",
        {std::string(id), std::string(as == resources::batch_phase::settled ? "settled" : "failed"), now});
    if (!money.empty()) money.write(on, "", now);
    together.commit();
    return true;
}

}  // namespace worker::lane_rows
