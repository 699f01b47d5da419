#include "worker/announcer.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <mutex>
#include <random>
#include <thread>

namespace worker {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t waiting_max = 100'000;  // announcements and receipts in memory; the sweeper finds the others
constexpr std::size_t send_at_once = 100;
constexpr std::size_t remove_at_once = 100;
constexpr std::size_t remove_last_at_once = 10;  // one call of Amazon SQS
constexpr milliseconds pause_after_failure{1'000};
constexpr milliseconds look_every{5'000};        // depth of the queue, counts of the store
constexpr std::uint64_t waiting_enough = 1'000;  // messages

// The first ones, which are taken out.
std::vector<std::string> first_of(std::deque<std::string>& all, std::size_t at_most) {
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), at_most));
    std::vector<std::string> made(std::make_move_iterator(all.begin()), std::make_move_iterator(end));
    all.erase(all.begin(), end);
    return made;
}

}  // namespace

struct announcer::state {
    state(announcer& of, jobs::store& on, queue::port& to, telemetry::hub& hub)
        : owner(of), store(on), queue(to), log(hub) {}

    announcer& owner;
    jobs::store& store;
    queue::port& queue;
    telemetry::hub& log;

    std::mutex guard;
    std::condition_variable changed;
    std::deque<std::string> to_announce, to_remove, to_extend;
    std::size_t calls = 0;  // of the store, under way
    bool sweeping = false;
    bool stopping = false;
    bool looks_are_over = false;
    bool queue_away = false;  // of the courier
    bool clock_off = false;   // of the calls of sweeps, one at a time
    std::thread courier, sweeper;

    void keep(std::deque<std::string>& in, std::vector<std::string> more) {
        const std::lock_guard lock(guard);
        for (auto& each : more) {
            if (in.size() >= waiting_max) {
                ++owner.seen_.not_kept;
                continue;
            }
            in.push_back(std::move(each));
        }
        changed.notify_all();
    }

    void call_begins() {
        const std::lock_guard lock(guard);
        ++calls;
    }
    void call_ended() {
        const std::lock_guard lock(guard);
        --calls;
        changed.notify_all();
    }

    bool pause(milliseconds at_most) {  // false: it is time to stop
        std::unique_lock lock(guard);
        return !changed.wait_for(lock, at_most, [this] { return stopping; });
    }

    // Does one call of the queue; its failures are told when they begin and when they end.
    template <class Call>
    bool try_queue(Call call) {
        try {
            call();
        } catch (const queue::failure& problem) {
            ++owner.seen_.send_failures;
            if (!std::exchange(queue_away, true)) {
                log.log(telemetry::level::error, "queue_unreachable",
                        {{"what", problem.what()}, {"effect", "workers look into the database instead"}});
            }
            return false;
        }
        if (std::exchange(queue_away, false)) log.log(telemetry::level::info, "queue_recovered");
        return true;
    }

    void send(std::vector<std::string> ids) {
        std::vector<queue::message> messages;
        for (auto& id : ids) messages.push_back({.body = std::move(id)});
        std::vector<std::size_t> refused;
        if (messages.empty() || !try_queue([&] { refused = queue.send(messages); })) return;
        std::vector<std::string> sent;
        for (std::size_t i = 0, next = 0; i < messages.size(); ++i) {
            if (next < refused.size() && refused[next] == i) {
                ++next;
            } else {
                sent.push_back(std::move(messages[i].body));
            }
        }
        if (sent.empty()) return;
        call_begins();
        store.announced(std::move(sent), [this](jobs::outcome) { call_ended(); });
    }

    void carry() {
        pthread_setname_np(pthread_self(), "courier");
        auto next_look = clock::now();
        for (;;) {
            std::vector<std::string> announce, remove, extend;
            {
                std::unique_lock lock(guard);
                changed.wait_until(lock, next_look, [this] {
                    return stopping || !to_announce.empty() || !to_remove.empty() || !to_extend.empty();
                });
                if (stopping) break;
                extend = first_of(to_extend, to_extend.size());
                remove = first_of(to_remove, remove_at_once);
                announce = first_of(to_announce, send_at_once);
            }
            // A message that is to stay hidden must not come again because others stand in line.
            if (!extend.empty()) try_queue([&] { queue.extend(extend, owner.chosen_.hidden_for); });
            if (!remove.empty()) try_queue([&] { queue.remove(remove); });
            send(std::move(announce));
            if (clock::now() >= next_look) {
                next_look = clock::now() + look_every;
                look();
            }
            if (queue_away && !pause(pause_after_failure)) break;
        }
        remove_last();
    }

    // The end: what was not announced a sweeper finds, and a message that was not removed does no harm.
    void remove_last() {
        const auto until = clock::now() + owner.chosen_.goodbye;
        while (clock::now() < until) {
            std::vector<std::string> remove;
            {
                const std::lock_guard lock(guard);
                remove = first_of(to_remove, remove_last_at_once);
            }
            if (remove.empty() || !try_queue([&] { queue.remove(remove); })) return;
        }
    }

