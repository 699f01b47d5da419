#include "governance/jwt_cache.hpp"

#include <algorithm>
#include <cstring>

namespace governance {
namespace {
constexpr std::size_t ways_max = 8;
}

token_cache::token_cache(std::size_t tokens_max)
    : ways_(std::min(tokens_max, ways_max)), sets_(ways_ == 0 ? 0 : tokens_max / ways_) {}

token_cache::entry* token_cache::set_of(const digest& token) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, token.data(), sizeof bits);
    return &entries_[bits % sets_ * ways_];
}

std::shared_ptr<const verified_token> token_cache::find(const digest& token, time_ms now) {
    if (entries_.empty()) return nullptr;
    entry* const set = set_of(token);
    entry* const found = std::find_if(set, set + ways_, [&](const entry& e) { return e.what && e.token == token; });
    if (found == set + ways_) return nullptr;
    if (now >= found->what->expires_at_ms) {
        found->what.reset();
        return nullptr;
    }
    found->used_at = ++uses_;
    return found->what;
}

void token_cache::put(const digest& token, std::shared_ptr<const verified_token> what) {
    if (sets_ == 0) return;
    if (entries_.empty()) entries_.resize(capacity());
    entry* const set = set_of(token);
    entry* place = std::find_if(set, set + ways_, [&](const entry& e) { return e.what && e.token == token; });
    if (place == set + ways_) {
        place = std::min_element(set, set + ways_, [](const entry& one, const entry& other) {
            return (one.what ? one.used_at : 0) < (other.what ? other.used_at : 0);
        });
    }
    *place = {token, ++uses_, std::move(what)};
}

void token_cache::clear() { entries_.clear(); }

}  // namespace governance
