// From the queue to upstream; batch_lane_looks.cpp has the way back.
#include "worker/batch_lane.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <random>

#include "anthropic/batch_text.hpp"
#include "anthropic/error_body.hpp"
#include "anthropic/job_request.hpp"
#include "gateway/admission.hpp"
#include "gateway/job_front.hpp"
#include "worker/answer_of.hpp"
#include "worker/verdict.hpp"

namespace worker {
namespace {

using base::errc;
using base::fail;
using governance::verdict;
using jobs::time_ms;
using resources::batch_entry;
using way = jobs::ending::way;

constexpr std::chrono::milliseconds round_every{1'000};
constexpr std::size_t bytes_between_yields = 256 * 1024;

double random_part() {
    thread_local std::minstd_rand source{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(source);
}

// How a job ends that is not let into a batch.
jobs::ending refusal_of(const jobs::claimed& job, const base::error& why, const jobs::options& rules, time_ms now) {
    jobs::ending made;
    made.id = job.about.id;
    made.attempt = job.about.attempt;
    const auto facts = base::facts_of(why.kind);
    made.reason = facts.reason;
    made.error = anthropic::error_body(why, {});
    attempt_facts seen;
    seen.status = facts.status;
    seen.type = facts.type;
    seen.reason = facts.reason;
    switch (fate_of(seen)) {
        case fate::failed:
            made.how = way::failed;
            return made;
        case fate::retry:
            made.how = way::retry;
            break;
        default:
            made.how = way::waiting;
            break;
    }
    made.run_after = run_after_of(rules, {.attempt = made.attempt,
                                          .retry_after = {},
                                          .now_ms = now,
                                          .expires_at_ms = job.about.expires_at,
                                          .jitter = random_part()});
    return made;
}

jobs::ending handed_back(const std::string& id, std::uint32_t attempt) {
    jobs::ending made;
    made.id = id;
    made.attempt = attempt;
    made.how = way::handed_back;
    return made;
}

// Nothing was sent: the batch certainly does not exist.
bool was_not_sent(errc kind) {
    using enum errc;
    return kind == upstream_unresolved || kind == upstream_connect_failed || kind == upstream_connect_timeout ||
           kind == upstream_tls_failed;
}

// How the jobs of a batch end that upstream has refused as a whole: none of them is at fault.
jobs::ending ending_of_refused(int status, std::string_view retry_after, const jobs::options& rules, time_ms now) {
    jobs::ending made;
    made.how = way::waiting;
    made.reason = fmt::format("batch_refused_{}", status);
    std::int64_t seconds = 0;
    std::from_chars(retry_after.data(), retry_after.data() + retry_after.size(), seconds);
    std::optional<std::chrono::seconds> wait;
    if (seconds > 0) wait = std::chrono::seconds(seconds);
    made.run_after = run_after_of(rules, {.attempt = 1,
                                          .retry_after = wait,
                                          .now_ms = now,
                                          .expires_at_ms = std::numeric_limits<time_ms>::max(),
                                          .jitter = random_part()});
    if (status == 401 || status == 403) {
        made.how = way::retry;  // the operator's to mend
    } else if (status != 429 && status != 529) {
        made.where = jobs::lane::realtime;  // there are no batches there, or it does not take this one: one by one
    }
    return made;
}

}  // namespace

batch_lane::batch_lane(parts with)
    : with_(std::move(with)),
      calls_(with_.reactor, with_.gateway.upstream),
      book_(std::make_unique<lane_book>(with_.database, [&hub = with_.gateway.log](const std::string& why) {
          hub.log(
              telemetry::level::error, "batch_lane_waits",
              {{"what", why}, {"effect", "no job goes into a batch or comes out of one until the database is back"}});
      })) {}

void batch_lane::start() { with_.reactor.spawn(run()); }
void batch_lane::stop() { book_->stop(); }

void batch_lane::log(telemetry::level how, std::string_view event, const batch_entry& about, std::string what) {
    with_.gateway.log.log(how, event, {{"id", about.id}, {"batch", about.upstream_id}, {"what", std::move(what)}});
}

net::task<void> batch_lane::run() {
    net::timer clock(with_.reactor);
    for (;;) {
        clock.set_after(round_every.count());
        net::wait_op pause{nullptr, false, false, nullptr, clock};
        if (co_await pause == net::wake::cancelled) co_return;
        const auto room = with_.looks.batch_looks_max - std::min(looking_, with_.looks.batch_looks_max);
        // Also when there is no room for more: what this process is making is renewed by it.
        auto due = co_await book_->ask<std::vector<batch_entry>>(
            with_.reactor, clock, persistence::once, [this, room](database::connection& on, auto&) {
                const time_ms now = with_.now();
                return resources::take_due_batches(on, resources::batch_origin::lane, with_.replica, now,
                                                   now + with_.looks.batch_lease.count(), room);
            });
        if (!due) continue;
        for (auto& one : *due) with_.reactor.spawn(look_at(std::move(one)));
        if (!gathering_ && gathers_) with_.reactor.spawn(gather());
    }
}

net::task<void> batch_lane::gather() {
    struct flagged {
        std::atomic<bool>& flag;
        explicit flagged(std::atomic<bool>& of) : flag(of) { flag = true; }
        ~flagged() { flag = false; }
    } const gathering(gathering_);
    net::timer clock(with_.reactor);
    const time_ms now = with_.now();
    const auto waiting = co_await book_->ask<waiting_jobs>(
        with_.reactor, clock, persistence::once, [this, now](database::connection& on, auto&) {
            return lane_rows::waiting(on, with_.rules.batch_count_min, now);
        });
    if (!waiting || !is_batch_due(with_.rules, *waiting, now) || !gathers_) co_return;
    auto claimed = co_await answer_of<std::vector<jobs::claimed>>(with_.reactor, clock, [&](auto done) {
        with_.store.claim(
            with_.rules.batch_count_max, jobs::lane::batch,
            [done](jobs::outcome, std::vector<jobs::claimed> those) { done(std::move(those)); },
            with_.rules.batch_bytes_max);
    });
    if (!claimed) co_return;
    const auto unsent = std::make_shared<claims>();
    for (const auto& job : *claimed) unsent->push_back({job.about.id, job.about.attempt});
    with_.reactor.spawn(keep_leases(unsent));
    const std::int64_t wait_until =
        with_.reactor.now_ms() + std::min(with_.gateway.who.rules.budget_wait.count(), with_.rules.lease.count() / 3);
    std::map<std::string, std::vector<candidate>> by_headers;
    std::vector<jobs::ending> unwanted;
    owners known;
    std::size_t read = 0;
    for (auto& job : *claimed) {
        if (!gathers_) {
            unwanted.push_back(handed_back(job.about.id, job.about.attempt));
            continue;
        }
        const jobs::claimed about{.about = job.about, .request = {}, .headers = job.headers, .events = job.events};
        read += job.request.size();
        auto one = co_await admit(clock, std::move(job), known, wait_until, now);
        if (one) {
            by_headers[batch_headers(about.headers)].push_back(std::move(*one));
        } else {
            with_.store.finish(refusal_of(about, one.error(), with_.rules, now), [](jobs::outcome) {});
        }
        if (read < bytes_between_yields) continue;
        read = 0;
        co_await with_.reactor.yield();
    }
    unsent->clear();
    for (const auto& [headers, those] : by_headers) {
        for (const auto& one : those) unsent->push_back({one.entering.id, one.entering.attempt});
    }
    for (auto& [headers, those] : by_headers) {
        if (gathers_) {
            co_await make(headers, std::move(those), *unsent, now);
            continue;
        }
        for (auto& one : those) {
            one.money.abandoned(with_.now());
            unwanted.push_back(handed_back(one.entering.id, one.entering.attempt));
        }
    }
    co_await finish_all(clock, std::move(unwanted));
}

// Owners are looked up, budgets waited for, and one batch is sent after another: a claim may have to last long. Whoever
// is lost or cancelled all the same does not get into a batch.
net::task<void> batch_lane::keep_leases(std::weak_ptr<const claims> of) {
    net::timer clock(with_.reactor);
    for (;;) {
        clock.set_after(with_.rules.heartbeat_every.count());
        net::wait_op pause{nullptr, false, false, nullptr, clock};
        if (co_await pause == net::wake::cancelled) co_return;
        const auto those = of.lock();
        if (!those || those->empty()) co_return;
        with_.store.heartbeat(*those, [](jobs::outcome, jobs::store::heartbeat_news) {});
    }
}

net::task<base::result<void>> batch_lane::hold(net::timer& clock, governance::budget_claim& claim,
                                               std::int64_t wait_until_ms, time_ms now) {
    if (claim.hold_now(now)) co_return base::result<void>();
    net::signal decided(with_.reactor);
    const auto wake = decided.notifier();
    verdict outcome = claim.advance(now, wake);
    while (outcome == verdict::waiting) {
        clock.set(wait_until_ms);
        const net::wake why = co_await decided.wait(clock, nullptr);
        outcome = claim.advance(now, wake);
        if (why != net::wake::ready) break;
    }
    clock.set(net::timer::never);
    if (outcome == verdict::held) co_return base::result<void>();
    claim.give_up(now);
    if (outcome == verdict::never) {
        co_return fail(errc::budget_exhausted, "A budget of the job's owner does not cover it.");
    }
    if (outcome == verdict::set_aside) {
        co_return fail(errc::budget_set_aside, "A budget of the job's owner is held for queued jobs and batches.");
    }
    co_return fail(errc::budget_contended, "A budget of the job's owner is held by requests under way.");
}

// The owner as he is now, as for a request: a key that was revoked since spends nothing.
net::task<base::result<batch_lane::candidate>> batch_lane::admit(net::timer& clock, jobs::claimed job, owners& known,
                                                                 std::int64_t wait_until_ms, time_ms now) {
    auto& s = with_.gateway;
    const auto& owner = job.about.who;
    const auto [place, is_new] =
        known.try_emplace({owner.team_id, owner.key_id, owner.subject}, std::shared_ptr<const governance::caller>());
    auto& who = place->second;
    if (is_new) {  // once: a key that nobody knows is asked for in the database
        who = co_await gateway::find_owner(s, with_.reactor, clock, owner);
        clock.set(net::timer::never);
    }
    if (!who) co_return std::unexpected(who.error());
    constexpr std::string_view scope = "jobs";  // as in gateway/job_front.cpp: the lane makes no difference
    if (!(*who)->may_use_route(scope)) {
        co_return fail(errc::permission_denied, fmt::format("The key's scopes do not include `{}`.", scope));
    }
    const auto view = anthropic::read_request(job.request);
    if (!view) co_return std::unexpected(view.error());
    const auto features = anthropic::read_features(job.request);
    if (auto why = gateway::models_refusal(**who, view->model, features)) co_return std::unexpected(std::move(*why));
    auto params = anthropic::batch_params(job.request);
    if (!params) co_return std::unexpected(std::move(params.error()));
    auto facts = gateway::facts_of(*view, features, job.request.size(), now);
    facts.batch = true;
    const auto bound = s.who.prices.bound_of(view->model, facts);
    governance::budget_claim claim((*who)->budgets, bound.cost, now);
    if (const auto money = std::exchange(job.money, nullptr)) money->give_to(claim);
    if (auto held = co_await hold(clock, claim, wait_until_ms, now); !held) co_return std::unexpected(held.error());
    job.request = std::string();
    candidate made{.job = std::move(job), .entering = {}, .money = {}, .params = std::move(*params)};
    made.money = governance::job_claim(std::move(claim));
    made.entering = {.id = made.job.about.id,
                     .attempt = made.job.about.attempt,
                     .who = made.job.about.who,
                     .tags = (*who)->tags,
                     .model = view->model,
                     .holds = made.money.holds(),
                     .bound = bound.cost};
    co_return made;
}

net::task<void> batch_lane::make(std::string headers, std::vector<candidate> those, claims& unsent, time_ms now) {
    net::timer clock(with_.reactor);
    batch_entry batch;
    batch.id = gateway::new_id("lane_", std::chrono::system_clock::now());
    batch.created_at = now;
    std::vector<lane_rows::entering_job> entering;
    entering.reserve(those.size());
    for (auto& one : those) entering.push_back(one.entering);
    const auto kept = co_await book_->ask<std::vector<std::size_t>>(
        with_.reactor, clock, persistence::until_done, [this, batch, entering](database::connection& on, auto&) {
            const time_ms at = with_.now();
            return lane_rows::enter(on, batch, entering, with_.replica, at, at + with_.looks.batch_lease.count());
        });
    unsent.erase(unsent.begin(), unsent.begin() + static_cast<std::ptrdiff_t>(those.size()));
    if (!kept) co_return;
    struct in_doubt {  // however this ends: the jobs are in it
        batch_lane& lane;
        const std::string& id;
        bool concluded = false;
        ~in_doubt() {
            if (!concluded) lane.doubt(id);
        }
    } unless{*this, batch.id};
    std::string body = "{\"requests\":[";
    std::vector<jobs::ending> left_out;
    std::size_t next = 0;
    for (std::size_t i = 0; i < those.size(); ++i) {
        candidate& one = those[i];
        if (next == kept->size() || (*kept)[next] != i) {  // lost, or to be cancelled
            one.money.abandoned(with_.now());
            left_out.push_back(handed_back(one.entering.id, one.entering.attempt));
            continue;
        }
        one.money.committed(with_.now());
        body += fmt::format("{}{{\"custom_id\":\"{}\",\"params\":", next > 0 ? "," : "",
                            custom_id_of(one.entering.id, one.entering.attempt));
        body.append(one.params).append("}");
        one.params = std::string();
        ++next;
    }
    body += "]}";
    if (!left_out.empty()) co_await finish_all(clock, std::move(left_out));
    unless.concluded = kept->empty();
    if (unless.concluded) co_return;
    batch.requests = kept->size();
    const auto answer = co_await calls_.create(clock, headers, body);
    unless.concluded = co_await conclude(clock, batch, answer);
    if (unless.concluded) co_return;
    ++counts_.doubtful;
    log(telemetry::level::warn, "batch_doubtful", batch,
        answer ? fmt::format("the upstream answered {}: it may have made it", answer->status)
               : fmt::format("the call broke off: {}", answer.error().detail));
}

void batch_lane::doubt(const std::string& id) {
    book_->later([this, id](database::connection& on) {
        const time_ms now = with_.now();
        resources::doubt_batch(on, id, now + with_.looks.batch_doubt.count(), now);
    });
}

// False: nobody knows whether upstream has made it.
net::task<bool> batch_lane::conclude(net::timer& clock, const batch_entry& batch,
                                     const base::result<gateway::fetched>& answer) {
    const auto state = answer && answer->status == 200 ? anthropic::read_batch_state(answer->body) : std::nullopt;
    if (state) {
        const auto opened = co_await book_->ask<bool>(
            with_.reactor, clock, persistence::until_done,
            [this, id = batch.id, upstream_id = state->id](database::connection& on, auto&) {
                const time_ms now = with_.now();
                return lane_rows::open(on, id, upstream_id, now + with_.looks.batch_look_first.count(), now);
            });
        batch_entry known = batch;
        known.upstream_id = state->id;
        if (!opened || *opened) {
            ++counts_.made;
            log(telemetry::level::info, "batch_made", known, fmt::format("{} jobs", batch.requests));
            co_return true;
        }
        log(telemetry::level::error, "batch_made_late", known,
            "this process was stopped for so long that its batch was taken for one that was never made, and its jobs "
            "were queued again; it is cancelled upstream");
        const auto seen = co_await calls_.see(clock, state->id);
        if (seen && seen->there) co_await calls_.cancel(clock, state->id, seen->head);
        co_return true;
    }
    const bool not_sent = !answer && was_not_sent(answer.error().kind);
    const int status = answer ? answer->status : 0;
    if (not_sent || gateway::refuses_batch(status)) {
        ++counts_.refused;
        log(telemetry::level::warn, "batch_refused", batch,
            not_sent ? answer.error().detail : fmt::format("the upstream answered {}", status));
        jobs::ending how =
            ending_of_refused(not_sent ? 429 : status, answer ? answer->retry_after : "", with_.rules, with_.now());
        if (not_sent) how.reason = base::facts_of(answer.error().kind).reason;
        co_return co_await dissolve(clock, batch, std::move(how), resources::batch_phase::failed);
    }
    co_return false;
}

}  // namespace worker
