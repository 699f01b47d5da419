#include "governance/jwt_cache.hpp"

#include <algorithm>
#include <cstring>

namespace governance {
namespace {
constexpr std::size_t ways_max = 8;
}

token_cache::token_cache(std::size_t tokens_max)
    : ways_(std::min(tokens_max, ways_max)), sets_(ways_ == 0 ? 0 : tokens_max / ways_) {}

std::array<std::span<token_cache::entry>, 2> token_cache::sets_of(const digest& token) {
    std::array<std::uint64_t, 2> bits;
    std::memcpy(bits.data(), token.data(), sizeof bits);
    const auto set = [this](std::uint64_t number) { return std::span(&entries_[number % sets_ * ways_], ways_); };
    return {set(bits[0]), set(bits[1])};
}

token_cache::entry* token_cache::entry_of(const digest& token) {
    if (entries_.empty()) return nullptr;
    for (const auto set : sets_of(token)) {
        for (entry& candidate : set) {
            if (candidate.what && candidate.token == token) return &candidate;
        }
    }
    return nullptr;
}

std::shared_ptr<const verified_token> token_cache::find(const digest& token, time_ms now) {
    entry* const found = entry_of(token);
    if (!found) return nullptr;
    if (now >= found->what->expires_at_ms) {
        *found = {};
        return nullptr;
    }
    found->used_at = ++uses_;
    return found->what;
}

void token_cache::put(const digest& token, std::shared_ptr<const verified_token> what) {
    if (sets_ == 0) return;
    if (entries_.empty()) entries_.resize(capacity());
    entry* place = entry_of(token);
    if (!place) {
        // The emptier set, so that all fill alike; of two full ones the one with the oldest entry.
        const auto free = [](std::span<entry> set) { return std::ranges::count(set, 0u, &entry::used_at); };
        const auto oldest = [](std::span<entry> set) { return &*std::ranges::min_element(set, {}, &entry::used_at); };
        const auto [one, other] = sets_of(token);
        const bool first =
            free(one) != free(other) ? free(one) > free(other) : oldest(one)->used_at <= oldest(other)->used_at;
        place = oldest(first ? one : other);
    }
    *place = {token, ++uses_, std::move(what)};
}

void token_cache::clear() { entries_.clear(); }

}  // namespace governance
