#include "governance/directory.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "governance/stored_rows.hpp"

namespace governance {
namespace {


bool matches_any(const std::vector<std::string>& patterns, std::string_view model) {
    return patterns.empty() ||
           std::ranges::any_of(patterns, [&](const auto& pattern) { return matches_pattern(pattern, model); });
}

std::string united(const std::vector<std::string>& some, const std::vector<std::string>& others) {
    if (some.empty() && others.empty()) return "[]";
    std::vector<std::string> all(some);
    all.insert(all.end(), others.begin(), others.end());
    std::ranges::sort(all);
    const auto repeated = std::ranges::unique(all);
    all.erase(repeated.begin(), repeated.end());
    return json_of(all);
}

// What applies to one scope.
struct in_force {
    std::vector<limit_in_force> limits;
    std::vector<std::shared_ptr<budget_book>> budgets;
    std::string unread_rule;
};

// The live sides of every row that applies to somebody, by scope and id.
class rows_in_force {
public:
    rows_in_force(const directory_rows& rows, live_parts& live) {
        for (const auto& each : rows.teams) of_team_.try_emplace(each.id);
        for (const auto& each : rows.keys) of_key_.try_emplace(each.id);
        for (const auto& each : rows.limits) {
            in_force* const target = find(each.where, each.scope_id);
            if (auto part = target ? live.limiter_for(each) : nullptr)
                target->limits.push_back({each.where, each.model_class, std::move(part)});
        }
        for (const auto& each : rows.budgets) {
            in_force* const target = find(each.where, each.scope_id);
            if (auto part = target ? live.book_for(each) : nullptr) target->budgets.push_back(std::move(part));
        }
        for (const auto& each : rows.unread_rules) close(each);
    }

    // Root first, then the team, then the key: whoever refuses names the widest limit.
    void attach(caller& to) {
        add(to, root_);
        if (const auto* part = find(scope::team, to.team_id)) add(to, *part);
        if (const auto* part = find(scope::key, to.key_id)) add(to, *part);
    }

private:
    in_force* find(scope where, const std::string& id) {
        if (where == scope::root) return &root_;
        auto& parts = where == scope::team ? of_team_ : of_key_;
        const auto found = parts.find(id);
        return found == parts.end() ? nullptr : &found->second;
    }
    void close(const unread_rule& by) {
        in_force* target = by.where ? find(*by.where, by.scope_id) : find(scope::key, by.scope_id);
        if (!by.where && !target) target = find(scope::team, by.scope_id);
        if (!by.where && !target) target = &root_;
        if (target) target->unread_rule = by.name.empty() ? "of this installation" : by.name;
    }
    static void add(caller& to, const in_force& part) {
        if (!part.unread_rule.empty()) to.unread_rule = part.unread_rule;
        to.limits.insert(to.limits.end(), part.limits.begin(), part.limits.end());
        to.budgets.insert(to.budgets.end(), part.budgets.begin(), part.budgets.end());
    }

