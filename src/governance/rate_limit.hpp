// Rate limits: requests, input tokens and output tokens per minute as token buckets with continuous refill, and
// concurrent requests. One limiter is the live side of one row of the limits table, shared by all reactors without a
// lock (atomics; the generic cell rate algorithm keeps a bucket in one number: the time at which it would be full).
//
// Rules as Anthropic's (docs/protocol.md, rate limits): a request costs one request and an estimate of its input tokens
// (body bytes / 4) when it is admitted, corrected by what the answer says (input + cache writes; cache reads are free);
// output tokens are charged when they are known and only a bucket in debt refuses. A bucket holds one minute's worth.
//
// Shared over replicas (redis/shared_limits.hpp), a limiter works on what this replica was granted, and the buckets
// mirror the shared ones: rate_limit_shared.hpp. Then a third outcome is possible, `pending`: what was granted is used
// up and the shared state has to be asked. The request path waits for that like this, and never for long:
//
//   auto refused = begin_all(limiters, estimate, now_us);
//   while (refused && refused->why.pending) {
//       // false: answered in the meantime. The callback runs on another thread: post to the reactor from it.
//       const bool parked = refused->by->when_answered(refused->why.ticket, [...] { ... });
//       if (parked) wait for the callback, at most pending_max from the first begin;
//       refused = begin_all(limiters, estimate, now_us, waited_enough ? when_unsure::decide : when_unsure::ask);
//   }
//
// Without a shared source, and while it is unavailable, nothing is ever pending. Thread rule: any thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "governance/rate_limit_shared.hpp"
#include "governance/tenants.hpp"

namespace governance {

// One number for one bucket. Times are microseconds of any monotonic clock; amounts are requests or tokens.
class token_bucket {
public:
    // Per minute, 0: unlimited. May be changed while in use: the share of the minute's worth that was used stays used,
    // so that neither a higher nor a lower limit makes up for, or punishes, what passed under the old one.
    void set_rate(std::int64_t per_minute);
    std::int64_t per_minute() const { return per_minute_.load(std::memory_order_relaxed); }

    // Takes `amount` if the bucket holds it; else microseconds until it will (the truth, if nobody else takes it).
    // An amount over one minute's worth is taken when the bucket is full, and leaves it in debt.
    std::int64_t take(std::int64_t amount, std::int64_t now_us);  // 0: taken
    // What `take` would say, without taking. `held`: what the asker has in hand beside the bucket (negative: owes it).
    std::int64_t wait_us(std::int64_t amount, std::int64_t now_us, std::int64_t held = 0) const;
    // Takes without asking (a correction upwards, output tokens), or gives back (negative).
    void charge(std::int64_t amount, std::int64_t now_us);
    // Microseconds until the bucket is out of debt; 0: it is.
    std::int64_t debt_us(std::int64_t now_us) const { return wait_us(0, now_us); }

    std::int64_t remaining(std::int64_t now_us) const;   // 0 when in debt
    std::int64_t full_in_us(std::int64_t now_us) const;  // until nothing is missing

    // How much of the minute is missing, and setting it: how a bucket mirrors another one.
    std::int64_t missing_ns(std::int64_t now_us) const;
    void set_missing_ns(std::int64_t missing, std::int64_t now_us);

private:
    std::atomic<std::int64_t> per_minute_{0};
    std::atomic<std::int64_t> full_at_ns_{0};  // when the bucket would be full if nobody took more
};

// What of a limit refused, and for how long.
struct limit_refusal {
    enum class kind : std::uint8_t { requests, input_tokens, output_tokens, concurrent } what = kind::requests;
    std::int64_t wait_us = 0;  // until the same request would pass, if nobody else comes; 0 for concurrent
    std::int64_t limit = 0;    // the amount that was reached
    bool pending = false;      // nobody refused: the shared state is being asked (limiter::when_answered)
    std::uint64_t ticket = 0;  // for when_answered
};

// Of several reasons to refuse the one that lasts longest; something pending counts less than a refusal.
struct longest_refusal {
    std::optional<limit_refusal> found;

    bool add(const limit_refusal& what);  // whether it lasts longer than what was found before
    // `wait_us` 0: passes, negative: pending.
    bool add_wait(limit_refusal::kind what, std::int64_t wait_us, std::int64_t limit);
};

// What to do when only the shared state knows: ask it (pending), or decide by what this replica knows.
enum class when_unsure : std::uint8_t { ask, decide };

// The longest time that a request is kept waiting for the shared state; then it is decided here.
inline constexpr std::chrono::milliseconds pending_max{50};

class limiter;

struct refused_begin {
    limiter* by = nullptr;
    limit_refusal why;
};

// `begin` of all limiters that apply to a request, or of none. Of several that refuse the longest wait is told; one
// that refuses goes before one that is pending.
std::optional<refused_begin> begin_all(std::span<limiter* const> limiters, std::int64_t input_estimate,
                                       std::int64_t now_us, when_unsure unsure = when_unsure::ask);

// Counts one request of all of them, or of none: for work that is submitted now and runs later, when it begins and
// finishes as every request does. Places and tokens are not asked about, and no `finish` follows.
std::optional<refused_begin> count_request(std::span<limiter* const> limiters, std::int64_t now_us,
                                           when_unsure unsure = when_unsure::ask);

class limiter : public std::enable_shared_from_this<limiter> {
public:
    explicit limiter(const limit& what);
    void set(const rate_limits& amounts);
    rate_limits amounts() const;