    void look() {
        try_queue([this] {
            const auto depth = queue.look();
            owner.seen_.queue_waiting = depth.waiting;
            owner.seen_.queue_in_flight = depth.in_flight;
            owner.seen_.queue_dead = depth.dead;
        });
        {
            const std::lock_guard lock(guard);
            if (looks_are_over) return;
            ++calls;
        }
        store.count([this](jobs::outcome how, jobs::counts_by_status counts) {
            if (how == jobs::outcome::done) {
                owner.seen_.queued = counts.queued;
                owner.seen_.running = counts.running;
                owner.seen_.dead = counts.dead;
                owner.seen_.waiting_webhooks = counts.waiting_webhooks;
                owner.seen_.oldest_queued_at = counts.oldest_queued_at;
            }
            call_ended();
        });
    }

    void sweep() {
        pthread_setname_np(pthread_self(), "sweeper");
        std::minstd_rand random(std::random_device{}());
        const auto every = owner.chosen_.rules.sweep_every;
        // Replicas that were started together do not sweep together.
        std::uniform_int_distribution<std::int64_t> jitter(0, std::max<std::int64_t>(every.count() / 4, 1));
        for (;;) {
            {
                std::unique_lock lock(guard);
                const auto at_most = every - milliseconds(jitter(random));
                if (changed.wait_for(lock, at_most, [this] { return stopping || looks_are_over; })) return;
                if (std::exchange(sweeping, true)) continue;
                ++calls;
            }
            store.sweep([this](jobs::outcome how, jobs::store::swept found) { swept(how, std::move(found)); });
        }
    }

    void tell_clock(jobs::time_ms ahead) {
        owner.seen_.clock_ahead_ms = ahead;
        const bool is_off = is_clock_off(owner.chosen_.rules, ahead);
        if (std::exchange(clock_off, is_off) == is_off) return;
        log.log(is_off ? telemetry::level::error : telemetry::level::info, is_off ? "clock_off" : "clock_right",
                {{"ahead_ms", std::to_string(ahead)},
                 {"effect", is_off ? "jobs may be taken from workers that carry them out: synchronise the clocks"
                                   : "leases of jobs are safe"}});
    }

    void swept(jobs::outcome how, jobs::store::swept found) {
        auto& seen = owner.seen_;
        if (how != jobs::outcome::done) ++seen.sweep_failures;
        seen.requeued += found.requeued;
        seen.died += found.dead;
        seen.expired += found.expired;
        seen.deleted += found.deleted;
        seen.holds_repaired += found.holds_repaired;
        if (found.requeued > 0) {
            log.log(telemetry::level::warn, "leases_lost",
                    {{"jobs", std::to_string(found.requeued)}, {"effect", "they are queued again"}});
        }
        if (found.holds_repaired > 0) {
            log.log(telemetry::level::warn, "job_holds_repaired",
                    {{"budgets", std::to_string(found.holds_repaired)},
                     {"what", "what they held for queued jobs and batches was not the sum of those"},
                     {"effect", "it is now"}});
        }
        if (found.clock_ahead) tell_clock(*found.clock_ahead);
        // While so many messages wait, whoever has room is woken by them: more would only have to be removed one day.
        const bool is_quiet = seen.queue_waiting < waiting_enough;
        if (owner.chosen_.sends && is_quiet && !found.unannounced.empty()) {
            keep(to_announce, std::move(found.unannounced));
        }
        {
            const std::lock_guard lock(guard);
            sweeping = false;
        }
        call_ended();
    }
};

bool is_clock_off(const jobs::options& rules, jobs::time_ms ahead) {
    return std::abs(ahead) > (rules.lease - rules.heartbeat_every).count() / 2;
}

announcer::announcer(jobs::store& store, queue::port& queue, options chosen, telemetry::hub& log)
    : chosen_(chosen), state_(std::make_unique<state>(*this, store, queue, log)) {}

announcer::~announcer() { stop(); }

void announcer::start() {
    state_->courier = std::thread([this] { state_->carry(); });
    state_->sweeper = std::thread([this] { state_->sweep(); });
}

void announcer::stop_looking() {
    const std::lock_guard lock(state_->guard);
    state_->looks_are_over = true;
    state_->changed.notify_all();
}

void announcer::stop() {
    {
        const std::lock_guard lock(state_->guard);
        state_->stopping = true;
        state_->changed.notify_all();
    }
    if (state_->courier.joinable()) state_->courier.join();
    if (state_->sweeper.joinable()) state_->sweeper.join();
    std::unique_lock lock(state_->guard);
    state_->changed.wait(lock, [this] { return state_->calls == 0; });
}

void announcer::announce(std::string job_id) {
    if (!chosen_.sends) return;
    std::vector<std::string> one;
    one.push_back(std::move(job_id));
    state_->keep(state_->to_announce, std::move(one));
}

void announcer::remove(std::vector<std::string> receipts) { state_->keep(state_->to_remove, std::move(receipts)); }

void announcer::extend(std::vector<std::string> receipts) { state_->keep(state_->to_extend, std::move(receipts)); }

}  // namespace worker
