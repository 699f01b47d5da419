// One job in a worker's hands, from its claim to its ending in the store.
//
// Thread rule: a `job_in_hand` may be made, held and dropped by any thread, and `end` called; the rest belongs to its
// lane's reactor.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "worker/lane.hpp"
#include "worker/verdict.hpp"

namespace worker {

// Why somebody else ends the work on a job.
enum class interruption : std::uint8_t {
    none,
    cancelled,    // its owner asked for it: the ending is written
    handed_back,  // this process ends: it goes back into the queue
    lost,         // another worker has it, or it is over: nothing is written
};

// How the work on a job was left, for the log and metrics.
struct job_end {
    std::string_view outcome;  // name_of(ending::way), "lost" or "abandoned"
    std::string reason;
    bool committed = false;  // the store has it
    bool is_final = false;   // succeeded, failed, cancelled
};

class job_in_hand {
public:
    // `over` is called once, on the reactor, when nothing more is done for the job.
    job_in_hand(lane& on, jobs::claimed what, std::function<void(const job_end&)> over)
        : where(on), job(std::move(what)), id(job.about.id), attempt(job.about.attempt), over_(std::move(over)) {}
    ~job_in_hand() {
        if (over_) over_({.outcome = "abandoned", .reason = {}});
    }

    // Ends the wait under way. The last reason that leaves less to do counts: none < cancelled < handed_back < lost.
    static void end(const std::shared_ptr<job_in_hand>& job, interruption why);

    lane& where;
    jobs::claimed job;  // its bodies are given back as soon as they are not needed
    const std::string id;
    const std::uint32_t attempt;
    interruption asked = interruption::none;
    net::timer* clock = nullptr;  // of the coroutine that works on it

    void leave(const job_end& how) {
        if (auto over = std::exchange(over_, nullptr)) over(how);
    }
    void forget() { over_ = nullptr; }  // when nobody works on it any more and whoever listened goes

private:
    std::function<void(const job_end&)> over_;
};

// The whole story of the job; spawn it on the lane's reactor.
net::task<void> run_job(std::shared_ptr<job_in_hand> mine);

std::string_view name_of(jobs::ending::way how);

}  // namespace worker