    // All or nothing. On success `finish` must follow exactly once. Of several reasons to refuse the one that lasts
    // longest is told, so that its wait is true. No amount of refusals takes anything from those that pass.
    std::optional<limit_refusal> begin(std::int64_t input_estimate, std::int64_t now_us,
                                       when_unsure unsure = when_unsure::ask);
    // What `begin` would say now, without taking anything.
    std::optional<limit_refusal> check(std::int64_t input_estimate, std::int64_t now_us,
                                       when_unsure unsure = when_unsure::ask);
    // The request is over: gives its place back and corrects the estimate. `input_used`: input + cache writes;
    // `output_used`: output tokens; nothing: unknown, the estimate stays.
    void finish(std::int64_t input_estimate, std::optional<std::int64_t> input_used, std::int64_t output_used,
                std::int64_t now_us);
    // Undoes `begin` of a request that another limiter refused.
    void undo(std::int64_t input_estimate, std::int64_t now_us);

    // Of count_request: takes one request, and gives it back.
    std::optional<limit_refusal> take_request(std::int64_t now_us, when_unsure unsure);
    void return_request(std::int64_t now_us) { charge(requests_, -1, now_us); }
    // Counts one that must not be refused: what was returned was not taken after all.
    void charge_request(std::int64_t now_us) { charge(requests_, 1, now_us); }

    // What a caller may be told of one kind: of the shared bucket, if it is shared.
    struct reading {
        std::int64_t limit = 0;  // 0: none of that kind
        std::int64_t remaining = 0;
        std::int64_t full_in_us = 0;
    };
    reading read(limit_refusal::kind what, std::int64_t now_us) const;

    token_bucket& requests() { return requests_.bucket; }
    token_bucket& input_tokens() { return input_.bucket; }
    token_bucket& output_tokens() { return output_.bucket; }
    std::int64_t running() const { return running_.load(std::memory_order_relaxed); }

    const std::string& id() const { return id_; }  // "team:team_x:claude-opus-*": names the buckets in Redis

    // Shared from now on. Before the first use by other threads; the limiter must be held by a shared_ptr and be the
    // only one of its id with that source, and the source outlive its last use. `now_us` of every call is then of
    // std::chrono::steady_clock.
    void share_with(shared_source& with) { source_ = &with; }
    // Calls `then` once, on the source's thread, when the answer after `ticket` is there or none is to come; false, and
    // no call, if that is so already. `then` may come after the waiting was given up, and must not block.
    bool when_answered(std::uint64_t ticket, std::function<void()> then);

    // The source's side, for its thread alone; rate_limit_shared.cpp. A round is `ask`, then `answer`, then
    // `wake_waiting`; when the source is lost: `work_alone`, then `wake_waiting`.
    bool is_due(std::int64_t now_us) const;  // should it be asked for now?
    shared_request ask(std::int64_t now_us, std::uint64_t session, std::int64_t lease_us);
    void answer(const shared_answer& said, std::int64_t now_us);
    void work_alone(std::int64_t now_us);
    void wake_waiting();
    bool try_rest(std::int64_t now_us);  // nothing to tell any more: true, and the next use enlists it again
    shared_request leave();              // gives everything back, at the end of the process

private:
    // A bucket and what this replica may use of the shared one; on a cache line of its own.
    struct alignas(64) meter {
        token_bucket bucket;
        share granted;
    };

    friend std::optional<refused_begin> begin_all(std::span<limiter* const> limiters, std::int64_t input_estimate,
                                                  std::int64_t now_us, when_unsure unsure);

    shared_source* source_if_available() const { return source_ && source_->is_available() ? source_ : nullptr; }
    std::optional<limit_refusal> take(std::int64_t input_estimate, std::int64_t now_us, when_unsure unsure);
    std::optional<limit_refusal> check_alone(std::int64_t input_estimate, std::int64_t now_us);
    std::optional<limit_refusal> take_alone(std::int64_t input_estimate, std::int64_t now_us);
    std::optional<limit_refusal> check_shared(std::int64_t input_estimate, std::int64_t now_us, bool decide);
    std::optional<limit_refusal> take_shared(std::int64_t input_estimate, std::int64_t now_us, bool decide);
    std::int64_t places_on_trust(std::int64_t now_us) const;
    bool take_place(const std::atomic<std::int64_t>& places);
    std::int64_t look(const meter& at, std::int64_t amount, std::int64_t now_us, bool decide) const;
    void want(meter& at, std::int64_t amount);
    std::int64_t take_credit(meter& at, std::int64_t amount, std::int64_t now_us, bool decide);
    void charge(meter& at, std::int64_t amount, std::int64_t now_us);
    shared_request::bucket ask_for(meter& at, std::int64_t elapsed_us, bool may_return);
    void ask_for_places(shared_request& asked, bool may_return);
    void place_is_free();
    void touch();
    void hurry();
    void urge();

    std::string id_;
    shared_source* source_ = nullptr;
    meter requests_;
    meter input_;
    meter output_;
    alignas(64) std::atomic<std::int64_t> concurrent_max_{0};
    std::atomic<std::int64_t> running_{0};
    places_share places_;
    std::atomic<std::int64_t> answered_at_us_{never_answered};
    std::atomic<bool> listed_{false};   // the source looks at it in its rounds
    std::atomic<bool> urgent_{false};   // and was asked to do so at once
    std::atomic<bool> hurried_{false};  // or soon: somebody was refused or is waiting elsewhere
    round_state round_;                 // of the source's thread
    std::mutex waiting_mutex_;
    std::atomic<std::uint64_t> answers_{0};
    std::vector<std::function<void()>> waiting_;
};

}  // namespace governance
