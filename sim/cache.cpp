#include "cache.hpp"

#include <vector>

namespace sim {

token_usage prompt_cache::split(const std::string& workspace, const prompt& asked, bool remember) {
    const auto& segments = asked.segments;
    // prefix[i] and length[i] describe the prompt up to and including segment i - 1.
    std::vector<std::uint64_t> prefix(segments.size() + 1);
    std::vector<std::uint64_t> length(segments.size() + 1);
    prefix[0] = hash_bytes(asked.model, hash_bytes(workspace));
    for (std::size_t at = 0; at < segments.size(); ++at) {
        prefix[at + 1] = mix(prefix[at] ^ segments[at].hash);
        length[at + 1] = length[at] + segments[at].tokens;
    }
    const auto marked = [&](std::size_t end) {
        return segments[end - 1].breakpoint != cache_lifetime::none && length[end] >= tokens_min_;
    };

    token_usage usage;
    const std::lock_guard lock(mutex_);
    const auto now = steady::now();

    // The longest prefix that is in the cache, looked for from the last mark backwards.
    std::size_t hit = 0;
    for (std::size_t end = segments.size(); end > 0 && hit == 0; --end) {
        if (!marked(end)) continue;
        for (std::size_t back = 0; back < lookback_segments && back < end; ++back) {
            const auto found = entries_.find(prefix[end - back]);
            if (found == entries_.end() || found->second.expires <= now) continue;
            if (remember) found->second.expires = now + found->second.lifetime;
            hit = end - back;
            break;
        }
    }
    usage.cache_read = length[hit];

    std::size_t covered = hit;
    for (std::size_t end = hit + 1; end <= segments.size(); ++end) {
        if (!marked(end)) continue;
        const bool long_lived = segments[end - 1].breakpoint == cache_lifetime::one_hour;
        (long_lived ? usage.cache_write_1h : usage.cache_write_5m) += length[end] - length[covered];
        covered = end;
        if (!remember) continue;
        if (entries_.size() >= entries_max) entries_.clear();
        const std::chrono::minutes lifetime(long_lived ? 60 : 5);
        entries_[prefix[end]] = {.expires = now + lifetime, .lifetime = lifetime};
    }
    usage.input = length[segments.size()] - length[covered];
    return usage;
}

void prompt_cache::clear() {
    const std::lock_guard lock(mutex_);
    entries_.clear();
}

}  // namespace sim
