// Brings a job's events into the store while they come: the first at once, then whatever has gathered while the last
// piece was being committed, so that a fast stream costs a few rows a second and nobody waits longer than one commit.
//
// Bounded: a job whose events wait for a slow database stops reading, and with it the upstream. While the database is
// away the piece under way is tried again until the store says that the job is lost.
// Thread rule: the reactor's thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/signal.hpp"
#include "worker/lane.hpp"

namespace worker {

class log_writer : public std::enable_shared_from_this<log_writer> {
public:
    static constexpr std::uint64_t job_bytes_max = 1ull << 20;        // waiting, of one job
    static constexpr std::uint64_t process_bytes_max = 128ull << 20;  // and of all; then each may have job_bytes_min
    static constexpr std::uint64_t job_bytes_min = 64ull << 10;

    // `on_fenced`: the job is not ours any more. Called once, on the reactor.
    static std::shared_ptr<log_writer> make(lane& on, std::string job_id, std::uint32_t attempt,
                                            std::function<void()> on_fenced);
    ~log_writer();

    // Whole events with their ids, which follow those added before.
    void add(std::uint64_t first_id, std::uint64_t last_id, std::string_view events);
    bool crowded() const;

    // Waits until it is not crowded any more. False: the clock was cancelled.
    net::task<bool> room(net::timer& clock);
    // The end: waits for the piece under way, and gives what was not begun, which goes with the job's ending. Nothing:
    // the clock was cancelled, or the job is not ours any more.
    net::task<std::optional<jobs::log_piece>> close(net::timer& clock);
    // Nothing is tried again any more.
    void give_up() { given_up_ = true; }

private:
    log_writer(lane& on, std::string job_id, std::uint32_t attempt, std::function<void()> on_fenced);
    static net::task<void> write_all(std::shared_ptr<log_writer> self);
    void count(std::int64_t change);

    lane& lane_;
    const std::string job_id_;
    const std::uint32_t attempt_;
    std::function<void()> on_fenced_;
    jobs::log_piece waiting_;
    std::uint64_t bytes_ = 0;  // waiting and under way
    bool writing_ = false;
    bool closing_ = false;
    bool given_up_ = false;
    net::signal moved_;  // a piece was committed, or nothing is under way any more
};

}  // namespace worker
