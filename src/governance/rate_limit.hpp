// Rate limits: requests, input tokens and output tokens per minute as token buckets with continuous refill, and
// concurrent requests. One limiter is the live side of one row of the limits table, shared by all reactors without a
// lock (atomics; the generic cell rate algorithm keeps a bucket in one number: the time at which it would be full).
//
// Rules as Anthropic's (docs/protocol.md, rate limits): a request costs one request and an estimate of its input tokens
// (body bytes / 4) when it is admitted, corrected by what the answer says (input + cache writes; cache reads are free);
// output tokens are charged when they are known and only a bucket in debt refuses. A bucket holds one minute's worth.
//
// Shared over replicas through Redis in slices (redis/shared_limits.hpp): then `credit` is what this replica may still
// use. Thread rule: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "governance/tenants.hpp"

namespace governance {

// One number for one bucket. Times are microseconds of any monotonic clock; amounts are requests or tokens.
class token_bucket {
public:
    // Per minute, 0: unlimited. May be changed while in use: what was used stays used.
    void set_rate(std::int64_t per_minute);
    std::int64_t per_minute() const { return per_minute_.load(std::memory_order_relaxed); }

    // Takes `amount` if the bucket holds it; else microseconds until it will (the truth, if nobody else takes it).
    // An amount over one minute's worth is taken when the bucket is full, and leaves it in debt.
    std::int64_t take(std::int64_t amount, std::int64_t now_us);  // 0: taken
    // Takes without asking (a correction upwards, output tokens), or gives back (negative).
    void charge(std::int64_t amount, std::int64_t now_us);
    // Microseconds until the bucket is out of debt; 0: it is.
    std::int64_t debt_us(std::int64_t now_us) const;

    std::int64_t remaining(std::int64_t now_us) const;   // 0 when in debt
    std::int64_t full_in_us(std::int64_t now_us) const;  // until nothing is missing

private:
    std::atomic<std::int64_t> per_minute_{0};
    std::atomic<std::int64_t> full_at_ns_{0};  // when the bucket would be full if nobody took more
};

// What of a limit refused, and for how long.
struct limit_refusal {
    enum class kind : std::uint8_t { requests, input_tokens, output_tokens, concurrent } what = kind::requests;
    std::int64_t wait_us = 0;  // until the same request would pass, if nobody else comes; 0 for concurrent
    std::int64_t limit = 0;    // the amount that was reached
};

class limiter {
public:
    explicit limiter(const limit& what);
    void set(const rate_limits& amounts);
    rate_limits amounts() const;

    // All or nothing. On success `finish` must follow exactly once.
    std::optional<limit_refusal> begin(std::int64_t input_estimate, std::int64_t now_us);
    // The request is over: gives its place back and corrects the estimate. `input_used`: input + cache writes;
    // `output_used`: output tokens; nothing: unknown, the estimate stays.
    void finish(std::int64_t input_estimate, std::optional<std::int64_t> input_used, std::int64_t output_used,
                std::int64_t now_us);
    // Undoes `begin` of a request that another limiter refused.
    void undo(std::int64_t input_estimate, std::int64_t now_us);

    token_bucket& requests() { return requests_; }
    token_bucket& input_tokens() { return input_; }
    token_bucket& output_tokens() { return output_; }
    std::int64_t running() const { return running_.load(std::memory_order_relaxed); }

    const std::string& id() const { return id_; }  // "team:team_x:claude-opus-*": names the buckets in Redis

private:
    std::string id_;
    token_bucket requests_;
    token_bucket input_;
    token_bucket output_;
    std::atomic<std::int64_t> concurrent_max_{0};
    std::atomic<std::int64_t> running_{0};
};

}  // namespace governance
