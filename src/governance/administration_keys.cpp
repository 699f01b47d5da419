// Keys: made, changed, rotated, revoked.
#include <fmt/format.h>

#include <algorithm>

#include "governance/administration.hpp"
#include "governance/change.hpp"
#include "governance/stored_rows.hpp"
#include "governance/stored_search.hpp"
#include "governance/team_changes.hpp"
#include "governance/validation.hpp"

namespace governance {
namespace {

constexpr std::size_t name_bytes_max = 128;
constexpr std::size_t owner_bytes_max = 256;
constexpr std::uint32_t key_page_max = 1000;
constexpr time_ms overlap_max = 90LL * 24 * 3'600'000;  // an old secret that lives longer was not rotated
constexpr std::string_view administrators = "administrators";

std::unexpected<base::error> no_such_key() { return base::fail(base::errc::not_found, "there is no key of that id"); }

verdict check(const key_draft& wanted, role kind, time_ms now) {
    verdict checked;
    if (wanted.scopes && kind == role::client) checked = check_scopes(*wanted.scopes);
    if (wanted.scopes && kind != role::client && !wanted.scopes->empty())
        checked = base::fail(base::errc::invalid_argument,
                             "scopes: leave them out, a key of an administrator is for the admin API only");
    if (checked && wanted.name) checked = check_text("name", *wanted.name, name_bytes_max);
    if (checked && wanted.name && wanted.name->empty())
        checked = base::fail(base::errc::invalid_argument, "name: give one, so that the key is recognized in lists");
    if (checked && wanted.owner) checked = check_text("owner", *wanted.owner, owner_bytes_max);
    if (checked && wanted.models) checked = check_patterns("models", *wanted.models);
    if (checked && wanted.ip_ranges) checked = check_ip_ranges(*wanted.ip_ranges);
    if (checked && wanted.tags) checked = check_tags(*wanted.tags);
    if (checked && wanted.metadata) checked = check_metadata(*wanted.metadata);
    if (checked && wanted.expires_at.value_or(0) != 0) checked = check_expiry(*wanted.expires_at, now);
    return checked;
}

void apply(const key_draft& wanted, key& to) {
    if (wanted.name) to.name = *wanted.name;
    if (wanted.owner) to.owner = *wanted.owner;
    if (wanted.scopes) to.scopes = *wanted.scopes;
    if (wanted.models) to.models = *wanted.models;
    if (wanted.ip_ranges) to.ip_ranges = *wanted.ip_ranges;
    if (wanted.tags) to.tags = *wanted.tags;
    if (wanted.metadata) to.metadata = *wanted.metadata;
    if (wanted.expires_at) to.expires_at = *wanted.expires_at == 0 ? std::nullopt : std::optional(*wanted.expires_at);
}

// The key of that id, if the one who asks may change it and it is still in use.
base::result<key> key_to_change(change& made, std::string_view id) {
    auto found = search_key(made.on, id);
    if (!found) return no_such_key();
    if (auto allowed = may_touch(made.by, found->kind); !allowed) return std::unexpected(allowed.error());
    if (found->revoked_at) return base::fail(base::errc::conflict, "the key is revoked: make another one");
    return std::move(*found);
}

base::result<team> team_for_key(change& made, std::string_view id_or_name) {
    auto found = search_team(made.on, id_or_name);
    if (found && found->archived_at)
        return base::fail(base::errc::conflict, "team: it is archived, its keys would be refused");
    if (found) return std::move(*found);
    if (!is_team_name(id_or_name)) {
        if (is_id("team_", id_or_name)) return base::fail(base::errc::not_found, "team: there is none of that id");
        return base::fail(base::errc::invalid_argument, "team: write 1 to 64 letters, digits, '-', '_' or '.'");
    }
    team created;
    created.name = id_or_name;
    add_team(made, created);
    return created;
}

base::secret add_secret(change& made, const key_hasher& hasher, const std::string& key_id) {
    base::secret secret = new_secret();
    made.on.execute("INSERT INTO claude_proxy.key_secrets (digest, key_id, hint, created_at) VALUES ($1, $2, $3, $4)",
                    {hex_of(hasher.hash(secret.reveal())), key_id, hint_of(secret.reveal()), made.at});
    return secret;
}

}  // namespace

base::result<new_key> administration::create_key(const actor& by, const key_draft& wanted) {
    const time_ms now = now_();
    const role kind = wanted.kind.value_or(role::client);
    if (!wanted.name) return base::fail(base::errc::invalid_argument, "name: a key needs one");
    if (!wanted.team && kind == role::client)
        return base::fail(base::errc::invalid_argument, "team: name the team that the key belongs to");
    if (auto checked = check(wanted, kind, now); !checked) return std::unexpected(checked.error());
    if (auto allowed = may_touch(by, kind); !allowed) return std::unexpected(allowed.error());
    return make_change(on_, by, now, [&](change& made) -> base::result<new_key> {
        const auto of = team_for_key(made, wanted.team ? std::string_view(*wanted.team) : administrators);
        if (!of) return std::unexpected(of.error());
        key created;
        created.id = new_id("key_");
        created.team_id = of->id;
        created.kind = kind;
        if (kind == role::client) created.scopes.assign(std::begin(default_scopes), std::end(default_scopes));
        apply(wanted, created);
        created.created_at = created.updated_at = made.at;
        made.on.execute(
            "INSERT INTO claude_proxy.keys (id, team_id, name, owner, role, scopes, models, ip_ranges, "
            "tags, metadata, expires_at, created_at, updated_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            {created.id, created.team_id, created.name, created.owner, std::string(name_of(created.kind)),
             json_of(created.scopes), json_of(created.models), json_of(created.ip_ranges), json_of(created.tags),
             created.metadata, value_of(created.expires_at), created.created_at, created.updated_at});
        base::secret secret = add_secret(made, hasher_, created.id);
        made.record("key.create", created.id, details_of({}, description_of(created)));
        return new_key{std::move(created), std::move(secret)};
    });
}

