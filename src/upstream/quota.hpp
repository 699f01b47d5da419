// How much the upstream will still take, as its answers have told this process: what is left of its rate limits, and
// when it said "not now". Whoever has work that can wait asks before it begins more (worker/intake.hpp).
//
// With several credentials or models the numbers are those of the answer that came last: a hint, never a promise.
// Thread rule: any thread; single values are atomic, together they are not.
#pragma once

#include <atomic>
#include <cstdint>

#include "http/head.hpp"

namespace upstream {

struct quota_view {
    static constexpr std::int64_t unknown = -1;
    std::int64_t requests_left = unknown;
    std::int64_t requests_reset_ms = 0;  // since 1970; from then on the number is out of date
    std::int64_t tokens_left = unknown;  // the least of input, output and all tokens
    std::int64_t tokens_reset_ms = 0;
    std::int64_t refused_until_ms = 0;  // by retry-after of a 429 or 529; 0: never
};

class quota {
public:
    // An answer's head, whatever its status.
    void note(const http::response_head& head, std::int64_t now_ms);
    quota_view view() const;

    std::uint64_t rate_limited() const { return rate_limited_.load(std::memory_order_relaxed); }  // answers of 429
    std::uint64_t overloaded() const { return overloaded_.load(std::memory_order_relaxed); }      // and of 529

private:
    std::atomic<std::int64_t> requests_left_{quota_view::unknown};
    std::atomic<std::int64_t> requests_reset_ms_{0};
    std::atomic<std::int64_t> tokens_left_{quota_view::unknown};
    std::atomic<std::int64_t> tokens_reset_ms_{0};
    std::atomic<std::int64_t> refused_until_ms_{0};
    std::atomic<std::uint64_t> rate_limited_{0};
    std::atomic<std::uint64_t> overloaded_{0};
};

}  // namespace upstream
