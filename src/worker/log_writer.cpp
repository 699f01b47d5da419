#include "worker/log_writer.hpp"

#include "worker/answer_of.hpp"

namespace worker {
namespace {

constexpr std::int64_t again_after_ms = 250;  // an append that the store could not take

}  // namespace

std::shared_ptr<log_writer> log_writer::make(lane& on, std::string job_id, std::uint32_t attempt,
                                             std::function<void()> on_fenced) {
    return std::shared_ptr<log_writer>(new log_writer(on, std::move(job_id), attempt, std::move(on_fenced)));
}

log_writer::log_writer(lane& on, std::string job_id, std::uint32_t attempt, std::function<void()> on_fenced)
    : lane_(on), job_id_(std::move(job_id)), attempt_(attempt), on_fenced_(std::move(on_fenced)), moved_(on.reactor) {}

log_writer::~log_writer() { count(-static_cast<std::int64_t>(bytes_)); }

void log_writer::count(std::int64_t change) {
    bytes_ += static_cast<std::uint64_t>(change);
    lane_.counts.log_bytes_waiting.fetch_add(static_cast<std::uint64_t>(change), std::memory_order_relaxed);
}

void log_writer::add(std::uint64_t first_id, std::uint64_t last_id, std::string_view events) {
    if (events.empty() || given_up_) return;
    if (waiting_.bytes.empty()) waiting_.first_id = first_id;
    waiting_.last_id = last_id;
    waiting_.bytes.append(events);
    count(static_cast<std::int64_t>(events.size()));
    if (writing_) return;
    writing_ = true;
    lane_.reactor.spawn(write_all(shared_from_this()));
}

bool log_writer::crowded() const {
    if (bytes_ < job_bytes_min) return false;
    return bytes_ >= job_bytes_max ||
           lane_.counts.log_bytes_waiting.load(std::memory_order_relaxed) >= process_bytes_max;
}

net::task<void> log_writer::write_all(std::shared_ptr<log_writer> self) {
    log_writer& it = *self;
    net::timer clock(it.lane_.reactor);
    while (!it.waiting_.bytes.empty() && !it.closing_ && !it.given_up_) {
        const jobs::log_piece piece = std::exchange(it.waiting_, {});
        bool may_be_there = false;  // the database went away, perhaps after it had taken the piece
        while (!it.given_up_) {
            const auto how = co_await answer_of<jobs::outcome>(it.lane_.reactor, clock, [&](auto done) {
                it.lane_.store.append(it.job_id_, it.attempt_, piece, std::move(done));
            });
            // Nobody else writes behind our attempt: what does not fit behind the log's end then is there already.
            if (how == jobs::outcome::done || (may_be_there && how == jobs::outcome::conflict)) break;
            if (how != jobs::outcome::unavailable) {
                it.given_up_ = true;
                it.on_fenced_();
                break;
            }
            may_be_there = true;
            clock.set_after(again_after_ms);
            net::wait_op pause{nullptr, false, false, nullptr, clock};
            co_await pause;
            clock.set(net::timer::never);
        }
        it.count(-static_cast<std::int64_t>(piece.bytes.size()));
        it.moved_.raise();
    }
    it.writing_ = false;
    it.moved_.raise();
}

net::task<bool> log_writer::room(net::timer& clock) {
    while (crowded() && !given_up_) {
        if (co_await moved_.wait(clock, nullptr) == net::wake::cancelled) co_return false;
    }
    co_return true;
}

net::task<std::optional<jobs::log_piece>> log_writer::close(net::timer& clock) {
    closing_ = true;
    while (writing_) {
        if (co_await moved_.wait(clock, nullptr) == net::wake::cancelled) co_return std::nullopt;
    }
    if (given_up_) co_return std::nullopt;
    co_return std::exchange(waiting_, {});
}

}  // namespace worker
