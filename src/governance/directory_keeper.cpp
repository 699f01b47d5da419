#include "governance/directory_keeper.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "governance/directory_rows.hpp"

namespace governance {
namespace {

using clock = std::chrono::steady_clock;

constexpr milliseconds refresh_gap{50};
constexpr std::size_t waiting_max = 65'536;  // requests with unknown keys; each holds a connection, which are fewer

}  // namespace

directory_keeper::directory_keeper(std::unique_ptr<database::connection> on, const options& settings,
                                   std::vector<base::secret> static_keys, const key_hasher& hasher, live_parts& live,
                                   time_ms (*now)())
    : on_(std::move(on)),
      poll_every_(settings.directory_poll),
      hasher_(hasher),
      live_(live),
      now_(now),
      static_keys_(std::move(static_keys)) {
    renew();
    last_success_ = now_();
}

directory_keeper::~directory_keeper() {
    {
        const std::lock_guard held(guard_);
        stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void directory_keeper::start(keeper_reports reports) {
    reports_ = std::move(reports);
    {
        const std::lock_guard held(guard_);
        running_ = true;
    }
    thread_ = std::thread([this] { run(); });
}

std::shared_ptr<const directory> directory_keeper::current() const {
    const std::lock_guard held(guard_);
    return current_;
}

bool directory_keeper::refresh_soon(std::function<void()> done) {
    {
        const std::lock_guard held(guard_);
        if (!running_ || stopping_ || waiting_.size() >= waiting_max) return false;
        waiting_.push_back(std::move(done));
        if (waiting_.size() > 1) return true;  // the first one woke the keeper
    }
    changed_.notify_one();
    return true;
}

void directory_keeper::run() {
    report_unreadable();
    auto last_look = clock::now();
    std::unique_lock held(guard_);
    while (!stopping_) {
        const auto due = last_look + (waiting_.empty() ? poll_every_ : std::min(poll_every_, refresh_gap));
        if (clock::now() < due) {
            changed_.wait_until(held, due);
            continue;
        }
        const auto answered = std::exchange(waiting_, {});
        held.unlock();
        look();
        last_look = clock::now();
        for (const auto& done : answered) done();
        held.lock();
    }
    const auto unanswered = std::exchange(waiting_, {});
    held.unlock();
    for (const auto& done : unanswered) done();
}

void directory_keeper::use_static_keys(std::vector<base::secret> keys) {
    const std::lock_guard held(guard_);
    next_static_keys_ = std::move(keys);
}

void directory_keeper::take_static_keys() {
    const std::lock_guard held(guard_);
    if (!next_static_keys_) return;
    static_keys_ = std::move(*next_static_keys_);
    next_static_keys_.reset();
    static_keys_differ_ = true;
}

void directory_keeper::look() {
    try {
        take_static_keys();
        const bool moved = read_generation(*on_) != current()->generation() || static_keys_differ_;
        if (moved) renew();
        static_keys_differ_ = false;
        last_success_ = now_();
        if (std::exchange(is_out_, false) && reports_.on_recovery) reports_.on_recovery();
        if (moved && reports_.on_change) reports_.on_change(current());
        if (moved) report_unreadable();
    } catch (const std::exception& failed) {
        // The last directory stays in force, whatever went wrong with the new one.
        if (!std::exchange(is_out_, true) && reports_.on_outage) reports_.on_outage(failed.what());
    }
}

void directory_keeper::renew() {
    auto rows = load_directory(*on_, now_());
    unreadable_ = std::move(rows.unreadable);
    auto made = std::make_shared<const directory>(std::move(rows), static_keys_, hasher_, live_);
    const std::lock_guard held(guard_);
    current_.swap(made);
}

void directory_keeper::report_unreadable() {
    if (!unreadable_.empty() && reports_.on_unreadable) reports_.on_unreadable(unreadable_);
}

}  // namespace governance