    in_force root_;
    std::unordered_map<std::string, in_force> of_team_;
    std::unordered_map<std::string, in_force> of_key_;
};

caller caller_of_team(const team& of) {
    caller made;
    made.team_id = of.id;
    made.team_name = of.name;
    made.team_models = of.models;
    made.tags = united(of.tags, {});
    return made;
}

// Nothing when one of its address ranges cannot be read: without it the key might be good from anywhere.
std::optional<caller> caller_of_key(const key& what, const team& of) {
    caller made;
    made.key_id = what.id;
    made.key_name = what.name;
    made.team_id = of.id;
    made.team_name = of.name;
    made.owner = what.owner;
    made.tags = united(of.tags, what.tags);
    made.every_scope = std::ranges::find(what.scopes, "*") != what.scopes.end();
    made.scopes = what.scopes;
    made.key_models = what.models;
    made.team_models = of.models;
    made.expires_at = what.expires_at;
    for (const auto& text : what.ip_ranges) {
        const auto range = parse_ip_range(text);
        if (!range) return std::nullopt;
        made.ip_ranges.push_back(*range);
    }
    return made;
}

}  // namespace

bool caller::may_use_route(std::string_view label) const {
    return every_scope || std::ranges::find(scopes, label) != scopes.end();
}

bool caller::may_use_model(std::string_view model) const {
    return matches_any(key_models, model) && matches_any(team_models, model);
}

bool caller::may_come_from(std::string_view address) const {
    if (ip_ranges.empty()) return true;
    // A link-local address names its interface: "fe80::1%eth0".
    const auto parsed = parse_ip_address(address.substr(0, address.find('%')));
    return parsed && std::ranges::any_of(ip_ranges, [&](const auto& range) { return range.contains(*parsed); });
}

std::size_t directory::digest_hash::operator()(const digest& what) const {
    std::size_t first = 0;  // bytes of an HMAC are as good a hash as any
    std::memcpy(&first, what.data(), sizeof first);
    return first;
}

bool directory::digest_equal::operator()(const digest& a, const digest& b) const {
    return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

directory::directory(directory_rows rows, std::span<const base::secret> static_keys, const key_hasher& hasher,
                     live_parts& live)
    : generation_(rows.generation) {
    rows_in_force parts(rows, live);
    std::unordered_map<std::string_view, const team*> teams;
    for (const auto& each : rows.teams) {
        teams.emplace(each.id, &each);
        if (each.archived_at) continue;
        caller anybody = caller_of_team(each);
        anybody.key_id = "jwt";
        anybody.scopes.assign(std::begin(default_scopes), std::end(default_scopes));
        parts.attach(anybody);
        const auto shared = std::make_shared<const caller>(std::move(anybody));
        by_team_.emplace(each.id, shared);
        by_team_.emplace(each.name, shared);
    }

    for (const auto& each : rows.keys) {
        const auto of = teams.find(each.team_id);
        if (of == teams.end()) continue;
        auto who = caller_of_key(each, *of->second);
        if (!who) continue;
        parts.attach(*who);
        by_key_.emplace(each.id, entry{.who = std::make_shared<const caller>(std::move(*who)),
                                       .as = each.kind,
                                       .key_id = each.id,
                                       .revoked = each.revoked_at.has_value(),
                                       .archived = of->second->archived_at.has_value(),
                                       .secret_expires_at = std::nullopt,
                                       .key_expires_at = each.expires_at});
    }
    by_digest_.reserve(rows.secrets.size() + static_keys.size());
    for (const auto& each : rows.secrets) {
        const auto of = by_key_.find(each.key_id);
        const auto stored = digest_of_hex(each.digest);
        if (of == by_key_.end() || !stored) continue;
        entry made = of->second;
        made.secret_expires_at = each.expires_at;
        by_digest_.emplace(*stored, std::move(made));
    }

    const auto stored_team = std::ranges::find(rows.teams, static_team, &team::name);
    team of_static;
    of_static.id = of_static.name = static_team;
    if (stored_team != rows.teams.end()) of_static = *stored_team;
    for (std::size_t i = 0; i < static_keys.size(); ++i) {
        caller who = caller_of_team(of_static);
        who.key_id = who.key_name = "static-" + std::to_string(i + 1);
        who.every_scope = true;
        parts.attach(who);
        entry made;
        made.key_id = who.key_id;
        made.archived = of_static.archived_at.has_value();
        made.who = std::make_shared<const caller>(std::move(who));
        by_key_.emplace(made.key_id, made);
        by_digest_.emplace(hasher.hash(static_keys[i].reveal()), std::move(made));
    }
}

found_key directory::find(const digest& presented, time_ms now) const {
    const auto found = by_digest_.find(presented);
    return found == by_digest_.end() ? found_key{} : finding_of(found->second, now);
}

found_key directory::find_key(std::string_view key_id, time_ms now) const {
    const auto found = by_key_.find(std::string(key_id));
    return found == by_key_.end() ? found_key{} : finding_of(found->second, now);
}

found_key directory::finding_of(const entry& it, time_ms now) {
    const auto is_over = [now](const std::optional<time_ms>& end) { return end && *end <= now; };
    if (it.revoked) return {.what = finding::revoked, .who = nullptr, .key_id = it.key_id};
    if (it.archived) return {.what = finding::archived, .who = nullptr, .key_id = it.key_id};
    if (is_over(it.secret_expires_at) || is_over(it.key_expires_at))
        return {.what = finding::expired, .who = nullptr, .key_id = it.key_id};
    const auto what = it.as == role::client ? finding::known : finding::administrator;
    return {.what = what, .who = it.who, .as = it.as, .key_id = it.key_id};
}

std::shared_ptr<const caller> directory::find_team(std::string_view id_or_name) const {
    const auto found = by_team_.find(std::string(id_or_name));
    return found == by_team_.end() ? nullptr : found->second;
}

}  // namespace governance
