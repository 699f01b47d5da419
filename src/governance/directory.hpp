// Who may ask, and what: an immutable snapshot of teams, keys, limits and budgets, looked up in memory on every
// request.
//
// `directory_keeper` (directory_keeper.hpp) makes a new one when the database's generation has moved and hands it to
// every reactor. Live state (limiters, budgets) outlives snapshots: it is attached by id. Thread rule: immutable; any
// thread may read one that it holds.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "governance/ip_range.hpp"
#include "governance/key_secret.hpp"
#include "governance/tenants.hpp"

namespace governance {

class budget_book;  // budget.hpp: the live side of one budget
class limiter;      // rate_limit.hpp: the live side of one limit

// A limiter that applies to the requests of some caller, for models that match the class.
struct limit_in_force {
    scope where = scope::root;
    std::string model_class;  // empty: all
    std::shared_ptr<limiter> live;
};

// Everything the request path needs to know of one caller. Made once a snapshot.
struct caller {
    std::string key_id;  // "key_...", "static-1", or "jwt" with a subject
    std::string key_name;
    std::string team_id;
    std::string team_name;
    std::string subject;  // of a JWT; else empty
    std::string owner;
    std::string tags = "[]";              // JSON list of the team's and the key's tags, sorted, each once
    bool every_scope = false;             // "*"
    std::vector<std::string> scopes;      // labels of gateway/routes.cpp
    std::vector<std::string> key_models;  // patterns; empty: all
    std::vector<std::string> team_models;
    std::vector<ip_range> ip_ranges;  // empty: any
    std::optional<time_ms> expires_at;
    std::vector<limit_in_force> limits;
    std::vector<std::shared_ptr<budget_book>> budgets;  // root, team and key; hard and soft
    std::string unread_rule;  // not empty: a limit or budget applies that is of a later release; nothing is let through

    bool may_use_route(std::string_view label) const;
    bool may_use_model(std::string_view model) const;
    bool may_come_from(std::string_view address) const;  // textual address of the peer
};

// What a look-up found.
enum class finding : std::uint8_t { unknown, known, expired, revoked, archived, administrator };

struct found_key {
    finding what = finding::unknown;
    std::shared_ptr<const caller> who;  // for `known` and `administrator`
    role as = role::client;             // for `administrator`
    std::string_view key_id{};          // for all but unknown; lives as long as the directory
};

// A limit or a hard budget of a later release, which cannot be enforced here. Whom it applies to is refused: the team
// or the key of that id; everybody when it is neither.
struct unread_rule {
    std::optional<scope> where;  // nothing: a scope of that release
    std::string scope_id;
    std::string name;  // for the log and the refusal
};

// The rows a snapshot is made of (directory_rows.hpp).
struct directory_rows {
    std::int64_t generation = 0;
    std::vector<team> teams;
    std::vector<key> keys;
    std::vector<key_secret> secrets;
    std::vector<limit> limits;
    std::vector<budget> budgets;
    // Ids of rows that this binary cannot understand: they are left out, and keys of theirs are unknown.
    std::vector<std::string> unreadable;
    std::vector<unread_rule> unread_rules;
};

// The live sides, kept over snapshots by whoever owns them (directory_keeper).
class live_parts {
public:
    virtual ~live_parts() = default;
    // Asked once a snapshot for each row that applies to somebody. nullptr: nothing is enforced.
    virtual std::shared_ptr<limiter> limiter_for(const limit& what) = 0;
    virtual std::shared_ptr<budget_book> book_for(const budget& what) = 0;
};

class directory {
public:
    // `static_keys`: CLAUDE_PROXY_API_KEYS, callers "static-1"... of team "default" (the stored team of that name when
    // there is one, with its limits and budgets), every scope.
    directory(directory_rows rows, std::span<const base::secret> static_keys, const key_hasher& hasher,
              live_parts& live);

    std::int64_t generation() const { return generation_; }

    // One hash look-up by digest; the time it takes tells nothing of other keys. Expiry is compared with `now`.
    found_key find(const digest& presented, time_ms now) const;

    // The same by the key's id, for work that the key has left with us (a durable job). The secret it was presented
    // with may have been rotated away since: only the key's own end counts.
    found_key find_key(std::string_view key_id, time_ms now) const;

    // The caller that stands for everybody with a valid JWT of that team; nullptr for an unknown or archived team.
    // The gateway copies it and sets subject and scopes (jwt.hpp).
    std::shared_ptr<const caller> find_team(std::string_view id_or_name) const;

    std::size_t keys() const { return by_digest_.size(); }

private:
    struct digest_hash {
        std::size_t operator()(const digest& what) const;
    };
    struct digest_equal {
        bool operator()(const digest& a, const digest& b) const;  // in constant time
    };
    struct entry {
        std::shared_ptr<const caller> who;
        role as = role::client;
        std::string key_id;
        bool revoked = false;
        bool archived = false;
        std::optional<time_ms> secret_expires_at;
        std::optional<time_ms> key_expires_at;
    };

    static found_key finding_of(const entry& it, time_ms now);

    std::int64_t generation_ = 0;
    std::unordered_map<digest, entry, digest_hash, digest_equal> by_digest_;
    std::unordered_map<std::string, entry> by_key_;                           // by id; static keys as "static-1"
    std::unordered_map<std::string, std::shared_ptr<const caller>> by_team_;  // by id and by name
};

}  // namespace governance
