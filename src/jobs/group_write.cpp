// What a group has collected, written in bulk.
#include <array>

#include "jobs/group.hpp"
#include "jobs/webhook_target.hpp"

namespace jobs {
namespace {

using database::column;
constexpr auto integer = column::type::integer;
constexpr auto words = column::type::text;

constexpr std::array event_columns = {
    column{"job_id", words},    column{"first_id", integer}, column{"last_id", integer},
    column{"attempt", integer}, column{"size", integer},     column{"bytes", words},
};
constexpr std::array result_columns = {column{"job_id", words}, column{"result", words}};
constexpr std::array attempt_columns = {
    column{"job_id", words},     column{"attempt", integer}, column{"worker", words}, column{"started_at", integer},
    column{"ended_at", integer}, column{"outcome", words},   column{"reason", words}, column{"request_id", words},
};
constexpr std::array webhook_columns = {
    column{"id", words},        column{"job_id", words},       column{"team_id", words},      column{"url", words},
    column{"endpoint", words},  column{"event", words},        column{"body", words},         column{"state", words},
    column{"next_at", integer}, column{"created_at", integer}, column{"updated_at", integer},
};

}  // namespace

void group::write() {
    if (!pieces_.empty()) {
        database::batch batch("claude_proxy.job_events", event_columns, "");
        for (const auto& each : pieces_) {
            batch.add(each.id);
            batch.add(static_cast<std::int64_t>(each.piece->first_id));
            batch.add(static_cast<std::int64_t>(each.piece->last_id));
            batch.add(std::int64_t{each.attempt});
            batch.add(static_cast<std::int64_t>(each.piece->bytes.size()));
            batch.add(each.piece->bytes);
        }
        on_.insert(batch);
    }
    if (!results_.empty()) {
        database::batch batch("claude_proxy.job_results", result_columns, "ON CONFLICT (job_id) DO NOTHING");
        for (const auto& [id, result] : results_) {
            batch.add(id);
            batch.add(*result);
        }
        on_.insert(batch);
    }
    std::vector<const job_row*> moved;
    std::vector<std::string> gone;
    for (const auto& [id, job] : jobs_) {
        if (job.gone) {
            gone.push_back(id);
        } else if (job.moved) {
            moved.push_back(&job.row);
        }
    }
    write_rows(on_, moved);
    if (!history_.empty()) {
        database::batch batch(
            "claude_proxy.job_attempts", attempt_columns,
            "ON CONFLICT (job_id, attempt) DO UPDATE SET ended_at = excluded.ended_at,"
            " outcome = excluded.outcome, reason = excluded.reason, request_id = excluded.request_id");
        for (const auto& each : history_) {
            batch.add(each.id);
            batch.add(std::int64_t{each.attempt});
            batch.add(each.worker);
            batch.add(each.started_at);
            if (each.ended_at) {
                batch.add(*each.ended_at);
            } else {
                batch.add_null();
            }
            batch.add(each.outcome);
            batch.add(each.reason);
            batch.add(each.request_id);
        }
        on_.insert(batch);
    }
    if (!webhooks_.empty()) {
        database::batch batch("claude_proxy.webhook_deliveries", webhook_columns, "ON CONFLICT (id) DO NOTHING");
        for (const auto& each : webhooks_) {
            batch.add(each.id);
            batch.add(each.job_id);
            batch.add(each.team_id);
            batch.add(each.url);
            batch.add(webhook_endpoint(each.url));
            batch.add(each.event);
            batch.add(each.body);
            batch.add("waiting");
            batch.add(now_);
            batch.add(now_);
            batch.add(now_);
        }
        on_.insert(batch);
    }
    remove(gone);
    // Last: whoever else works on these budgets waits for us as briefly as can be.
    if (!money_.empty()) money_.write(on_, replica_, now_);
}

void group::remove(std::span<const std::string> ids) {
    for (const std::string table :
         {"job_events", "job_requests", "job_results", "job_attempts", "webhook_deliveries", "jobs"}) {
        in_chunks(ids, [&](const std::string& places, const std::vector<database::value>& parameters) {
            on_.execute("DELETE FROM claude_proxy." + table + " WHERE " + (table == "jobs" ? "id" : "job_id") +
                            " IN (" + places + ")",
                        parameters);
        });
    }
}

}  // namespace jobs
