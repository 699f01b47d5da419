#include "jobs/group.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <tuple>
#include <utility>

#include "anthropic/error_body.hpp"
#include "base/time_text.hpp"

namespace jobs {
namespace {

using database::integer_of;
using database::text_of;

template <class... Case>
struct overloaded : Case... {
    using Case::operator()...;
};

std::string webhook_body(const job_row& row, time_ms now) {
    const auto state = name_of(row.moving.state);
    auto made = fmt::format(R"({{"type":"job.{}","timestamp":"{}","data":{{"id":"{}","status":"{}","metadata":{})",
                            state, base::time_text(now), row.id, state, row.metadata.empty() ? "{}" : row.metadata);
    if (!row.error.empty()) made.append(",\"error\":").append(anthropic::error_in(row.error));
    return made + "}}";
}

}  // namespace

void operation::tell(outcome of_all) {
    const bool committed = of_all == outcome::done;
    const auto how = [&](outcome answer) { return committed ? answer : of_all; };
    const auto for_worker = [&](outcome answer) { return committed ? answer : outcome::unavailable; };
    std::visit(overloaded{
                   [&](submit_operation& one) {
                       // The money first: who hears of the end of a call may look where it is.
                       const bool is_known = committed || !may_have_happened;
                       if (is_known && one.holds_fate) {
                           std::exchange(one.holds_fate, {})(committed && one.moved_holds);
                       }
                       one.answer.how = how(one.answer.how);
                       one.done(std::move(one.answer));
                   },
                   [&](append_operation& one) { one.done(for_worker(one.answer)); },
                   [&](finish_operation& one) { one.done(for_worker(one.answer)); },
                   [&](heartbeat_operation& one) { one.done(for_worker(outcome::done), std::move(one.answer)); },
                   [&](change_operation& one) { one.done(how(one.answer)); },
                   [&](announced_operation& one) { one.done(for_worker(outcome::done)); },
                   [&](claim_operation& one) {
                       one.tried.clear();
                       for (const auto& job : one.answer) {
                           if (committed && job.money) job.money->committed();
                       }
                       one.done(for_worker(outcome::done), committed ? std::move(one.answer) : std::vector<claimed>());
                   },
                   [&](sweep_operation& one) { one.done(for_worker(outcome::done), std::move(one.answer)); },
               },
               what);
}

void group::run(std::span<operation* const> operations) {
    submit(operations);
    std::vector<std::string> ids, announced_ids;
    for (const operation* const each : operations) {
        std::visit(overloaded{
                       [&](const append_operation& one) { ids.push_back(one.id); },
                       [&](const finish_operation& one) { ids.push_back(one.how.id); },
                       [&](const heartbeat_operation& one) {
                           for (const auto& job : one.held) ids.push_back(job.id);
                       },
                       [&](const change_operation& one) { ids.push_back(one.id); },
                       [&](const announced_operation& one) {
                           announced_ids.insert(announced_ids.end(), one.ids.begin(), one.ids.end());
                       },
                       [](const auto&) {},
                   },
                   each->what);
    }
    load(std::move(ids));
    // Somebody works on the others: they are claimed now, or announced once more.
    load(std::move(announced_ids), locked_by_others::skip);
    load_ends();
    // In the order that they were asked for. One whose commit nobody has answered may have done what it said then.
    for (operation* const each : operations) {
        const bool again = each->may_have_happened;
        std::visit(overloaded{
                       [&](append_operation& one) { append(one); },
                       [&](finish_operation& one) { finish(one, again && one.answer == outcome::done); },
                       [&](heartbeat_operation& one) { heartbeat(one); },
                       [&](change_operation& one) { change_one(one, again && one.answer == outcome::done); },
                       [&](announced_operation& one) { announced(one); },
                       [](auto&) {},
                   },
                   each->what);
    }
}

// --- submits ---

void group::submit(std::span<operation* const> operations) {
    std::vector<submit_operation*> submits;
    for (operation* const each : operations) {
        if (auto* const one = std::get_if<submit_operation>(&each->what)) submits.push_back(one);
    }
    if (submits.empty()) return;
    // Who inserts the same keys waits for each other, and never in a circle.
    std::ranges::sort(submits, [](const submit_operation* left, const submit_operation* right) {
        const auto key = [](const submission& of) {
            return std::tie(of.who.team_id, of.who.key_id, of.who.subject, of.idempotency_key, of.id);
        };
        return key(left->what) < key(right->what);
    });
    std::vector<const submission*> what;
    for (const auto* const one : submits) what.push_back(&one->what);
    auto inserted = insert_rows(on_, what, rules_.ageing);
    std::ranges::sort(inserted);
    for (submit_operation* const one : submits) {
        one->moved_holds = std::ranges::binary_search(inserted, one->what.id);
        if (!one->moved_holds) {
            find_earlier(*one);
            continue;
        }
        one->answer = {.how = outcome::done, .id = one->what.id, .fresh = true};
        money_.set_aside(one->what.holds);
        changes.push_back({.id = one->what.id});
    }
}

void group::find_earlier(submit_operation& one) {
    const auto& who = one.what.who;
    auto rows = on_.query("SELECT id, digest FROM claude_proxy.jobs WHERE id = $1", {one.what.id});
    if (!rows.empty()) {
        // It is the very same: a commit whose answer was lost.
        one.answer = {.how = outcome::done, .id = one.what.id, .fresh = true};
        one.moved_holds = true;
        return;
    }
    rows = on_.query(
        "SELECT id, digest FROM claude_proxy.jobs"
        " WHERE team_id = $1 AND key_id = $2 AND subject = $3 AND idempotency_key = $4",
        {who.team_id, who.key_id, who.subject, one.what.idempotency_key});
    // It was there a moment ago, and has been removed since.
    if (rows.empty()) throw database::failure(database::failure_kind::busy, "a job under the same key was removed");
    const bool is_same = text_of(rows[0][1]) == one.what.digest;
    one.answer = {.how = is_same ? outcome::done : outcome::conflict, .id = text_of(rows[0][0]), .fresh = false};
}

// --- rows ---

void group::load(std::vector<std::string> ids, locked_by_others then) {
    std::erase_if(ids, [&](const std::string& id) { return jobs_.contains(id); });
    for (auto& row : lock_rows(on_, std::move(ids), then)) {
        const bool runs = row.moving.state == status::running;
        auto id = row.id;
        jobs_.emplace(std::move(id), working{.row = std::move(row), .knows_end = !runs});
    }
}

// A statement of its own, after the rows were locked: what the lock was waited for may have written to the log.
void group::load_ends() {
    std::vector<std::string> unknown;
    for (const auto& [id, job] : jobs_) {
        if (!job.knows_end) unknown.push_back(id);
    }
    if (unknown.empty()) return;
    for (const auto& [id, end] : log_ends(on_, unknown)) jobs_.find(id)->second.row.events = end;
    for (const auto& id : unknown) jobs_.find(id)->second.knows_end = true;
}

group::working* group::find(std::string_view id) {
    const auto found = jobs_.find(id);
    return found == jobs_.end() || found->second.gone ? nullptr : &found->second;
}

// --- workers ---

// Whether the piece goes on behind the log's end.
bool group::put(working& job, std::uint32_t attempt, std::shared_ptr<const log_piece> piece) {
    if (piece->last_id <= job.row.events && piece->first_id <= piece->last_id) return true;  // it is there already
    if (piece->first_id != job.row.events + 1 || piece->last_id < piece->first_id) return false;
    job.row.events = piece->last_id;
    pieces_.push_back({job.row.id, attempt, std::move(piece)});
    return true;
}

void group::append(append_operation& one) {
    working* const job = find(one.id);
    if (job == nullptr || !rules::is_held(job->row.moving, one.attempt)) {
        one.answer = outcome::fenced;
        return;
    }
    one.answer = put(*job, one.attempt, one.piece) ? outcome::done : outcome::conflict;
    if (one.answer == outcome::done) {
        changes.push_back({.id = one.id, .kind = change::what::log, .state = status::running, .piece = one.piece});
    }
}

void group::heartbeat(heartbeat_operation& one) {
    one.answer = {};
    for (const auto& held : one.held) {
        working* const job = find(held.id);
        if (job == nullptr) {
            one.answer.lost.push_back(held);
            continue;
        }
        const auto also = rules::heartbeat(job->row.moving, held.attempt, now_, rules_.lease.count());
        if (also.how != outcome::done) {
            one.answer.lost.push_back(held);
        } else if (job->row.moving.cancel_asked) {
            one.answer.cancel.push_back(held);
        }
        apply(*job, also);
    }
}

bool group::was_ended_by(const ending& how) {
    rules::record sample{.state = status::running, .attempt = how.attempt, .attempts_used = how.attempt};
    const auto name = rules::finish(sample, how.attempt, how.how, 0, 0, 0).history;
    const auto rows = on_.query(
        "SELECT 1 FROM claude_proxy.job_attempts WHERE job_id = $1 AND attempt = $2 AND outcome = $3 AND reason = $4"
        " AND request_id = $5",
        {how.id, std::int64_t{how.attempt}, std::string(name), how.reason, how.request_id});
    return !rows.empty();
}

void group::finish(finish_operation& one, bool again) {
    const ending& how = one.how;
    working* const job = find(how.id);
    if (job == nullptr || !rules::is_held(job->row.moving, how.attempt)) {
        one.answer = again && was_ended_by(how) ? outcome::done : outcome::fenced;
        return;
    }
    if (!how.last.bytes.empty()) {
        if (how.last.first_id != job->row.events + 1 || how.last.last_id < how.last.first_id) {
            one.answer = outcome::conflict;
            return;
        }
        job->last = std::make_shared<log_piece>(how.last);
        job->row.events = how.last.last_id;
    }
    const auto also =
        rules::finish(job->row.moving, how.attempt, how.how, how.run_after, now_, rules_.retention.count() * 1'000);
    one.answer = also.how;
    if (how.where && job->row.moving.state == status::queued) job->row.moving.where = *how.where;
    if (!how.usage.empty()) job->row.usage = how.usage;
    if (!how.error.empty() || how.how == ending::way::succeeded) job->row.error = how.error;
    if (how.how == ending::way::succeeded) results_.emplace_back(how.id, &how.result);
    apply(*job, also);
    history_.back().reason = how.reason;
    history_.back().request_id = how.request_id;
}

// --- callers and administrators ---

void group::change_one(change_operation& one, bool again) {
    working* const job = find(one.id);
    const bool is_redrive = one.kind == change_operation::what::redrive;
    const bool is_remove = one.kind == change_operation::what::remove;
    if (job == nullptr || (!one.team_id.empty() && job->row.who.team_id != one.team_id)) {
        one.answer = again && is_remove ? outcome::done : outcome::not_found;
        return;
    }
    auto& moving = job->row.moving;
    if (is_remove) {
        job->gone = is_final(moving.state);
        one.answer = job->gone ? outcome::done : outcome::conflict;
        return;
    }
    const auto also =
        is_redrive ? rules::redrive(moving, now_) : rules::cancel(moving, now_, rules_.retention.count() * 1'000);
    one.answer = also.how;
    const auto wished = is_redrive ? status::queued : status::cancelled;
    if (also.how == outcome::conflict && again && moving.state == wished) one.answer = outcome::done;
    apply(*job, also);
    if (is_redrive && also.moved) tell_state(*job);
    if (!is_redrive && also.moved && !also.ended) {
        changes.push_back({.id = one.id, .kind = change::what::cancel_asked, .state = moving.state});
    }
}

void group::announced(announced_operation& one) {
    for (const auto& id : one.ids) {
        if (working* const job = find(id)) apply(*job, rules::announced(job->row.moving, now_));
    }
}

// --- what follows from a move ---

void group::apply(working& job, const rules::effect& also) {
    if (!also.moved) return;
    job.moved = true;
    if (also.left_queue) {
        money_.give_back(job.row.holds);
        job.row.holds.clear();
    }
    if (!also.history.empty()) {
        history_.push_back({.id = job.row.id,
                            .outcome = std::string(also.history),
                            .attempt = job.row.moving.attempt,
                            .ended_at = now_});
    }
    if (also.ended) {
        end(job);
    } else if (job.last) {
        pieces_.push_back({job.row.id, job.row.moving.attempt, job.last});
    }
    if (also.ended || !also.history.empty()) tell_state(job);
    job.last.reset();
}

void group::end(working& job) {
    auto& row = job.row;
    const auto id = row.events + 1;
    if (!job.last) job.last = std::make_shared<log_piece>(log_piece{.first_id = id, .last_id = id, .bytes = {}});
    job.last->last_id = id;
    job.last->bytes += rules::terminal_event(row.moving.state, row.error, id);
    row.events = id;
    pieces_.push_back({row.id, row.moving.attempt, job.last});
    if (row.webhook_url.empty()) return;
    // Once a job and ending: a job that is redriven ends again, with another last event.
    const std::string_view own = std::string_view(row.id).substr(row.id.starts_with("job_") ? 4 : 0);
    webhooks_.push_back({.id = fmt::format("evt_{}_{}", own, id),
                         .job_id = row.id,
                         .team_id = row.who.team_id,
                         .url = row.webhook_url,
                         .event = fmt::format("job.{}", name_of(row.moving.state)),
                         .body = webhook_body(row, now_)});
}

void group::tell_state(const working& job) {
    changes.push_back(
        {.id = job.row.id, .kind = change::what::state, .state = job.row.moving.state, .piece = job.last});
}

}  // namespace jobs
