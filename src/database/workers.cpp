#include "database/workers.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace database {

struct workers::state {
    options settings;
    std::function<void(const std::exception&)> on_failure;
    mutable std::mutex mutex;
    std::condition_variable changed;  // there is work, a piece is done, or the end has come
    std::deque<work> queue;
    std::size_t running = 0;
    bool ending = false;
    std::vector<std::thread> threads;

    void serve(connection& on);
    void run(const work& what, connection& on) const;
};

void workers::state::run(const work& what, connection& on) const {
    try {
        what(on);
    } catch (const std::exception& problem) {
        if (on_failure) on_failure(problem);
    }
    on.rollback();  // what the work left open would belong to the next one
}

void workers::state::serve(connection& on) {
    std::unique_lock held(mutex);
    for (;;) {
        changed.wait(held, [&] { return ending || !queue.empty(); });
        if (queue.empty()) return;
        auto next = std::move(queue.front());
        queue.pop_front();
        ++running;
        held.unlock();
        run(next, on);
        next = nullptr;  // what it holds must not be destroyed under the lock
        held.lock();
        --running;
        if (ending) changed.notify_all();
    }
}

workers::workers(const options& settings, std::function<void(const std::exception&)> on_failure)
    : state_(std::make_unique<state>()) {
    state_->settings = settings;
    state_->on_failure = std::move(on_failure);
    // All are opened before a thread starts: a URL that is none throws here, and nothing has to be stopped.
    std::vector<std::unique_ptr<connection>> connections;
    for (std::uint32_t i = 0; i < std::max(settings.threads, 1U); ++i) {
        connections.push_back(open(settings));
    }
    for (auto& one : connections) {
        state_->threads.emplace_back([state = state_.get(), on = std::move(one)] { state->serve(*on); });
    }
}

workers::~workers() {
    std::deque<work> abandoned;
    {
        std::unique_lock held(state_->mutex);
        state_->ending = true;
        state_->changed.notify_all();
        state_->changed.wait_for(held, state_->settings.statement_timeout,
                                 [&] { return state_->queue.empty() && state_->running == 0; });
        abandoned.swap(state_->queue);
    }
    state_->changed.notify_all();
    for (auto& thread : state_->threads) thread.join();
    if (!abandoned.empty() && state_->on_failure) {
        state_->on_failure(
            failure(failure_kind::unavailable, "the database was too slow: work was given up at the end"));
    }
}

bool workers::submit(work what) {
    {
        const std::lock_guard held(state_->mutex);
        if (state_->ending || state_->queue.size() >= state_->settings.queue_max) return false;
        state_->queue.push_back(std::move(what));
    }
    state_->changed.notify_one();
    return true;
}

std::size_t workers::waiting() const {
    const std::lock_guard held(state_->mutex);
    return state_->queue.size();
}

}  // namespace database
