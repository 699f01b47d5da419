#include "rate_limit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sim {

namespace {

// What the smallest documented tier allows; shown when nothing is enforced.
constexpr rate_limits start_tier{
    .requests_per_minute = 1'000, .input_tokens_per_minute = 2'000'000, .output_tokens_per_minute = 400'000};

std::uint64_t or_else(std::uint64_t value, std::uint64_t otherwise) { return value > 0 ? value : otherwise; }

std::uint64_t seconds_until(double missing, std::uint64_t per_minute) {
    return std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(std::ceil(missing * 60.0 / static_cast<double>(per_minute))));
}

rate_refusal refusal(std::string_view what, std::uint64_t limit, double missing) {
    return {.retry_after = seconds_until(missing, limit),
            .message = fmt::format("This request would exceed your organization's rate limit of {} {} per minute. For "
                                   "details, refer to: https://docs.claude.com/en/api/rate-limits.",
                                   limit, what)};
}

}  // namespace

rate_limiter::rate_limiter(rate_limits limits)
    : enforced_(limits),
      nominal_{
          .requests_per_minute = or_else(limits.requests_per_minute, start_tier.requests_per_minute),
          .input_tokens_per_minute = or_else(limits.input_tokens_per_minute, start_tier.input_tokens_per_minute),
          .output_tokens_per_minute = or_else(limits.output_tokens_per_minute, start_tier.output_tokens_per_minute)} {}

rate_limiter::buckets& rate_limiter::refill(const std::string& key) {
    const auto now = steady::now();
    if (keys_.size() >= keys_max) keys_.clear();
    const auto full = [](std::uint64_t limit) { return static_cast<double>(limit); };
    auto [place, fresh] = keys_.try_emplace(key, buckets{.requests = full(nominal_.requests_per_minute),
                                                         .input = full(nominal_.input_tokens_per_minute),
                                                         .output = full(nominal_.output_tokens_per_minute),
                                                         .refilled = now});
    buckets& found = place->second;
    const double minutes = std::chrono::duration<double>(now - found.refilled).count() / 60.0;
    found.refilled = now;
    const auto rise = [&](double& level, std::uint64_t limit) {
        level = std::min(full(limit), level + minutes * full(limit));
    };
    rise(found.requests, nominal_.requests_per_minute);
    rise(found.input, nominal_.input_tokens_per_minute);
    rise(found.output, nominal_.output_tokens_per_minute);
    return found;
}

std::optional<rate_refusal> rate_limiter::admit(const std::string& key, std::uint64_t input_tokens) {
    const std::lock_guard lock(mutex_);
    buckets& have = refill(key);
    // A request larger than a whole bucket passes when the bucket is full; otherwise it could never pass.
    const double wanted = static_cast<double>(std::min(input_tokens, nominal_.input_tokens_per_minute));
    if (enforced_.requests_per_minute > 0 && have.requests < 1) {
        return refusal("requests", enforced_.requests_per_minute, 1 - have.requests);
    }
    if (enforced_.input_tokens_per_minute > 0 && have.input < wanted) {
        return refusal("input tokens", enforced_.input_tokens_per_minute, wanted - have.input);
    }
    if (enforced_.output_tokens_per_minute > 0 && have.output <= 0) {
        return refusal("output tokens", enforced_.output_tokens_per_minute, 1 - have.output);
    }
    have.requests = std::max(0.0, have.requests - 1);
    have.input = std::max(0.0, have.input - static_cast<double>(input_tokens));
    return {};
}

void rate_limiter::charge_output(const std::string& key, std::uint64_t tokens) {
    const std::lock_guard lock(mutex_);
    buckets& have = refill(key);
    have.output -= static_cast<double>(tokens);
    if (enforced_.output_tokens_per_minute == 0) have.output = std::max(0.0, have.output);
}

std::vector<std::pair<std::string, std::string>> rate_limiter::headers(const std::string& key) {
    buckets have;
    {
        const std::lock_guard lock(mutex_);
        have = refill(key);
    }
    std::vector<std::pair<std::string, std::string>> result;
    const auto now = wall_clock::now();
    const auto add = [&](std::string_view what, std::uint64_t limit, double level, bool rounded) {
        const double left = std::max(0.0, level);
        const double shown = rounded ? std::round(left / 1000) * 1000 : std::floor(left);
        const double seconds = (static_cast<double>(limit) - left) * 60.0 / static_cast<double>(limit);
        const auto reset = now + std::chrono::seconds(static_cast<long>(std::ceil(seconds)));
        result.emplace_back(fmt::format("anthropic-ratelimit-{}-limit", what), std::to_string(limit));
        result.emplace_back(fmt::format("anthropic-ratelimit-{}-remaining", what), fmt::format("{:.0f}", shown));
        result.emplace_back(fmt::format("anthropic-ratelimit-{}-reset", what), rfc3339_seconds(reset));
    };
    add("requests", nominal_.requests_per_minute, have.requests, false);
    add("input-tokens", nominal_.input_tokens_per_minute, have.input, true);
    add("output-tokens", nominal_.output_tokens_per_minute, have.output, true);
    add("tokens", nominal_.input_tokens_per_minute + nominal_.output_tokens_per_minute,
        std::max(0.0, have.input) + std::max(0.0, have.output), true);
    return result;
}

}  // namespace sim
