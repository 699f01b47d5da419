#include "redis/shared_limits.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "redis/limit_script.hpp"

namespace redis {
namespace {

using std::chrono::microseconds;

// Between two looks at the limiters that are in use, when nobody asks for one.
constexpr microseconds look_every{10'000};
// Between two round trips that were asked for: those who wait within this time share one.
constexpr std::int64_t round_gap_us = 500;
// Redis is asked whether it lives when there was nothing to say for so long.
constexpr microseconds alive_every{1'000'000};
// Limiters in one pipeline. More wait for the next one, so that nobody waits for thousands of others.
constexpr std::size_t pipeline_max = 500;

std::int64_t now_us() {
    return std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string random_name() {
    constexpr std::string_view digits = "0123456789abcdef";
    std::random_device random;
    std::string name;
    for (int i = 0; i < 16; ++i) name += digits[random() % digits.size()];
    return name;
}

// A write to a connection that Redis has closed must be an error, not a signal.
void block_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

shared_limits::shared_limits(const options& settings, address where, report on_change)
    : settings_(settings),
      address_(std::move(where)),
      report_(std::move(on_change)),
      replica_(random_name()),
      thread_([this] { run(); }) {}

shared_limits::~shared_limits() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

void shared_limits::enlist(std::shared_ptr<governance::limiter> who, haste) {
    bool first = false;
    {
        const std::lock_guard lock(mutex_);
        first = enlisted_.empty();
        enlisted_.push_back(std::move(who));
    }
    if (first) changed_.notify_one();
}

shared_limits::counts shared_limits::counted() const {
    return {.round_trips = round_trips_.load(), .limiters_told = limiters_told_.load(), .outages = outages_.load()};
}

void shared_limits::run() {
    block_signals();
    do {
        take_enlisted();
        if (connection_ || connect()) make_rounds();
        if (connection_) check_alive();
    } while (wait_for_work());
    leave();
}

bool shared_limits::wait_for_work() {
    const auto pause = !connection_      ? microseconds(settings_.reconnect_every)
                       : active_.empty() ? alive_every
                                         : look_every;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, pause, [this] { return stopping_ || !enlisted_.empty(); });
    const auto since = now_us() - talked_at_us_;
    if (since < round_gap_us) changed_.wait_for(lock, microseconds(round_gap_us - since), [this] { return stopping_; });
    return !stopping_;
}

void shared_limits::take_enlisted() {
    limiters fresh;
    {
        const std::lock_guard lock(mutex_);
        fresh.swap(enlisted_);
    }
    for (auto& each : fresh) {
        const auto* key = each.get();
        active_.try_emplace(key, std::move(each));
    }
}

bool shared_limits::connect() {
    if (tried_at_us_ != 0 && now_us() - tried_at_us_ < microseconds(settings_.reconnect_every).count()) {
        lose({});  // releases who asked in the last moment before the connection was lost
        return false;
    }
    tried_at_us_ = now_us();
    auto opened = connection::open(address_now(settings_, address_), settings_.timeout);
    if (!opened) {
        lose(opened.error());
        return false;
    }
    const std::string_view words[] = {"SCRIPT", "LOAD", limit_script};
    auto loaded = opened->run(words);
    if (!loaded) {
        lose(loaded.error());
        return false;
    }
    digest_ = loaded->text;
    connection_ = std::move(*opened);
    ++session_;
    talked_at_us_ = now_us();
    available_.store(true, std::memory_order_release);
    if (std::exchange(lost_, false) || session_ == 1) report_(true, {});
    return true;
}

void shared_limits::make_rounds() {
    limiters due;
    const auto now = now_us();
    for (auto at = active_.begin(); at != active_.end();) {
        if (at->second->is_due(now)) {
            due.push_back(at->second);
        } else if (at->second->try_rest(now)) {
            at = active_.erase(at);
            continue;
        }
        ++at;
    }
    for (std::size_t first = 0; first < due.size(); first += pipeline_max) {
        const std::span part(due.begin() + static_cast<std::ptrdiff_t>(first),
                             std::min(pipeline_max, due.size() - first));
        const auto done = talk(part);
        asked_at_us_.store(0);
        if (!done) return lose(done.error());
        for (const auto& each : part) each->wake_waiting();
    }
}

// One round trip. A limiter whose script Redis has forgotten is told again, with the script: nothing was done for it.
outcome<void> shared_limits::talk(std::span<const std::shared_ptr<governance::limiter>> with) {
    const auto began = now_us();
    asked_at_us_.store(began);
    std::vector<governance::shared_request> asked;
    asked.reserve(with.size());
    for (const auto& each : with) {
        asked.push_back(each->ask(began, session_, microseconds(settings_.place_lease).count()));
        if (const auto sent = send("EVALSHA", digest_, *each, asked.back()); !sent) return sent;
    }
    std::vector<std::size_t> again;
    const auto take_answer = [&](std::size_t i) -> outcome<bool> {
        const auto got = connection_->read();
        if (!got) return std::unexpected(got.error());
        if (got->error.starts_with("NOSCRIPT")) return false;
        if (!got->error.empty()) return std::unexpected(got->error);
        const auto said = read_answer(got->numbers);
        if (!said) return std::unexpected("the script's answer is not what it returns");
        with[i]->answer(*said, now_us());
        return true;
    };
    for (std::size_t i = 0; i < with.size(); ++i) {
        const auto answered = take_answer(i);
        if (!answered) return std::unexpected(answered.error());
        if (!*answered) again.push_back(i);
    }
    for (const auto i : again)
        if (const auto sent = send("EVAL", limit_script, *with[i], asked[i]); !sent) return sent;
    for (const auto i : again) {
        const auto answered = take_answer(i);
        if (!answered || !*answered) return std::unexpected(answered ? "NOSCRIPT to EVAL" : answered.error());
    }
    talked_at_us_ = now_us();
    round_trips_.fetch_add(1, std::memory_order_relaxed);
    limiters_told_.fetch_add(with.size(), std::memory_order_relaxed);
    return {};
}

outcome<void> shared_limits::send(std::string_view command, std::string_view script, const governance::limiter& of,
                                  const governance::shared_request& asked) {
    const auto rest =
        script_words(settings_.prefix + of.id(), replica_, microseconds(settings_.place_lease).count(), asked);
    std::vector<std::string_view> words{command, script};
    words.insert(words.end(), rest.begin(), rest.end());
    return connection_->add(words);
}

void shared_limits::check_alive() {
    if (now_us() - talked_at_us_ < alive_every.count()) return;
    const std::string_view words[] = {"PING"};
    asked_at_us_.store(now_us());
    const auto alive = connection_->run(words);
    asked_at_us_.store(0);
    talked_at_us_ = now_us();
    if (!alive) lose(alive.error());
}

// From here on every limiter works alone, and who waits is let go.
void shared_limits::lose(std::string_view why) {
    connection_.reset();
    available_.store(false, std::memory_order_release);
    asked_at_us_.store(0);
    const auto now = now_us();
    for (const auto& [key, each] : active_) {
        each->work_alone(now);
        each->wake_waiting();
    }
    for (auto at = active_.begin(); at != active_.end();) at = at->second->try_rest(now) ? active_.erase(at) : ++at;
    if (std::exchange(lost_, true)) return;
    outages_.fetch_add(1, std::memory_order_relaxed);
    report_(false, why);
}

// A replica that ends in order leaves nothing for its leases to wait for.
void shared_limits::leave() {
    available_.store(false, std::memory_order_release);
    take_enlisted();
    bool sent = connection_.has_value();
    for (const auto& [key, each] : active_) sent = sent && send("EVALSHA", digest_, *each, each->leave()).has_value();
    for (std::size_t i = 0; sent && i < active_.size(); ++i) sent = connection_->read().has_value();
    for (const auto& [key, each] : active_) {
        each->work_alone(now_us());
        each->wake_waiting();
    }
}

}  // namespace redis
