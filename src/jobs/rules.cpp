#include "jobs/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <utility>

#include "anthropic/error_body.hpp"
#include "anthropic/event_log.hpp"

namespace jobs::rules {
namespace {

effect refused(outcome how) { return {.how = how}; }

void end(record& of, status as, time_ms now, time_ms retention, effect& also) {
    also.ended = true;
    also.left_queue = of.state == status::queued;
    of.state = as;
    of.worker.clear();
    of.lease_until = 0;
    of.run_after = 0;
    of.finished_at = now;
    of.delete_at = now + retention;
}

void requeue(record& of, time_ms run_after, time_ms now) {
    of.state = status::queued;
    of.worker.clear();
    of.lease_until = 0;
    of.run_after = run_after > now ? run_after : 0;
    of.announced_at = 0;
}

std::string_view history_name(ending::way how) {
    switch (how) {
        case ending::way::succeeded:
            return "succeeded";
        case ending::way::failed:
        case ending::way::retry:
            return "failed";
        case ending::way::cancelled:
            return "cancelled";
        case ending::way::waiting:
            return "waiting";
        case ending::way::handed_back:
            return "handed_back";
    }
    std::abort();
}

}  // namespace

bool is_held(const record& of, std::uint32_t attempt) { return of.state == status::running && of.attempt == attempt; }

effect claim(record& of, std::string_view worker, time_ms now, time_ms lease) {
    if (of.state != status::queued || of.run_after > now || of.expires_at <= now) return refused(outcome::conflict);
    of.state = status::running;
    ++of.attempt;
    ++of.attempts_used;
    of.worker = worker;
    of.lease_until = now + lease;
    of.run_after = 0;
    of.started_at = now;
    of.updated_at = now;
    return {.moved = true, .left_queue = true};
}

effect heartbeat(record& of, std::uint32_t attempt, time_ms now, time_ms lease) {
    if (!is_held(of, attempt)) return refused(outcome::fenced);
    of.lease_until = std::max(of.lease_until, now + lease);
    return {.moved = true};
}

bool is_in_batch(const record& of) { return of.state == status::running && of.lease_until == in_batch; }

effect enter_batch(record& of, std::uint32_t attempt, time_ms now) {
    if (!is_held(of, attempt)) return refused(outcome::fenced);
    if (of.cancel_asked) return refused(outcome::conflict);
    of.lease_until = in_batch;
    of.updated_at = now;
    return {.moved = true};
}

effect finish(record& of, std::uint32_t attempt, ending::way how, time_ms run_after, time_ms now, time_ms retention) {
    if (!is_held(of, attempt)) return refused(outcome::fenced);
    effect also{.moved = true, .history = history_name(how)};
    of.updated_at = now;
    switch (how) {
        case ending::way::succeeded:
            end(of, status::succeeded, now, retention, also);
            return also;
        case ending::way::failed:
            end(of, status::failed, now, retention, also);
            return also;
        case ending::way::cancelled:
            end(of, status::cancelled, now, retention, also);
            return also;
        case ending::way::retry:
            break;
        case ending::way::waiting:
        case ending::way::handed_back:
            --of.attempts_used;
            break;
    }
    if (of.cancel_asked) {
        end(of, status::cancelled, now, retention, also);
    } else if (of.attempts_used >= of.attempts_max) {
        end(of, status::dead, now, retention, also);
    } else if (of.expires_at <= now) {
        end(of, status::expired, now, retention, also);
    } else {
        requeue(of, how == ending::way::handed_back ? 0 : run_after, now);
    }
    return also;
}

effect cancel(record& of, time_ms now, time_ms retention) {
    if (is_final(of.state)) return refused(outcome::conflict);
    effect also;
    if (of.state == status::queued || is_in_batch(of)) {
        also.moved = true;
        if (of.state == status::running) also.history = history_name(ending::way::cancelled);
        of.updated_at = now;
        end(of, status::cancelled, now, retention, also);
    } else if (!of.cancel_asked) {
        also.moved = true;
        of.updated_at = now;
        of.cancel_asked = true;
    }
    return also;
}

effect redrive(record& of, time_ms now) {
    if (of.state != status::dead) return refused(outcome::conflict);
    requeue(of, 0, now);
    of.attempts_used = 0;
    of.cancel_asked = false;
    of.expires_at = now + std::max<time_ms>(of.expires_at - of.created_at, 0);
    of.finished_at.reset();
    of.delete_at.reset();
    of.updated_at = now;
    return {.moved = true};
}

effect sweep(record& of, time_ms now, time_ms retention) {
    effect also;
    if (of.state == status::running && of.lease_until <= now) {
        also.moved = true;
        also.history = "lost";
        if (of.cancel_asked) {
            end(of, status::cancelled, now, retention, also);
        } else if (of.attempts_used >= of.attempts_max) {
            end(of, status::dead, now, retention, also);
        } else {
            requeue(of, 0, now);
        }
    }
    if (of.state == status::queued) {
        if (of.expires_at <= now) {
            also.moved = true;
            // A lease lost in this very call has no money in the queue.
            const bool was_running = !also.history.empty();
            end(of, status::expired, now, retention, also);
            if (was_running) also.left_queue = false;
        } else if (of.run_after > 0 && of.run_after <= now) {
            of.run_after = 0;  // and was not updated: nobody has done anything to it
            return {.moved = true};
        }
    }
    if (also.moved) of.updated_at = now;
    return also;
}

effect announced(record& of, time_ms now) {
    if (of.state != status::queued) return {};
    of.announced_at = now;
    return {.moved = true};
}

time_ms rank(time_ms created_at, int priority, std::chrono::milliseconds ageing) {
    return created_at - priority * ageing.count();
}

std::vector<std::string> choose(std::span<const contender> teams, std::size_t count) {
    struct place {
        std::uint64_t running = 0;
        time_ms rank = 0;
        std::string_view id;
        std::size_t team = 0;
        std::size_t next = 0;
    };
    const auto comes_later = [](const place& one, const place& other) {
        return std::tie(one.running, one.rank, one.id) > std::tie(other.running, other.rank, other.id);
    };
    std::priority_queue<place, std::vector<place>, decltype(comes_later)> line(comes_later);
    for (std::size_t i = 0; i < teams.size(); ++i) {
        if (teams[i].waiting.empty()) continue;
        const auto& first = teams[i].waiting.front();
        line.push({teams[i].running, first.rank, first.id, i, 0});
    }
    std::vector<std::string> chosen;
    while (!line.empty() && chosen.size() < count) {
        place first = line.top();
        line.pop();
        chosen.emplace_back(first.id);
        const auto& waiting = teams[first.team].waiting;
        if (++first.next == waiting.size()) continue;
        ++first.running;
        first.rank = waiting[first.next].rank;
        first.id = waiting[first.next].id;
        line.push(first);
    }
    return chosen;
}

std::string terminal_event(status state, std::string_view envelope, std::uint64_t id) {
    return fmt::format("id: {}\n{}", id, anthropic::job_event(name_of(state), anthropic::error_in(envelope)));
}

std::chrono::milliseconds backoff(const options& of, std::uint32_t attempts_used, double random) {
    auto wait = of.backoff_first;
    for (std::uint32_t i = 1; i < attempts_used && wait < of.backoff_max; ++i) wait *= 2;
    wait = std::min(wait, of.backoff_max);
    return std::chrono::milliseconds(
        static_cast<std::int64_t>(static_cast<double>(wait.count()) * (0.5 + std::clamp(random, 0.0, 1.0) / 2)));
}

}  // namespace jobs::rules
