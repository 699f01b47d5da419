#include "worker/pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "worker/intake.hpp"

namespace worker {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using telemetry::level;

constexpr std::size_t claim_max = 32;  // at once: each brings its request's body
constexpr std::size_t receive_max = 10;
constexpr milliseconds receive_wait{20'000};
constexpr milliseconds pause_after_failure{1'000};
// A claim passes by a job whose row somebody else has locked at that moment: what a message promised is looked for some
// more times before the message is taken for an old one.
constexpr int looks_max = 3;
constexpr milliseconds look_pause{20};
// A message may have gone to a worker that died, or to a receive that it had given up, and is hidden now: a worker with
// room looks by itself, seldom enough to cost the database nothing.
constexpr milliseconds look_unasked{2'000};
constexpr std::size_t over_max = 1'024;  // ended jobs that are remembered, so that late messages cost no claim
constexpr milliseconds keeper_sleep_max{1'000};

std::int64_t wall_clock_ms() {
    return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

struct pool::state {
    state(pool& of, parts with) : owner(of), its(with) {}

    struct held {
        std::shared_ptr<job_in_hand> job;
        std::string receipt;  // empty: its message was never seen here
    };

    pool& owner;
    const parts its;
    std::vector<lane*> lanes;

    mutable std::mutex guard;
    std::condition_variable changed;
    std::unordered_map<std::string, held> running;
    std::vector<std::shared_ptr<job_in_hand>> leaving;  // claimed again meanwhile, until their work has ended
    std::size_t next_lane = 0;
    std::size_t claiming = 0;        // slots asked for in the claim under way; 0: none is
    bool wanted = true;              // there may be queued jobs
    clock::time_point not_before{};  // claims are put off until then
    clock::time_point look_again = clock::time_point::max();
    struct promise {
        std::string receipt;
        int looks = 0;  // claims that began after it and found nothing more
    };
    std::unordered_map<std::string, promise> fresh;       // by job: messages since the last claim began
    std::unordered_map<std::string, promise> considered;  // and before it
    std::unordered_set<std::string> over;                 // jobs that have ended here for good, the latest
    std::deque<std::string> over_in_order;
    std::size_t calls = 0;  // of the store, under way
    bool beating = false, looking = false;
    bool queue_away = false;
    bool no_more = false;  // claims
    bool handing_back = false;
    bool stopping = false;
    std::thread listener, keeper;

    std::size_t free_slots() const {
        const std::size_t taken = running.size() + leaving.size() + claiming;
        return taken >= its.rules.concurrency ? 0 : its.rules.concurrency - taken;
    }

    void call_ended() {
        const std::lock_guard lock(guard);
        --calls;
        changed.notify_all();
    }

    // --- the listener ---

    void listen() {
        pthread_setname_np(pthread_self(), "job-listener");
        for (;;) {
            std::size_t room = 0;
            {
                std::unique_lock lock(guard);
                changed.wait(lock, [this] { return no_more || fresh.size() + considered.size() < free_slots(); });
                if (no_more) return;
                room = free_slots() - fresh.size() - considered.size();
            }
            std::vector<queue::delivery> got;
            bool failed = false;
            try {
                got = its.queue.receive(std::min(room, receive_max), receive_wait);
            } catch (const queue::failure& problem) {
                failed = true;
                ++owner.counts_.receive_failures;
                its.log.log(level::debug, "queue_receive_failed", {{"what", problem.what()}});
            }
            std::vector<std::string> doubled;
            std::unique_lock lock(guard);
            if (std::exchange(queue_away, failed) != failed) {
                its.log.log(failed ? level::error : level::info, failed ? "queue_away" : "queue_back",
                            {{"effect", failed ? "queued jobs are looked for in the database" : "messages are heard"}});
            }
            for (auto& each : got) {
                const auto mine = running.find(each.body);
                if (mine != running.end() && mine->second.receipt.empty()) {
                    mine->second.receipt = std::move(each.receipt);
                } else if (mine != running.end() || fresh.contains(each.body) || over.contains(each.body)) {
                    doubled.push_back(std::move(each.receipt));
                } else {
                    fresh[std::move(each.body)].receipt = std::move(each.receipt);
                }
            }
            wanted = wanted || !fresh.empty() || failed;
            changed.notify_all();
            if (failed) changed.wait_for(lock, pause_after_failure, [this] { return no_more; });
            lock.unlock();
            if (!doubled.empty()) its.courier.remove(std::move(doubled));
        }
    }

    // --- the keeper ---

    void keep() {
        pthread_setname_np(pthread_self(), "job-keeper");
        const auto now = clock::now();
        auto next_beat = now + its.rules.heartbeat_every;
        auto next_look = now + its.rules.cancel_look_every;
        auto next_poll = now + look_unasked;
        auto next_extension = now + its.hidden_for / 3;
        std::unique_lock lock(guard);
        while (!stopping) {
            const auto at = clock::now();
            if (at >= look_again) {
                look_again = clock::time_point::max();
                wanted = true;
            }
            if (at >= next_poll) {
                next_poll = at + (queue_away ? its.rules.poll_every : look_unasked);
                wanted = true;
            }
            if (may_claim(at)) {
                claim(lock);
                continue;
            }
            if (at >= next_beat) {
                next_beat = at + its.rules.heartbeat_every;
                beat(lock);
                continue;
            }
            if (at >= next_look) {
                next_look = at + its.rules.cancel_look_every;
                look_for_cancels(lock);
                continue;
            }
            if (at >= next_extension) {
                next_extension = at + its.hidden_for / 3;
                extend(lock);
                continue;
            }
            if (queue_away) next_poll = std::min(next_poll, at + its.rules.poll_every);
            auto until = std::min({next_beat, next_extension, next_poll, look_again, at + keeper_sleep_max});
            if (!running.empty()) until = std::min(until, next_look);
            if (wanted && not_before > at) until = std::min(until, not_before);
            changed.wait_until(lock, until);  // whatever has changed may have changed what is due
        }
    }

    bool may_claim(clock::time_point at) const {
        return wanted && claiming == 0 && !no_more && at >= not_before && free_slots() > 0;
    }

    void claim(std::unique_lock<std::mutex>& lock) {
        const std::int64_t now_ms = wall_clock_ms();
        const intake may = intake_of(free_slots(), its.quota.view(), now_ms);
        if (may.jobs == 0) {
            ++owner.counts_.paused;
            not_before = clock::now() + milliseconds(std::max<std::int64_t>(may.look_again_ms - now_ms, 1));
            return;
        }
        const std::size_t count = std::min(may.jobs, claim_max);
        claiming = count;
        wanted = false;
        considered.merge(fresh);
        fresh.clear();
        ++calls;
        lock.unlock();
        its.store.claim(count, jobs::lane::realtime, [this, count](jobs::outcome how, std::vector<jobs::claimed> got) {
            claimed(count, how, std::move(got));
        });
        lock.lock();
    }

    void claimed(std::size_t asked, jobs::outcome how, std::vector<jobs::claimed> got) {
        std::vector<std::string> leftover;
        {
            const std::lock_guard lock(guard);
            claiming = 0;
            owner.counts_.claimed += got.size();
            if (how != jobs::outcome::done) {
                ++owner.counts_.claims_failed;
                wanted = true;
                not_before = clock::now() + its.rules.poll_every;
            }
            if (got.size() == asked) wanted = true;  // perhaps there are more
            for (auto& each : got) {
                observe_start(each.about);
                begin(std::move(each));
            }
            if (how == jobs::outcome::done && asked > got.size()) leftover = unkept();
            changed.notify_all();
        }
        if (!leftover.empty()) its.courier.remove(std::move(leftover));
        call_ended();
    }

    // From the submit to the first claim. Later ones are late for another reason: a retry, a wait, a redrive.
    void observe_start(const jobs::summary& about) {
        if (about.attempt != 1) return;
        const auto waited = about.started_at.value_or(wall_clock_ms()) - about.created_at;
        owner.counts_.start_seconds.observe(static_cast<double>(waited) / 1'000);
    }

    // A claim has found less than it asked for: the receipts of messages that promise nothing any more.
    std::vector<std::string> unkept() {
        std::vector<std::string> made;
        for (auto each = considered.begin(); each != considered.end();) {
            if (++each->second.looks < looks_max) {
                ++each;
            } else {
                made.push_back(std::move(each->second.receipt));
                each = considered.erase(each);
            }
        }
        if (!considered.empty()) {
            look_again = std::min(look_again, clock::now() + look_pause);
        }
        return made;
    }

    void begin(jobs::claimed what) {
        lane& where = *lanes[next_lane++ % lanes.size()];
        const std::string id = what.about.id;
        const std::uint32_t attempt = what.about.attempt;
        auto job = std::make_shared<job_in_hand>(where, std::move(what),
                                                 [this, id, attempt](const job_end& how) { ended(id, attempt, how); });
        held& mine = running[id];
        if (mine.job) {  // its lease was lost, and nobody has told it so far
            job_in_hand::end(mine.job, interruption::lost);
            leaving.push_back(std::move(mine.job));
        }
        mine.job = job;
        for (auto* const receipts : {&considered, &fresh}) {
            if (const auto found = receipts->find(id); found != receipts->end()) {
                mine.receipt = std::move(found->second.receipt);
                receipts->erase(found);
            }
        }
        where.reactor.post([job, work = its.work] { job->where.reactor.spawn(work(job)); });
        if (handing_back) job_in_hand::end(job, interruption::handed_back);
    }

    // On the job's reactor, or wherever its frame is destroyed.
    void ended(const std::string& id, std::uint32_t attempt, const job_end& how) {
        count(how);
        std::string receipt;
        std::shared_ptr<job_in_hand> job;  // goes after the lock
        {
            const std::lock_guard lock(guard);
            const auto found = running.find(id);
            if (found != running.end() && found->second.job->attempt == attempt) {
                receipt = std::move(found->second.receipt);
                job = std::move(found->second.job);
                running.erase(found);
                if (how.committed && how.is_final) remember(id);
            } else {
                const auto old = std::ranges::find_if(
                    leaving, [&](const auto& each) { return each->id == id && each->attempt == attempt; });
                if (old == leaving.end()) return;
                job = std::move(*old);
                leaving.erase(old);
            }
            changed.notify_all();
        }
        // Of a job that this process did not end the message may come again: it does no harm.
        if (!receipt.empty() && how.committed) its.courier.remove({std::move(receipt)});
        its.log.log(how.committed ? level::info : level::warn, "job_attempt_ended",
                    {{"job", id},
                     {"attempt", std::to_string(attempt)},
                     {"outcome", std::string(how.outcome)},
                     {"reason", how.reason}});
    }

    void remember(const std::string& id) {
        if (!over.insert(id).second) return;
        over_in_order.push_back(id);
        if (over_in_order.size() <= over_max) return;
        over.erase(over_in_order.front());
        over_in_order.pop_front();
    }

    void count(const job_end& how) {
        auto& counts = owner.counts_;
        using jobs::ending;
        if (!how.committed) {
            ++(how.outcome == "abandoned" ? counts.abandoned : counts.leases_lost);
            return;
        }
        for (std::size_t i = 0; i < counts.endings.size(); ++i) {
            if (name_of(static_cast<ending::way>(i)) == how.outcome) ++counts.endings[i];
        }
        if (how.outcome != name_of(ending::way::waiting)) return;
        const auto begins = [&how](std::string_view with) { return how.reason.starts_with(with); };
        if (begins("budget")) {
            ++counts.waits_budget;
        } else if (how.reason.ends_with("_per_minute") || begins("concurrent")) {
            ++counts.waits_limit;
        } else if (begins("upstream") || how.reason.ends_with("_error")) {
            ++counts.waits_upstream;
        } else {
            ++counts.waits_gateway;
        }
    }

    std::vector<jobs::store::running_job> names() const {
        std::vector<jobs::store::running_job> made;
        made.reserve(running.size());
        for (const auto& [id, what] : running) made.push_back({id, what.job->attempt});
        return made;
    }

    void beat(std::unique_lock<std::mutex>& lock) {
        if (beating || running.empty()) return;
        beating = true;
        ++calls;
        auto held = names();
        lock.unlock();
        its.store.heartbeat(std::move(held), [this](jobs::outcome how, jobs::store::heartbeat_news news) {
            if (how == jobs::outcome::done) {
                end_all(news.lost, interruption::lost);
                end_all(news.cancel, interruption::cancelled);
            }
            {
                const std::lock_guard again(guard);
                beating = false;
            }
            call_ended();
        });
        lock.lock();
    }

    void look_for_cancels(std::unique_lock<std::mutex>& lock) {
        if (looking || running.empty()) return;
        looking = true;
        ++calls;
        auto held = names();
        lock.unlock();
        its.store.look_for_cancels(std::move(held),
                                   [this](jobs::outcome how, std::vector<jobs::store::running_job> cancel) {
                                       if (how == jobs::outcome::done) end_all(cancel, interruption::cancelled);
                                       {
                                           const std::lock_guard again(guard);
                                           looking = false;
                                       }
                                       call_ended();
                                   });
        lock.lock();
    }

    void extend(std::unique_lock<std::mutex>& lock) {
        std::vector<std::string> receipts;
        for (const auto& [id, what] : running) {
            if (!what.receipt.empty()) receipts.push_back(what.receipt);
        }
        lock.unlock();
        if (!receipts.empty()) its.courier.extend(std::move(receipts));
        lock.lock();
    }

    void end_all(const std::vector<jobs::store::running_job>& which, interruption why) {
        const std::lock_guard lock(guard);
        for (const auto& each : which) {
            const auto found = running.find(each.id);
            if (found != running.end() && found->second.job->attempt == each.attempt)
                job_in_hand::end(found->second.job, why);
        }
    }
};

pool::pool(parts with) : state_(std::make_unique<state>(*this, with)) {}

pool::~pool() { stop(); }

void pool::start(std::vector<lane*> lanes) {
    state_->lanes = std::move(lanes);
    state_->listener = std::thread([this] { state_->listen(); });
    state_->keeper = std::thread([this] { state_->keep(); });
}

void pool::look() {
    const std::lock_guard lock(state_->guard);
    state_->wanted = true;
    state_->changed.notify_all();
}

void pool::cancel(const std::string& job_id) {
    const std::lock_guard lock(state_->guard);
    const auto found = state_->running.find(job_id);
    if (found != state_->running.end()) job_in_hand::end(found->second.job, interruption::cancelled);
}

void pool::stop_claiming() {
    {
        const std::lock_guard lock(state_->guard);
        state_->no_more = true;
        state_->changed.notify_all();
    }
    state_->its.queue.stop();
}

void pool::hand_back() {
    const std::lock_guard lock(state_->guard);
    state_->handing_back = true;
    for (const auto& [id, what] : state_->running) job_in_hand::end(what.job, interruption::handed_back);
}

std::size_t pool::running() const {
    const std::lock_guard lock(state_->guard);
    return state_->running.size() + state_->leaving.size() + state_->claiming;
}

void pool::stop() {
    stop_claiming();
    {
        const std::lock_guard lock(state_->guard);
        state_->stopping = true;
        state_->changed.notify_all();
    }
    if (state_->listener.joinable()) state_->listener.join();
    if (state_->keeper.joinable()) state_->keeper.join();
    std::unique_lock lock(state_->guard);
    state_->changed.wait(lock, [this] { return state_->calls == 0; });
    // Jobs that the stopped reactors hold: their leases run out.
    for (const auto& [id, what] : state_->running) what.job->forget();
    for (const auto& each : state_->leaving) each->forget();
    state_->running.clear();
    state_->leaving.clear();
}

}  // namespace worker
