// Who follows the logs of jobs on this replica, or waits for their end.
//
// A follower holds a cursor and no buffer. News come from the store's changes (this process: the piece itself, no
// read), from `wake` (another replica says that a job has changed) and from one thread that looks for changes of all
// followed jobs with one call of the store every poll_every. Correctness rests on that look alone: the others make it
// fast. The newest pieces of a followed job are kept, shared by its followers; who is further behind gets his from the
// database, a portion at a time and only when he asks.
//
//   auto follower = tail.follow(about, after, signal.notifier());     // about: what store::find said
//   for (;;) {
//       const auto portion = follower->take(bytes_max);
//       write(portion.pieces...);
//       if (portion.ended || portion.lost) break;
//       if (portion.pieces.empty()) wait for the notifier;            // which is called once for every empty portion
//   }
//
// Bounded: followers, bytes kept for a job and in all (jobs/options.hpp), one portion a follower. Thread rule: any
// thread; one thread a follower. The notifier is called on a thread of the store or of the tail and must be short.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "jobs/options.hpp"
#include "jobs/store.hpp"

namespace jobs {

class tail {
    struct seat;
    struct followed;
    struct state;

public:
    // The store must outlive the tail, and tell `on_change` what it tells its listeners.
    tail(store& from, const options& rules);
    ~tail();  // stops; no follower may be left
    tail(const tail&) = delete;
    tail& operator=(const tail&) = delete;

    void stop();  // does not use the store any more; for the end, when the store goes first

    void on_change(const change& news);
    void wake(std::string_view job_id);  // look soon; of no effect for a job that nobody follows
    // Whether other replicas' changes come through `wake`: then the look is a safety net, and rarer.
    void rely_on_wakes(bool they_come);

    struct portion {
        // Whole pieces in order, without a gap; of the first the beginning may be known to the follower already.
        std::vector<std::shared_ptr<const log_piece>> pieces;
        std::uint64_t after = 0;        // the follower has everything up to this event
        status state = status::queued;  // as far as known
        bool ended = false;             // the job is final, and with `pieces` its log is complete
        bool lost = false;              // the log has gone: the job was deleted
    };

    class follower {
    public:
        ~follower();
        follower(const follower&) = delete;
        follower& operator=(const follower&) = delete;

        // The next pieces, whole ones until `bytes_max` is reached, at least one when there is one.
        portion take(std::size_t bytes_max);

    private:
        friend class tail;
        follower(tail& owner, std::shared_ptr<seat> taken) : owner_(owner), seat_(std::move(taken)) {}
        tail& owner_;
        std::shared_ptr<seat> seat_;
    };

    enum class interest : std::uint8_t {
        log,
        end,  // only when the job becomes final: `take` gives no pieces
    };
    // From behind the event `after`. nullptr: followers_max are there already. `wake` says that `take` has something
    // new; it may come from any thread, and once more after the follower has gone.
    std::unique_ptr<follower> follow(const summary& about, std::uint64_t after, interest what,
                                     std::function<void()> wake);

    struct counts {
        std::atomic<std::uint64_t> followers{0};
        std::atomic<std::uint64_t> jobs{0};         // that are followed
        std::atomic<std::uint64_t> kept_bytes{0};   // of recent pieces
        std::atomic<std::uint64_t> looks{0};        // calls of the store for changes
        std::atomic<std::uint64_t> replays{0};      // calls of the store for those who are behind
        std::atomic<std::uint64_t> unavailable{0};  // of both, that failed
    };
    const counts& counted() const;

private:
    std::unique_ptr<state> state_;
};

}  // namespace jobs
