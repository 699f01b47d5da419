#include "worker/lane_book.hpp"

namespace worker {
namespace {

constexpr int busy_tries_max = 5;
constexpr std::chrono::milliseconds again_after{500};

database::options with_one_thread(database::options of) {
    of.threads = 1;
    return of;
}

}  // namespace

lane_book::lane_book(database::options where, std::function<void(const std::string&)> trouble)
    : trouble_(std::move(trouble)), thread_(std::make_unique<database::workers>(with_one_thread(std::move(where)))) {}

void lane_book::later(std::function<void(database::connection&)> work) {
    if (!thread_) return;
    thread_->submit(
        [this, work = std::move(work)](database::connection& on) { run([&] { work(on); }, persistence::until_done); });
}

void lane_book::stop() {
    {
        const std::lock_guard held(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.reset();
}

void lane_book::run(const std::function<void()>& attempt, persistence how) {
    for (int tried = 1;; ++tried) {
        auto kind = database::failure_kind::busy;
        try {
            attempt();
            is_out_ = false;
            return;
        } catch (const database::failure& problem) {
            kind = problem.kind;
            const bool is_news = kind != database::failure_kind::busy || tried == busy_tries_max;
            if (is_news && !std::exchange(is_out_, true) && trouble_) trouble_(problem.what());
        }
        const bool may_pass = kind == database::failure_kind::busy || kind == database::failure_kind::unavailable;
        if (kind == database::failure_kind::busy && tried < busy_tries_max) continue;
        if (how == persistence::once || !may_pass) return;
        std::unique_lock held(mutex_);
        if (changed_.wait_for(held, again_after, [this] { return stopping_; })) return;
    }
}

}  // namespace worker
