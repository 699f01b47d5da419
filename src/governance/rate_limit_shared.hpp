// How a limiter (rate_limit.hpp) shares its buckets with other replicas: the words it exchanges with the shared state.
//
// The shared state of a bucket is the same number as the local one, kept elsewhere. A replica is granted a slice
// of it (`share::credit`) and admits requests from that, without asking; what it grants itself beyond the credit
// (output tokens, corrections) makes the credit negative and is charged in the next round. Rounds are made by the
// source's thread, some milliseconds apart, at once when a credit runs low or a request waits. Slices follow the
// replica's own pace and are a small part of what is left, so that they shrink near the limit; a slice that is not used
// goes back within a second. What is granted is taken from the shared bucket first: replicas together never admit
// more than one bucket would.
//
// Places of running requests are leased the same way, but told as a state ("I hold four") and not as a change, and a
// lease ends by itself when its replica is killed.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>

namespace governance {

class limiter;

// One limiter's part of a round, towards the shared state. Buckets: requests, input tokens, output tokens.
struct shared_request {
    struct bucket {
        std::int64_t per_minute = 0;      // 0: unlimited, nothing is asked
        std::int64_t charge = 0;          // used without asking (positive), or given back (negative)
        std::int64_t need = 0;            // grant nothing if less than this is there...
        std::int64_t want = 0;            // ...else as much of this as is there: requests are waiting for it
        std::int64_t ahead = 0;           // and a part of what is left then, at most this much, for those to come
        std::int64_t missing_us_min = 0;  // after an outage: at least so much of the minute is used, as seen from here
    };
    std::array<bucket, 3> buckets;
    std::int64_t places_max = 0;  // 0: unlimited
    std::int64_t places_held = 0;
    std::int64_t places_want = 0;
    std::int64_t places_ahead = 0;
};

struct shared_answer {
    struct bucket {
        std::int64_t granted = 0;
        std::int64_t missing_ns = 0;  // of the minute; over 60 s: in debt
    };
    std::array<bucket, 3> buckets;
    std::int64_t places_granted = 0;
    std::int64_t places_free = 0;  // after that, for anybody; negative: so many are held too many
};

// Who keeps the shared state. `is_available` decides whether limiters work on shares or alone; both are atomic loads.
class shared_source {
public:
    virtual ~shared_source() = default;

    bool is_available() const { return available_.load(std::memory_order_acquire); }
    // An answer takes longer than anybody should wait: until it comes, limiters decide by what they know.
    bool is_overdue(std::int64_t now_us) const {
        const auto since = asked_at_us_.load(std::memory_order_relaxed);
        return since != 0 && now_us - since > overdue_after_us;
    }

    // Requests that passed without an answer, because they had waited enough or it was overdue.
    std::uint64_t passed_on_trust() const { return passed_on_trust_.load(std::memory_order_relaxed); }
    void count_passed_on_trust() { passed_on_trust_.fetch_add(1, std::memory_order_relaxed); }

    // The limiter has something to tell, or (`now`) to ask. Any thread; takes a lock for a moment, and is called once
    // until the source has looked.
    enum class haste : std::uint8_t { soon, now };
    virtual void enlist(std::shared_ptr<limiter> who, haste when) = 0;

protected:
    static constexpr std::int64_t overdue_after_us = 50'000;

    std::atomic<bool> available_{false};
    std::atomic<std::int64_t> asked_at_us_{0};  // 0: nothing is under way
    std::atomic<std::uint64_t> passed_on_trust_{0};
};

inline constexpr std::int64_t never_answered = std::numeric_limits<std::int64_t>::min() / 2;

// What this replica was granted of one bucket. Amounts are requests or tokens.
struct share {
    static constexpr std::int64_t nobody = std::numeric_limits<std::int64_t>::max();

    std::atomic<std::int64_t> credit{0};       // may be used here; negative: used and not yet told
    std::atomic<std::int64_t> low{0};          // below this, more is asked for
    std::atomic<std::int64_t> wanted{0};       // sum of the requests that wait since the last round
    std::atomic<std::int64_t> needed{nobody};  // and the smallest of them
    std::atomic<std::int64_t> takes{0};        // since the last round, about

    // Of the source's thread.
    double pace = 0;                // use per second, lately
    double takes_pace = 0;          // requests per second, lately
    std::int64_t credit_after = 0;  // the last round
    std::int64_t target = 0;        // what the credit should be
    std::int64_t told = 0;          // owed and told in the round under way
};

// Places of running requests that this replica has leased.
struct places_share {
    std::atomic<std::int64_t> leased{0};
    std::atomic<std::int64_t> free{0};    // for anybody, at the last answer
    std::atomic<std::int64_t> wanted{0};  // requests that wait since the last round
    std::atomic<std::int64_t> peak{0};    // most that ran at a time since the last round
    std::atomic<std::int64_t> takes{0};   // since the last round, about

    std::int64_t told = 0;  // of the source's thread: held, as said in the round under way
};

// What the source's thread remembers of a limiter.
struct round_state {
    std::int64_t asked_at_us = 0;
    std::int64_t granted_at_us = never_answered;
    std::int64_t lease_us = 0;
    std::uint64_t session = 0;  // connection in which the buckets were last compared
};

}  // namespace governance
