// From upstream to the jobs: a batch is looked for, looked at, and taken apart.
#include <fmt/format.h>

#include <memory>
#include <random>

#include "resources/custom_ids.hpp"
#include "worker/answer_of.hpp"
#include "worker/batch_lane.hpp"

namespace worker {
namespace {

using jobs::time_ms;
using resources::batch_entry;
using resources::batch_phase;
using way = jobs::ending::way;

constexpr std::size_t lines_at_once = 100;
constexpr std::size_t bytes_at_once = 4 << 20;
constexpr std::uint32_t jobs_at_once = 500;
constexpr time_ms results_kept_ms = 29LL * 86'400'000;  // by the upstream

double random_part() {
    thread_local std::minstd_rand source{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(source);
}

}  // namespace

net::task<void> batch_lane::look_at(batch_entry one) {
    struct counted_in {
        std::uint32_t& count;
        explicit counted_in(std::uint32_t& of) : count(of) { ++count; }
        ~counted_in() { --count; }
    } const looking(looking_);
    net::timer clock(with_.reactor);
    std::string status = one.upstream_status;
    const bool done =
        one.phase == batch_phase::creating ? co_await look_for(clock, one) : co_await look_after(clock, one, status);
    if (done) co_return;
    co_await book_->ask<bool>(
        with_.reactor, clock, persistence::once, [this, one, status](database::connection& on, auto&) {
            const time_ms now = with_.now();
            resources::looked_at_batch(on, one.id, status, gateway::next_look(one, with_.looks, now), now);
            return true;
        });
}

// One of which nobody knows whether it was made.
net::task<bool> batch_lane::look_for(net::timer& clock, const batch_entry& one) {
    const auto found = co_await calls_.search(clock, one, [this](std::vector<std::string> ids, auto answer) {
        with_.gateway.batches.unknown_of(std::move(ids), std::move(answer));
    });
    if (!found) co_return false;
    if (found->empty()) {
        jobs::ending again;
        again.how = way::waiting;
        again.reason = "batch_never_made";
        if (!co_await dissolve(clock, one, std::move(again), batch_phase::failed)) co_return false;
        ++counts_.never_made;
        log(telemetry::level::warn, "batch_never_made", one, "its jobs are queued again");
        co_return true;
    }
    const auto opened = co_await book_->ask<bool>(with_.reactor, clock, persistence::once,
                                                  [this, one, id = *found](database::connection& on, auto&) {
                                                      const time_ms now = with_.now();
                                                      return lane_rows::open(on, one.id, id, now, now);
                                                  });
    if (!opened) co_return false;
    ++counts_.found_again;
    batch_entry known = one;
    known.upstream_id = *found;
    log(telemetry::level::info, "batch_found_again", known, fmt::format("{} jobs", one.requests));
    co_return true;
}

net::task<bool> batch_lane::look_after(net::timer& clock, const batch_entry& one, std::string& status) {
    const auto seen = co_await calls_.see(clock, one.upstream_id);
    if (!seen) {
        log(telemetry::level::warn, "batch_not_seen", one, seen.error().detail);
        co_return false;
    }
    if (!seen->there) {
        const auto lost = co_await book_->ask<bool>(
            with_.reactor, clock, persistence::once, [this, one](database::connection& on, ledger::row_writer& writer) {
                lane_rows::settle_lost(on, writer, one, with_.gateway.who.prices, with_.replica, with_.now());
                return true;
            });
        if (!lost) co_return false;
        jobs::ending how = ending_of({.id = {}, .attempt = 0, .events = 0, .request_id = {}}, {}, with_.rules,
                                     with_.now(), random_part());
        how.reason = "batch_gone";
        if (!co_await dissolve(clock, one, std::move(how), batch_phase::failed)) co_return false;
        ++counts_.gone;
        log(telemetry::level::error, "batch_gone", one, "it was deleted upstream: what it cost is not known");
        co_return true;
    }
    status = seen->status;
    if (status == "ended") co_return co_await fan_out(clock, one, seen->head);
    if (status != "in_progress") co_return false;
    const auto left = co_await book_->ask<bool>(
        with_.reactor, clock, persistence::once,
        [one](database::connection& on, auto&) { return !lane_rows::open_jobs(on, one.id, 1).empty(); });
    if (left && !*left) {
        log(telemetry::level::info, "batch_cancelled", one, "every job of it was cancelled");
        co_await calls_.cancel(clock, one.upstream_id, seen->head);
    }
    co_return false;
}

net::task<bool> batch_lane::fan_out(net::timer& clock, const batch_entry& one, const std::string& head) {
    std::vector<lane_rows::result_line> lines;
    std::size_t bytes = 0;
    std::uint64_t unreadable = 0;
    const auto visit = [&](std::string_view line) {
        if (line.find_first_not_of(" \t\r") == line.npos) return;
        auto result = anthropic::read_batch_result(line);
        if (!result) {
            ++unreadable;
            return;
        }
        std::string text(result->body);
        result->body = {};
        bytes += text.size();
        lines.push_back({.said = std::move(*result), .text = std::move(text)});
    };
    const auto flush = [&]() -> net::task<bool> {
        bytes = 0;
        co_return co_await hand_out(clock, one, std::exchange(lines, {}));
    };
    bool handed_out = true;
    const auto got = co_await calls_.results(clock, one.upstream_id, head, visit, [&]() -> net::task<bool> {
        if (lines.size() < lines_at_once && bytes < bytes_at_once) co_return true;
        handed_out = co_await flush();
        co_return handed_out;
    });
    const bool is_archived = got && *got >= 400 && *got < 500 && with_.now() - one.created_at > results_kept_ms;
    if (got && *got == 200 && handed_out && !lines.empty()) handed_out = co_await flush();
    if (!got || (*got != 200 && !is_archived) || !handed_out) {
        log(telemetry::level::warn, "batch_not_settled", one,
            !got          ? got.error().detail
            : *got != 200 ? fmt::format("the upstream answered {}", *got)
                          : "the database is away");
        co_return false;
    }
    if (unreadable > 0) {
        log(telemetry::level::warn, "batch_results_odd", one, fmt::format("{} lines are no results", unreadable));
    }
    // What has no result was not carried out.
    jobs::ending rest =
        ending_of({.id = {}, .attempt = 0, .events = 0, .request_id = {}}, {}, with_.rules, with_.now(), random_part());
    if (!co_await dissolve(clock, one, std::move(rest), batch_phase::settled)) co_return false;
    ++counts_.settled;
    log(telemetry::level::info, "batch_settled", one, fmt::format("{} jobs", one.requests));
    co_return true;
}

// The ledger first: should this process end in between, the results come again, and count no second time.
net::task<bool> batch_lane::hand_out(net::timer& clock, const batch_entry& one,
                                     std::vector<lane_rows::result_line> lines) {
    const auto shared = std::make_shared<const std::vector<lane_rows::result_line>>(std::move(lines));
    const auto settled = co_await book_->ask<lane_rows::settled>(
        with_.reactor, clock, persistence::once,
        [this, one, shared](database::connection& on, ledger::row_writer& writer) {
            const time_ms now = with_.now();
            return lane_rows::settle(on, writer, one, *shared, with_.gateway.who.prices, with_.replica,
                                     now + with_.looks.batch_lease.count(), now);
        });
    if (!settled || !settled->is_open) co_return false;
    if (settled->unknown > 0) {
        log(telemetry::level::warn, "batch_results_odd", one,
            fmt::format("{} results are of requests that are not in it", settled->unknown));
    }
    std::vector<jobs::ending> endings;
    for (std::size_t i = 0; i < shared->size(); ++i) {
        const auto& line = (*shared)[i];
        const auto& job = settled->jobs[i];
        if (job.id.empty()) {
            ++counts_.dropped;
            continue;
        }
        ++(line.said.succeeded ? counts_.succeeded : line.said.kind == "errored" ? counts_.errored : counts_.undone);
        endings.push_back(ending_of({.id = job.id,
                                     .attempt = job.attempt,
                                     .events = job.events,
                                     .request_id = resources::result_request_id(one.id, line.said.custom_id)},
                                    {.kind = line.said.kind, .body = line.text}, with_.rules, with_.now(),
                                    random_part()));
    }
    co_return co_await finish_all(clock, std::move(endings));
}

net::task<bool> batch_lane::dissolve(net::timer& clock, const batch_entry& one, jobs::ending how, batch_phase as) {
    for (;;) {
        const auto left = co_await book_->ask<std::vector<lane_rows::open_job>>(
            with_.reactor, clock, persistence::once,
            [one](database::connection& on, auto&) { return lane_rows::open_jobs(on, one.id, jobs_at_once); });
        if (!left) co_return false;
        if (left->empty()) break;
        std::vector<jobs::ending> endings;
        for (const auto& job : *left) {
            jobs::ending& ending = endings.emplace_back(how);
            ending.id = job.id;
            ending.attempt = job.attempt;
            if (as == batch_phase::settled) ++counts_.undone;
        }
        if (!co_await finish_all(clock, std::move(endings))) co_return false;
    }
    const auto closed = co_await book_->ask<bool>(
        with_.reactor, clock, persistence::once,
        [this, one, as](database::connection& on, auto&) { return lane_rows::close(on, one.id, as, with_.now()); });
    co_return closed && *closed;
}

net::task<bool> batch_lane::finish_all(net::timer& clock, std::vector<jobs::ending> endings) {
    if (endings.empty()) co_return true;
    clock.set(net::timer::never);
    struct under_way {
        std::atomic<std::size_t> left;
        std::atomic<bool> good{true};
    };
    const auto all = std::make_shared<under_way>(endings.size());
    const auto good = co_await answer_of<bool>(with_.reactor, clock, [&](std::function<void(bool)> done) {
        for (auto& ending : endings) {
            with_.store.finish(std::move(ending), [all, done](jobs::outcome how) {
                // Fenced: it has ended already, by an earlier look or because its owner cancelled it.
                if (how != jobs::outcome::done && how != jobs::outcome::fenced) all->good = false;
                if (--all->left == 0) done(all->good);
            });
        }
    });
    co_return good.value_or(false);
}

}  // namespace worker
