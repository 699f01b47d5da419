// What a response says about the caller's limits: Anthropic's header names with our numbers (docs/protocol.md, rate
// limits), when to come back, and the sentence of a refusal. Plain functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "governance/rate_limit.hpp"
#include "governance/tenants.hpp"

namespace governance {

// Appends "anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}: ...\r\n" for the
// kinds that have a limit; of several limiters the tightest of each kind counts (the smallest part of it remains).
// `tokens` is the sum of input and output, or one of them when the other has no limit or it is used up. What remains
// of tokens is rounded to thousands; a reset is when everything is there again. Nothing else is allocated.
void append_rate_limit_headers(std::string& head, std::span<limiter* const> in_force, std::int64_t now_us,
                               time_ms wall_now);

// Whole seconds for `retry-after`, rounded up, at least 1.
std::int64_t retry_after_seconds(const limit_refusal& why);
// Appends "retry-after: 2\r\nretry-after-ms: 1234\r\n".
void append_retry_after(std::string& head, const limit_refusal& why);

// "The team search has used its limit of 600 requests per minute. Try again in 2 seconds." `name` is of the team or
// key, and unused for root; `model_class` empty: all models.
std::string refusal_sentence(const limit_refusal& why, scope where, std::string_view name,
                             std::string_view model_class);

}  // namespace governance
