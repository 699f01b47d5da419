#include "upstream/quota.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/time_text.hpp"

namespace upstream {
namespace {

constexpr std::int64_t pause_without_hint_ms = 1'000;  // a 529 seldom says for how long
constexpr std::int64_t retry_after_max_s = 3'600;
constexpr int status_rate_limited = 429;
constexpr int status_overloaded = 529;

std::optional<std::int64_t> number_in(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
}

// What follows `anthropic-ratelimit-` in a header's name, or nothing.
std::string_view limit_name(std::string_view name) {
    constexpr std::string_view prefix = "anthropic-ratelimit-";
    if (name.size() <= prefix.size() || !http::equals_lower(name.substr(0, prefix.size()), prefix)) return {};
    return name.substr(prefix.size());
}

struct left {
    std::optional<std::int64_t> amount;
    std::int64_t reset_ms = 0;

    // Of several limits the one with the least left counts.
    void consider(const left& other) {
        if (other.amount && (!amount || *other.amount < *amount)) *this = other;
    }
};

}  // namespace

void quota::note(const http::response_head& head, std::int64_t now_ms) {
    left requests, input, output, all;
    std::optional<std::int64_t> retry_after;
    for (const auto& entry : head.headers) {
        if (http::equals_lower(entry.name, "retry-after")) retry_after = number_in(entry.value);
        const std::string_view name = limit_name(entry.name);
        if (name.empty()) continue;
        const std::size_t dash = name.rfind('-');
        if (dash == name.npos) continue;
        const std::string_view what = name.substr(0, dash), of = name.substr(dash + 1);
        left* const target = http::equals_lower(what, "requests")        ? &requests
                             : http::equals_lower(what, "input-tokens")  ? &input
                             : http::equals_lower(what, "output-tokens") ? &output
                             : http::equals_lower(what, "tokens")        ? &all
                                                                         : nullptr;
        if (!target) continue;
        if (http::equals_lower(of, "remaining")) target->amount = number_in(entry.value);
        if (http::equals_lower(of, "reset")) target->reset_ms = base::parse_time(entry.value).value_or(0);
    }
    if (requests.amount) {
        requests_reset_ms_.store(requests.reset_ms, std::memory_order_relaxed);
        requests_left_.store(*requests.amount, std::memory_order_relaxed);
    }
    all.consider(input);
    all.consider(output);
    if (all.amount) {
        tokens_reset_ms_.store(all.reset_ms, std::memory_order_relaxed);
        tokens_left_.store(*all.amount, std::memory_order_relaxed);
    }
    if (head.status != status_rate_limited && head.status != status_overloaded) return;
    (head.status == status_rate_limited ? rate_limited_ : overloaded_).fetch_add(1, std::memory_order_relaxed);
    const std::int64_t pause =
        retry_after ? std::min(*retry_after, retry_after_max_s) * 1'000 : pause_without_hint_ms;
    refused_until_ms_.store(now_ms + pause, std::memory_order_relaxed);
}

quota_view quota::view() const {
    return {.requests_left = requests_left_.load(std::memory_order_relaxed),
            .requests_reset_ms = requests_reset_ms_.load(std::memory_order_relaxed),
            .tokens_left = tokens_left_.load(std::memory_order_relaxed),
            .tokens_reset_ms = tokens_reset_ms_.load(std::memory_order_relaxed),
            .refused_until_ms = refused_until_ms_.load(std::memory_order_relaxed)};
}

}  // namespace upstream
