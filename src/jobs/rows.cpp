#include "jobs/rows.hpp"

#include <algorithm>
#include <array>

#include "governance/job_holds.hpp"

namespace jobs {
namespace {

using database::column;
using database::integer_of;
using database::text_of;
constexpr auto integer = column::type::integer;
constexpr auto words = column::type::text;

// What a job is inserted with. The columns up to expires_at also stand in an update, which in the form of an insert has
// to name every column that cannot be null.
constexpr std::array inserted_columns = {
    column{"id", words},           column{"team_id", words},        column{"key_id", words},
    column{"status", words},       column{"lane", words},           column{"model", words},
    column{"rank", integer},       column{"attempts_max", integer}, column{"created_at", integer},
    column{"updated_at", integer}, column{"expires_at", integer},   column{"subject", words},
    column{"metadata", words},     column{"priority", integer},     column{"idempotency_key", words},
    column{"digest", words},       column{"webhook_url", words},    column{"holds", words},
};
constexpr std::array updated_columns = {
    column{"id", words},
    column{"team_id", words},
    column{"key_id", words},
    column{"status", words},
    column{"lane", words},
    column{"model", words},
    column{"rank", integer},
    column{"attempts_max", integer},
    column{"created_at", integer},
    column{"updated_at", integer},
    column{"expires_at", integer},
    column{"attempt", integer},
    column{"attempts_used", integer},
    column{"cancel_asked", integer},
    column{"worker", words},
    column{"lease_until", integer},
    column{"run_after", integer},
    column{"announced_at", integer},
    column{"holds", words},
    column{"events", integer},
    column{"error", words},
    column{"usage", words},
    column{"started_at", integer},
    column{"finished_at", integer},
    column{"delete_at", integer},
};
constexpr std::string_view update =
    "ON CONFLICT (id) DO UPDATE SET status = excluded.status, lane = excluded.lane, updated_at = excluded.updated_at,"
    " expires_at = excluded.expires_at, attempt = excluded.attempt, attempts_used = excluded.attempts_used,"
    " cancel_asked = excluded.cancel_asked, worker = excluded.worker, lease_until = excluded.lease_until,"
    " run_after = excluded.run_after, announced_at = excluded.announced_at, holds = excluded.holds,"
    " events = excluded.events, error = excluded.error, usage = excluded.usage, started_at = excluded.started_at,"
    " finished_at = excluded.finished_at, delete_at = excluded.delete_at";

constexpr std::array request_columns = {column{"job_id", words}, column{"request", words}, column{"headers", words}};

#define JOB_COLUMNS(events)                                                                                            \
    "j.id, j.team_id, j.key_id, j.subject, j.status, j.lane, j.model, j.metadata, j.priority, j.attempt,"              \
    " j.attempts_used, j.attempts_max, j.cancel_asked, j.worker, j.lease_until, j.run_after, j.announced_at, j.holds," \
    " " events                                                                                                         \
    ", j.error, j.usage, j.created_at, j.updated_at, j.started_at, j.finished_at, j.expires_at,"                       \
    " j.delete_at, j.webhook_url"
constexpr std::string_view stored_columns = JOB_COLUMNS("j.events");
constexpr std::string_view live_columns = JOB_COLUMNS(
    "CASE WHEN j.status = 'running' THEN COALESCE((SELECT e.last_id FROM claude_proxy.job_events e"
    " WHERE e.job_id = j.id ORDER BY e.first_id DESC LIMIT 1), 0) ELSE j.events END");
#undef JOB_COLUMNS

std::optional<time_ms> time_or_none(const database::value& cell) {
    if (database::is_null(cell)) return {};
    return integer_of(cell);
}

void add(database::batch& to, std::optional<time_ms> when) {
    if (when) {
        to.add(*when);
    } else {
        to.add_null();
    }
}

template <class Kind>
Kind known(std::optional<Kind> named) {
    if (!named) throw database::failure(database::failure_kind::invalid, "a job's row has an unknown word in it");
    return *named;
}

}  // namespace

std::string_view job_columns(bool live) { return live ? live_columns : stored_columns; }

job_row row_of(const database::row& row) {
    job_row made;
    std::size_t at = 0;
    const auto text = [&] { return text_of(row.at(at++)); };
    const auto number = [&] { return integer_of(row.at(at++)); };
    const auto count = [&] { return static_cast<std::uint32_t>(number()); };
    made.id = text();
    made.who = {.team_id = text(), .key_id = text(), .subject = text()};
    made.moving.state = known(status_named(text()));
    made.moving.where = known(lane_named(text()));
    made.model = text();
    made.metadata = text();
    made.priority = static_cast<int>(number());
    made.moving.attempt = count();
    made.moving.attempts_used = count();
    made.moving.attempts_max = count();
    made.moving.cancel_asked = number() != 0;
    made.moving.worker = text();
    made.moving.lease_until = number();
    made.moving.run_after = number();
    made.moving.announced_at = number();
    made.holds = governance::read_holds(text());
    made.events = static_cast<std::uint64_t>(number());
    made.error = text();
    made.usage = text();
    made.moving.created_at = number();
    made.moving.updated_at = number();
    made.moving.started_at = time_or_none(row.at(at++));
    made.moving.finished_at = time_or_none(row.at(at++));
    made.moving.expires_at = number();
    made.moving.delete_at = time_or_none(row.at(at++));
    made.webhook_url = text();
    return made;
}

summary summary_of(const job_row& row) {
    const auto& moving = row.moving;
    return {.id = row.id,
            .who = row.who,
            .state = moving.state,
            .where = moving.where,
            .model = row.model,
            .metadata = row.metadata,
            .priority = row.priority,
            .attempt = moving.attempt,
            .attempts_max = moving.attempts_max,
            .cancel_asked = moving.cancel_asked,
            .webhook_url = row.webhook_url,
            .error = row.error,
            .usage = row.usage,
            .events = row.events,
            .created_at = moving.created_at,
            .updated_at = moving.updated_at,
            .started_at = moving.started_at,
            .finished_at = moving.finished_at,
            .run_after = moving.run_after,
            .expires_at = moving.expires_at,
            .delete_at = moving.delete_at};
}

std::string bytes_of(const database::connection& on, std::string_view column) {
    // PostgreSQL knows it without reading the text.
    const bool is_postgres = on.kind() == database::engine::postgres;
    return std::string(is_postgres ? "OCTET_LENGTH(" : "LENGTH(CAST(").append(column) +
           (is_postgres ? ")" : " AS BLOB))");
}

std::vector<job_row> lock_rows(database::connection& on, std::vector<std::string> ids, locked_by_others then) {
    std::ranges::sort(ids);
    ids.erase(std::ranges::unique(ids).begin(), ids.end());
    // Everybody locks in the order of the ids, so that nobody waits in a circle. SQLite runs one transaction at a time.
    std::string_view how;
    if (on.kind() == database::engine::postgres) {
        how = then == locked_by_others::skip ? " FOR NO KEY UPDATE SKIP LOCKED" : " FOR NO KEY UPDATE";
    }
    std::vector<job_row> made;
    in_chunks(ids, [&](const std::string& places, const std::vector<database::value>& parameters) {
        const auto sql = std::string("SELECT ").append(stored_columns) + " FROM claude_proxy.jobs j WHERE j.id IN (" +
                         places + ") ORDER BY j.id";
        for (const auto& row : on.query(sql + std::string(how), parameters)) made.push_back(row_of(row));
    });
    return made;
}

std::vector<std::pair<std::string, std::uint64_t>> log_ends(database::connection& on,
                                                            std::span<const std::string> ids) {
    std::vector<std::pair<std::string, std::uint64_t>> made;
    in_chunks(ids, [&](const std::string& places, const std::vector<database::value>& parameters) {
        for (const auto& row : on.query("SELECT j.id, (SELECT e.last_id FROM claude_proxy.job_events e"
                                        " WHERE e.job_id = j.id ORDER BY e.first_id DESC LIMIT 1)"
                                        " FROM claude_proxy.jobs j WHERE j.id IN (" +
                                            places + ")",
                                        parameters)) {
            if (database::is_null(row[1])) continue;
            made.emplace_back(text_of(row[0]), static_cast<std::uint64_t>(integer_of(row[1])));
        }
    });
    return made;
}

void write_rows(database::connection& on, std::span<const job_row* const> rows) {
    database::batch batch("claude_proxy.jobs", updated_columns, update);
    for (const job_row* const row : rows) {
        const auto& moving = row->moving;
        batch.add(row->id);
        batch.add(row->who.team_id);
        batch.add(row->who.key_id);
        batch.add(name_of(moving.state));
        batch.add(name_of(moving.where));
        batch.add(row->model);
        batch.add(std::int64_t{0});  // its rank stays
        batch.add(std::int64_t{moving.attempts_max});
        batch.add(moving.created_at);
        batch.add(moving.updated_at);
        batch.add(moving.expires_at);
        batch.add(std::int64_t{moving.attempt});
        batch.add(std::int64_t{moving.attempts_used});
        batch.add(std::int64_t{moving.cancel_asked});
        batch.add(moving.worker);
        batch.add(moving.lease_until);
        batch.add(moving.run_after);
        batch.add(moving.announced_at);
        batch.add(row->holds.empty() ? "[]" : governance::holds_text(row->holds));
        batch.add(static_cast<std::int64_t>(row->events));
        batch.add(row->error);
        batch.add(row->usage);
        add(batch, moving.started_at);
        add(batch, moving.finished_at);
        add(batch, moving.delete_at);
    }
    on.insert(batch);
}

std::vector<std::string> insert_rows(database::connection& on, std::span<const submission* const> what,
                                     std::chrono::milliseconds ageing) {
    database::batch rows("claude_proxy.jobs", inserted_columns, "ON CONFLICT DO NOTHING", "id");
    for (const submission* const one : what) {
        rows.add(one->id);
        rows.add(one->who.team_id);
        rows.add(one->who.key_id);
        rows.add(name_of(status::queued));
        rows.add(name_of(one->where));
        rows.add(one->model);
        rows.add(rules::rank(one->created_at, one->priority, ageing));
        rows.add(std::int64_t{one->attempts_max});
        rows.add(one->created_at);
        rows.add(one->created_at);
        rows.add(one->expires_at);
        rows.add(one->who.subject);
        rows.add(one->metadata);
        rows.add(std::int64_t{one->priority});
        if (one->idempotency_key.empty()) {
            rows.add_null();
        } else {
            rows.add(one->idempotency_key);
        }
        rows.add(one->digest);
        rows.add(one->webhook_url);
        rows.add(one->holds.empty() ? "[]" : governance::holds_text(one->holds));
    }
    std::vector<std::string> inserted;
    inserted.reserve(what.size());
    for (const auto& id : on.insert(rows)) inserted.push_back(text_of(id));
    // Nearly always all of them are, in the order given.
    std::vector<std::string_view> sorted(inserted.begin(), inserted.end());
    std::ranges::sort(sorted);
    database::batch bodies("claude_proxy.job_requests", request_columns, "ON CONFLICT (job_id) DO NOTHING");
    for (const submission* const one : what) {
        if (!std::ranges::binary_search(sorted, one->id)) continue;
        bodies.add(one->id);
        bodies.add(one->request);
        bodies.add(one->headers);
    }
    on.insert(bodies);
    return inserted;
}

}  // namespace jobs
