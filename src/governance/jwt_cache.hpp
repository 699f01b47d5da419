// Tokens that were verified a moment ago, by their SHA-256: the memory of token_verifier (jwt.hpp).
//
// A table of small sets: a digest decides two of them (with one, a full set would throw out tokens while others are
// half empty), and of their entries the one unused for longest gives way. Nothing is allocated but the table, once, and
// nothing is ever swept. The tokens themselves are not kept: what is in memory cannot be presented. Thread rule: one
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "governance/key_secret.hpp"
#include "governance/tenants.hpp"

namespace governance {

// Whom a genuine token names.
struct verified_token {
    std::string team;                 // id or name, as the token has it (directory::find_team)
    std::vector<std::string> scopes;  // labels of gateway/routes.cpp, or "*"; default_scopes when the token has none
    std::string subject;              // never empty
    time_ms expires_at_ms = 0;        // from then on the token is refused: its `exp` and the leeway
};

class token_cache {
public:
    // 0: remembers nothing.
    explicit token_cache(std::size_t tokens_max);

    // Null when it is not there or its time is over.
    std::shared_ptr<const verified_token> find(const digest& token, time_ms now);
    void put(const digest& token, std::shared_ptr<const verified_token> what);
    void clear();

    std::size_t capacity() const { return sets_ * ways_; }

private:
    struct entry {
        digest token{};
        std::uint64_t used_at = 0;  // a count of uses, not a time
        std::shared_ptr<const verified_token> what;
    };
    std::array<std::span<entry>, 2> sets_of(const digest& token);  // may be one and the same
    entry* entry_of(const digest& token);                          // null: there is none

    std::size_t ways_;
    std::size_t sets_;
    std::uint64_t uses_ = 0;
    std::vector<entry> entries_;  // empty until the first put: most installations see no JWT
};

}  // namespace governance
