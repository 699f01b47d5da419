// Token buckets per key: requests, input and output tokens a minute, continuous refill as upstream documents it.
// Without limits the headers still count, against nominal numbers, and nobody is refused. Thread safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "connection.hpp"
#include "text.hpp"

namespace sim {

struct rate_limits {
    std::uint64_t requests_per_minute = 0;  // 0: not enforced
    std::uint64_t input_tokens_per_minute = 0;
    std::uint64_t output_tokens_per_minute = 0;
};

struct rate_refusal {
    std::uint64_t retry_after = 1;  // seconds
    std::string message;
};

class rate_limiter {
public:
    explicit rate_limiter(rate_limits limits);

    // Takes one request and these input tokens, or says why not and takes nothing.
    std::optional<rate_refusal> admit(const std::string& key, std::uint64_t input_tokens);
    // Output counts when it has been produced; the bucket may go below zero.
    void charge_output(const std::string& key, std::uint64_t tokens);
    // The anthropic-ratelimit-* headers as they stand now.
    std::vector<std::pair<std::string, std::string>> headers(const std::string& key);

private:
    struct buckets {
        double requests = 0;
        double input = 0;
        double output = 0;
        steady::time_point refilled;
    };
    static constexpr std::size_t keys_max = 100'000;

    buckets& refill(const std::string& key);

    std::mutex mutex_;
    rate_limits enforced_;
    rate_limits nominal_;
    std::unordered_map<std::string, buckets> keys_;
};

}  // namespace sim
