// The prompt cache, one per workspace (here: per upstream key) and model. An entry is a hash of the whole prefix up to
// a cache_control mark; a later request with the same prefix reads it, whoever sent it under that key. Thread safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "connection.hpp"
#include "ledger.hpp"
#include "prompt.hpp"

namespace sim {

class prompt_cache {
public:
    static constexpr std::size_t entries_max = 1'000'000;
    static constexpr std::size_t lookback_segments = 20;  // how far before a mark an older entry is looked for

    // Prefixes shorter than `tokens_min` are silently not cached.
    explicit prompt_cache(std::uint64_t tokens_min) : tokens_min_(tokens_min) {}

    // Splits the prompt into input, cache writes and cache read; remembers what is written, renews what is read.
    token_usage account(const std::string& workspace, const prompt& asked) { return split(workspace, asked, true); }
    // The same split, changing nothing.
    token_usage estimate(const std::string& workspace, const prompt& asked) { return split(workspace, asked, false); }
    void clear();

private:
    struct entry {
        steady::time_point expires;
        std::chrono::minutes lifetime;
    };

    token_usage split(const std::string& workspace, const prompt& asked, bool remember);

    std::mutex mutex_;
    std::uint64_t tokens_min_;
    std::unordered_map<std::uint64_t, entry> entries_;  // by hash of workspace, model and prefix
};

}  // namespace sim
