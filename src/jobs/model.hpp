// The store of jobs in memory: the same rules (rules.hpp), applied one operation after the other to a list. What it
// does is what jobs::store must do (tests/contract/jobs_model_test.cpp compares them), and what cannot be tried out on
// a database in every order is tried out on it (model_world.hpp). For tests only. Thread rule: one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jobs/rules.hpp"

namespace jobs::model {

// What a broken store would do: the checks of the world must find each of them.
enum class flaw : std::uint8_t {
    none,
    writes_are_not_fenced,
    endings_are_not_fenced,
    an_ending_that_was_answered_by_nobody_is_repeated,
    lost_leases_are_forgotten,
    holds_of_cancelled_jobs_stay,
    nothing_is_announced_again,
};

struct job {
    std::string id;
    std::string team;
    time_ms rank = 0;
    rules::record row;
    std::int64_t hold = 0;  // while it is queued
    struct event {
        std::uint32_t attempt = 0;
        bool last = false;
        bool fresh = true;  // written by the attempt that was the job's then
        bool operator==(const event&) const = default;
    };
    std::vector<event> log;
    std::vector<std::pair<std::uint32_t, std::string>> history;  // attempt and outcome, empty: under way
    std::uint32_t results = 0;
    std::uint32_t result_of = 0;  // the attempt that its writer named
    std::uint32_t webhooks = 0;
};

class database {
public:
    time_ms lease = 15'000;
    time_ms retention = 7 * 86'400'000;
    time_ms announce_again = 30'000;
    flaw broken = flaw::none;

    std::vector<job> jobs;
    std::int64_t held_for_jobs = 0;  // the jobs' lease
    std::int64_t handed_over = 0;    // to replicas, with claims

    job* find(std::string_view id) {
        const auto found = std::ranges::find(jobs, id, &job::id);
        return found == jobs.end() ? nullptr : &*found;
    }

    void submit(job what) {
        held_for_jobs += what.hold;
        jobs.push_back(std::move(what));
    }

    struct taken {
        std::string id;
        std::uint32_t attempt = 0;
    };
    std::vector<taken> claim(std::size_t count, lane where, std::string_view worker, time_ms now) {
        std::vector<std::string> teams;
        for (const auto& each : jobs) {
            if (std::ranges::find(teams, each.team) == teams.end()) teams.push_back(each.team);
        }
        std::vector<rules::contender> contenders;
        for (const auto& team : teams) {
            rules::contender one;
            for (const auto& each : jobs) {
                if (each.team != team || each.row.where != where) continue;
                one.running += each.row.state == status::running ? 1 : 0;
                auto tried = each.row;
                if (rules::claim(tried, worker, now, lease).moved) one.waiting.push_back({each.rank, each.id});
            }
            std::ranges::sort(one.waiting, [](const auto& left, const auto& right) { return left.rank < right.rank; });
            contenders.push_back(std::move(one));
        }
        std::vector<taken> made;
        for (const auto& id : rules::choose(contenders, count)) {
            job& one = *find(id);
            rules::claim(one.row, worker, now, lease);
            held_for_jobs -= one.hold;
            handed_over += one.hold;
            one.hold = 0;
            one.history.emplace_back(one.row.attempt, "");
            made.push_back({id, one.row.attempt});
        }
        return made;
    }

    outcome append(std::string_view id, std::uint32_t attempt, std::uint64_t event) {
        job* const one = find(id);
        const bool is_held = one != nullptr && rules::is_held(one->row, attempt);
        if (!is_held && (one == nullptr || broken != flaw::writes_are_not_fenced)) return outcome::fenced;
        if (event <= one->log.size()) return outcome::done;
        if (event != one->log.size() + 1) return outcome::conflict;
        one->log.push_back({attempt, false, is_held});
        return outcome::done;
    }

    // `again`: a transaction of it was tried, and nobody heard the answer.
    outcome finish(std::string_view id, std::uint32_t attempt, ending::way how, time_ms run_after, bool again,
                   time_ms now) {
        job* const one = find(id);
        if (one == nullptr) return outcome::fenced;
        const std::uint32_t named = attempt;
        if (broken == flaw::endings_are_not_fenced && one->row.state == status::running) attempt = one->row.attempt;
        if (broken == flaw::an_ending_that_was_answered_by_nobody_is_repeated && again &&
            one->row.state == status::succeeded) {
            one->row.state = status::running;
        }
        const auto also = rules::finish(one->row, attempt, how, run_after, now, retention);
        if (!also.moved) {
            rules::record sample{.state = status::running, .attempt = attempt, .attempts_used = attempt};
            const std::string name(rules::finish(sample, attempt, how, 0, 0, 0).history);
            const bool was_it = std::ranges::find(one->history, std::pair(attempt, name)) != one->history.end();
            return again && was_it ? outcome::done : outcome::fenced;
        }
        if (how == ending::way::succeeded) {
            ++one->results;
            one->result_of = named;
        }
        follow(*one, also);
        return outcome::done;
    }

    bool heartbeat(std::string_view id, std::uint32_t attempt, time_ms now) {
        job* const one = find(id);
        return one != nullptr && rules::heartbeat(one->row, attempt, now, lease).moved;
    }

    outcome cancel(std::string_view id, time_ms now) {
        job* const one = find(id);
        if (one == nullptr) return outcome::not_found;
        const auto also = rules::cancel(one->row, now, retention);
        follow(*one, also);
        return also.how;
    }

    outcome redrive(std::string_view id, time_ms now) {
        job* const one = find(id);
        return one == nullptr ? outcome::not_found : rules::redrive(one->row, now).how;
    }

    outcome remove(std::string_view id) {
        job* const one = find(id);
        if (one == nullptr) return outcome::not_found;
        if (!is_final(one->row.state)) return outcome::conflict;
        jobs.erase(jobs.begin() + (one - jobs.data()));
        return outcome::done;
    }

    void sweep(time_ms now) {
        for (auto& each : jobs) {
            if (broken == flaw::lost_leases_are_forgotten && each.row.state == status::running) continue;
            follow(each, rules::sweep(each.row, now, retention));
        }
        std::erase_if(jobs, [&](const job& each) { return each.row.delete_at && *each.row.delete_at <= now; });
    }

    // Queued, due, and not announced, or long ago.
    std::vector<std::string> unannounced(time_ms now) const {
        std::vector<std::string> made;
        for (const auto& each : jobs) {
            if (each.row.state != status::queued || each.row.run_after > now) continue;
            if (broken == flaw::nothing_is_announced_again) continue;
            if (each.row.announced_at == 0 || each.row.announced_at <= now - announce_again) made.push_back(each.id);
        }
        return made;
    }
    void announced(std::string_view id, time_ms now) {
        if (job* const one = find(id)) rules::announced(one->row, now);
    }

private:
    void follow(job& one, const rules::effect& also) {
        if (!also.moved) return;
        if (!also.history.empty()) {
            const auto open = std::ranges::find(one.history, std::pair(one.row.attempt, std::string()));
            if (open != one.history.end()) open->second = also.history;
        }
        if (also.left_queue && broken != flaw::holds_of_cancelled_jobs_stay) {
            held_for_jobs -= one.hold;
            one.hold = 0;
        }
        if (also.ended) {
            one.log.push_back({one.row.attempt, true, true});
            ++one.webhooks;
        }
    }
};

}  // namespace jobs::model