base::result<key> administration::update_key(const actor& by, std::string_view id, const key_draft& wanted) {
    return make_change(on_, by, now_(), [&](change& made) -> base::result<key> {
        const auto found = key_to_change(made, id);
        if (!found) return found;
        if (wanted.kind.value_or(found->kind) != found->kind)
            return base::fail(base::errc::invalid_argument, "role: a key keeps its role, make another key");
        if (wanted.team) {
            const auto of = search_team(made.on, *wanted.team);
            if (!of || of->id != found->team_id)
                return base::fail(base::errc::invalid_argument, "team: a key never changes its team, make another key");
        }
        if (auto checked = check(wanted, found->kind, made.at); !checked) return std::unexpected(checked.error());
        key changed = *found;
        apply(wanted, changed);
        const std::string before = description_of(*found), after = description_of(changed);
        if (before == after) return changed;
        changed.updated_at = made.at;
        made.on.execute(
            "UPDATE claude_proxy.keys SET name = $2, owner = $3, scopes = $4, models = $5, ip_ranges = $6, "
            "tags = $7, metadata = $8, expires_at = $9, updated_at = $10 WHERE id = $1",
            {changed.id, changed.name, changed.owner, json_of(changed.scopes), json_of(changed.models),
             json_of(changed.ip_ranges), json_of(changed.tags), changed.metadata, value_of(changed.expires_at),
             changed.updated_at});
        made.record("key.update", changed.id, details_of(before, after));
        return changed;
    });
}

base::result<new_key> administration::rotate_key(const actor& by, std::string_view id, time_ms overlap_ms) {
    if (overlap_ms < 0 || overlap_ms > overlap_max)
        return base::fail(base::errc::invalid_argument,
                          fmt::format("overlap: give 0 to {} milliseconds, which are 90 days", overlap_max));
    return make_change(on_, by, now_(), [&](change& made) -> base::result<new_key> {
        auto found = key_to_change(made, id);
        if (!found) return std::unexpected(found.error());
        // The secret in use has no end yet and gets one. What an earlier rotation left ends now, so that never more
        // than two are valid.
        made.on.execute("UPDATE claude_proxy.key_secrets SET expires_at = $2 WHERE key_id = $1 AND expires_at > $2",
                        {found->id, made.at});
        made.on.execute("UPDATE claude_proxy.key_secrets SET expires_at = $2 WHERE key_id = $1 AND expires_at IS NULL",
                        {found->id, made.at + overlap_ms});
        base::secret secret = add_secret(made, hasher_, found->id);
        found->updated_at = made.at;
        made.on.execute("UPDATE claude_proxy.keys SET updated_at = $2 WHERE id = $1", {found->id, made.at});
        made.record("key.rotate", found->id,
                    fmt::format(R"({{"overlap_ms":{},"hint":"{}"}})", overlap_ms, hint_of(secret.reveal())));
        return new_key{std::move(*found), std::move(secret)};
    });
}

base::result<key> administration::revoke_key(const actor& by, std::string_view id) {
    return make_change(on_, by, now_(), [&](change& made) -> base::result<key> {
        const auto found = search_key(made.on, id);
        if (!found) return no_such_key();
        if (auto allowed = may_touch(by, found->kind); !allowed) return std::unexpected(allowed.error());
        if (found->revoked_at) return *found;
        key changed = *found;
        changed.revoked_at = changed.updated_at = made.at;
        made.on.execute("UPDATE claude_proxy.keys SET revoked_at = $2, updated_at = $2 WHERE id = $1",
                        {changed.id, made.at});
        made.record("key.revoke", changed.id, details_of(description_of(*found), description_of(changed)));
        return changed;
    });
}

base::result<key> administration::find_key(std::string_view id) {
    auto found = search_key(on_, id);
    if (!found) return no_such_key();
    return std::move(*found);
}

std::vector<key> administration::list_keys(const key_filter& which) {
    if (!which.after_id.empty() && !is_id("key_", which.after_id)) return {};
    std::string sql = fmt::format("SELECT {} FROM claude_proxy.keys WHERE id > $1", key_columns);
    const std::int64_t limit = std::clamp<std::uint32_t>(which.limit, 1, key_page_max);
    std::vector<database::value> parameters{which.after_id, limit};
    if (!which.with_revoked) sql += " AND revoked_at IS NULL";
    if (which.team) {
        auto of = search_team(on_, *which.team);
        if (!of) return {};
        parameters.emplace_back(std::move(of->id));
        sql += " AND team_id = $3";
    }
    sql += " ORDER BY id LIMIT $2";
    std::vector<key> keys;
    for (const auto& row : on_.query(sql, parameters)) {
        auto read = key_of(row);
        if (!read) throw_unreadable("keys", database::text_of(row.at(0)));
        keys.push_back(std::move(*read));
    }
    return keys;
}

std::vector<key_secret> administration::secrets_of(std::string_view key_id) {
    if (!is_id("key_", key_id)) return {};
    std::vector<key_secret> secrets;
    for (const auto& row : on_.query(fmt::format("SELECT {} FROM claude_proxy.key_secrets WHERE key_id = $1 "
                                                 "ORDER BY created_at, digest",
                                                 secret_columns),
                                     {std::string(key_id)}))
        secrets.push_back(key_secret_of(row));
    return secrets;
}

}  // namespace governance
