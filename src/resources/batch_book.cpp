#include "resources/batch_book.hpp"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

namespace resources {
namespace {

// Operations that may fail; each belongs to a request or to a poller. The others are part of what was begun.
constexpr std::size_t waiting_max = 10'000;
constexpr int busy_tries_max = 5;

}  // namespace

struct batch_book::state {
    // One thing to do. It may be done more than once, when nobody knows whether a commit has happened.
    struct operation {
        std::function<void(database::connection&)> work;
        std::function<void()> failed;     // it will not be done; empty: it waits for the database to be back
        std::function<bool()> dropped{};  // nobody wants it any more, which this call takes note of; empty: never
    };

    std::unique_ptr<database::connection> on;
    options settings;
    std::string replica;
    time_ms (*now)();
    std::function<void(const std::string&)> trouble;
    ledger::row_writer writer{};  // of the thread

    std::mutex mutex{};
    std::condition_variable changed{};
    std::deque<operation> waiting{};
    bool stopping = false;
    bool is_out = false;  // of the thread: told once
    std::thread thread{};

    void add(operation what);
    void run();
    void drop_unwanted(std::unique_lock<std::mutex>& held);
    // False: the database is away, and the operation has to be tried again.
    bool try_once(const operation& what);
};

void batch_book::state::add(operation what) {
    {
        const std::lock_guard held(mutex);
        if (!stopping && (!what.failed || waiting.size() < waiting_max)) {
            waiting.push_back(std::move(what));
            changed.notify_one();
            return;
        }
    }
    if (what.failed) what.failed();
}

bool batch_book::state::try_once(const operation& what) {
    for (int tried = 1;; ++tried) {
        try {
            what.work(*on);
            is_out = false;
            return true;
        } catch (const database::failure& problem) {
            const bool is_busy = problem.kind == database::failure_kind::busy;
            if (is_busy && tried < busy_tries_max) continue;
            const bool is_away = is_busy || problem.kind == database::failure_kind::unavailable;
            if (!std::exchange(is_out, true) && trouble) trouble(problem.what());
            if (is_away && !what.failed) return false;
            if (what.failed) what.failed();
            return true;
        }
    }
}

void batch_book::state::run() {
    std::unique_lock held(mutex);
    for (;;) {
        changed.wait(held, [this] { return stopping || !waiting.empty(); });
        if (waiting.empty()) return;
        operation next = std::move(waiting.front());
        waiting.pop_front();
        held.unlock();
        const bool done = try_once(next);
        held.lock();
        if (done) {
            held.unlock();
            next = {};  // what it holds must not be destroyed under the lock
            held.lock();
        } else if (!stopping) {
            waiting.push_front(std::move(next));
            drop_unwanted(held);
            changed.wait_for(held, settings.retry_every, [this] { return stopping; });
        }
    }
}

// While the database is away callers come, give up, and come again: what they have left must not pile up.
void batch_book::state::drop_unwanted(std::unique_lock<std::mutex>& held) {
    auto all = std::exchange(waiting, {});
    held.unlock();
    std::erase_if(all, [](const operation& each) { return each.dropped && each.dropped(); });
    held.lock();
    all.insert(all.end(), std::make_move_iterator(waiting.begin()), std::make_move_iterator(waiting.end()));
    waiting = std::move(all);
}

batch_book::batch_book(std::unique_ptr<database::connection> on, const options& settings, std::string replica,
                       time_ms (*now)(), std::function<void(const std::string& why)> trouble)
    : state_(new state{.on = std::move(on),
                       .settings = settings,
                       .replica = std::move(replica),
                       .now = now,
                       .trouble = std::move(trouble)}) {
    state_->thread = std::thread([state = state_.get()] {
        pthread_setname_np(pthread_self(), "batches");
        state->run();
    });
}

batch_book::~batch_book() {
    {
        const std::lock_guard held(state_->mutex);
        state_->stopping = true;
    }
    state_->changed.notify_one();
    state_->thread.join();
}

const std::string& batch_book::replica() const { return state_->replica; }
const options& batch_book::settings() const { return state_->settings; }

void batch_book::create(batch_entry what, governance::job_claim held, std::shared_ptr<std::atomic<entering>> how,
                        std::function<void()> done) {
    struct attempt {
        batch_entry what;
        governance::job_claim held;
        bool is_first = true;
    };
    auto making = std::make_shared<attempt>(std::move(what), std::move(held));
    making->what.holds = making->held.holds();
    const auto work = [state = state_.get(), making, how, done](database::connection& on) {
        const time_ms now = state->now();
        // A try whose end nobody knows may have been committed: the row says so.
        const bool is_there = !std::exchange(making->is_first, false) && batch_exists(on, making->what.id);
        if (!is_there && how->load() == entering::given_up) {
            making->held.abandoned(now);
            return;
        }
        if (!is_there) {
            insert_batch(on, making->what, state->replica, now, now + state->settings.batch_lease.count());
        }
        making->held.committed(now);
        auto expected = entering::waiting;
        if (how->compare_exchange_strong(expected, entering::entered)) {
            done();
        } else {
            fail_batch(on, making->what.id, now);
        }
    };
    const auto dropped = [state = state_.get(), making, how] {
        if (!making->is_first || how->load() != entering::given_up) return false;
        making->held.abandoned(state->now());
        return true;
    };
    state_->add({.work = work, .failed = {}, .dropped = dropped});
}

void batch_book::opened(std::string id, std::string upstream_id, std::function<void()> done) {
    state_->add({.work =
                     [state = state_.get(), id, upstream_id, done](database::connection& on) {
                         const time_ms now = state->now();
                         open_batch(on, id, upstream_id, now + state->settings.batch_look_first.count(), now);
                         if (done) done();
                     },
                 .failed = {}});
}

void batch_book::failed(std::string id) {
    state_->add({.work = [state = state_.get(), id](database::connection& on) { fail_batch(on, id, state->now()); },
                 .failed = {}});
}

void batch_book::doubtful(std::string id) {
    state_->add({.work =
                     [state = state_.get(), id](database::connection& on) {
                         const time_ms now = state->now();
                         doubt_batch(on, id, now + state->settings.batch_doubt.count(), now);
                     },
                 .failed = {}});
}

void batch_book::find(std::string upstream_id, std::function<void(found_batch)> done) {
    state_->add({.work = [upstream_id, done](database::connection& on) { done(find_batch(on, upstream_id)); },
                 .failed = [done] { done(std::nullopt); }});
}

void batch_book::hurry(std::string upstream_id) {
    state_->add({.work = [state = state_.get(),
                          upstream_id](database::connection& on) { hurry_batch(on, upstream_id, state->now()); },
                 .failed = [] {}});
}

void batch_book::take_due(std::uint32_t count_max, std::function<void(std::optional<std::vector<batch_entry>>)> done) {
    state_->add({.work =
                     [state = state_.get(), count_max, done](database::connection& on) {
                         const time_ms now = state->now();
                         done(take_due_batches(on, batch_origin::caller, state->replica, now,
                                               now + state->settings.batch_lease.count(), count_max));
                     },
                 .failed = [done] { done(std::nullopt); }});
}

void batch_book::unknown_of(std::vector<std::string> upstream_ids,
                            std::function<void(std::optional<std::vector<std::string>>)> done) {
    state_->add(
        {.work = [ids = std::move(upstream_ids), done](database::connection& on) { done(unknown_batches(on, ids)); },
         .failed = [done] { done(std::nullopt); }});
}

void batch_book::looked(std::string id, std::string upstream_status, time_ms next_look_at) {
    state_->add({.work =
                     [state = state_.get(), id, upstream_status, next_look_at](database::connection& on) {
                         looked_at_batch(on, id, upstream_status, next_look_at, state->now());
                     },
                 .failed = [] {}});
}

void batch_book::settle(std::string id, std::shared_ptr<const ledger::row_buffer> results,
                        std::function<void(bool)> done) {
    state_->add({.work =
                     [state = state_.get(), id, results, done](database::connection& on) {
                         const time_ms now = state->now();
                         const time_ms owned_until = now + state->settings.batch_lease.count();
                         done(settle_results(on, state->writer, id, results->rows(), owned_until, now));
                     },
                 .failed = [done] { done(false); }});
}

void batch_book::finish(std::string id, std::function<void(bool)> done) {
    state_->add({.work =
                     [state = state_.get(), id, done](database::connection& on) {
                         finish_batch(on, id, state->now());
                         done(true);
                     },
                 .failed = [done] { done(false); }});
}

}  // namespace resources
