// The small limit of POST /v1/messages/count_tokens: so many a minute for each key, apart from every other limit, and
// free of charge. Thread rule: any thread; a lock is held for moments only.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "governance/rate_limit.hpp"

namespace gateway {

class count_tokens_limit {
public:
    static constexpr std::size_t callers_max = 100'000;  // then all are forgotten, and begin with a full minute

    // 0: no limit.
    explicit count_tokens_limit(std::int64_t per_minute) : per_minute_(per_minute) {}

    // 0: may pass; else microseconds until it may.
    std::int64_t take(const std::string& caller, std::int64_t now_us) {
        if (per_minute_ == 0) return 0;
        const std::lock_guard lock(mutex_);
        if (buckets_.size() >= callers_max) buckets_.clear();
        auto& bucket = buckets_[caller];
        if (!bucket) {
            bucket = std::make_unique<governance::token_bucket>();
            bucket->set_rate(per_minute_);
        }
        return bucket->take(1, now_us);
    }
    std::int64_t per_minute() const { return per_minute_; }

private:
    const std::int64_t per_minute_;
    std::mutex mutex_;
    std::unordered_map<std::string, std::unique_ptr<governance::token_bucket>> buckets_;
};

}  // namespace gateway
