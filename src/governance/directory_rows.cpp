#include "governance/directory_rows.hpp"

#include <charconv>

#include "governance/stored_rows.hpp"

namespace governance {
namespace {

constexpr time_ms remembered_ms = 30LL * 24 * 3'600'000;
constexpr int readings_max = 3;

// A limit or a hard budget that is not understood.
unread_rule unread(const database::value& where, const database::value& scope_id, const database::value& name) {
    return {scope_named(database::text_of(where)), database::text_of(scope_id), database::text_of(name)};
}

directory_rows read_all(database::connection& on, time_ms now) {
    directory_rows rows;
    rows.generation = read_generation(on);
    const time_ms since = now - remembered_ms;
    for (const auto& row :
         on.query("SELECT id, name, models, tags, '{}', created_at, updated_at, archived_at FROM claude_proxy.teams")) {
        if (auto read = team_of(row))
            rows.teams.push_back(std::move(*read));
        else
            rows.unreadable.push_back(database::text_of(row.at(0)));
    }
    // Both queries choose the same keys.
    for (const auto& row : on.query("SELECT id, team_id, name, owner, role, scopes, models, ip_ranges, tags, '{}', "
                                    "expires_at, created_at, updated_at, revoked_at FROM claude_proxy.keys "
                                    "WHERE (revoked_at IS NULL OR revoked_at > $1) "
                                    "AND (expires_at IS NULL OR expires_at > $1)",
                                    {since})) {
        if (auto read = key_of(row))
            rows.keys.push_back(std::move(*read));
        else
            rows.unreadable.push_back(database::text_of(row.at(0)));
    }
    const auto secrets = on.query(
        "SELECT s.digest, s.key_id, s.hint, s.created_at, s.expires_at FROM claude_proxy.key_secrets s "
        "JOIN claude_proxy.keys k ON k.id = s.key_id "
        "WHERE (s.expires_at IS NULL OR s.expires_at > $1) AND (k.revoked_at IS NULL OR k.revoked_at > $2) "
        "AND (k.expires_at IS NULL OR k.expires_at > $2)",
        {now, since});
    rows.secrets.reserve(secrets.size());
    for (const auto& row : secrets) rows.secrets.push_back(key_secret_of(row));
    for (const auto& row : on.query("SELECT scope, scope_id, model_class, requests_per_minute, "
                                    "input_tokens_per_minute, output_tokens_per_minute, concurrent_requests "
                                    "FROM claude_proxy.limits ORDER BY scope, scope_id, model_class")) {
        if (auto read = limit_of(row))
            rows.limits.push_back(std::move(*read));
        else
            rows.unread_rules.push_back(unread(row.at(0), row.at(1), row.at(1)));
    }
    for (const auto& row : on.query("SELECT id, scope, scope_id, period, limit_pico, hard, alerts, created_at, "
                                    "updated_at FROM claude_proxy.budgets ORDER BY id")) {
        if (auto read = budget_of(row))
            rows.budgets.push_back(std::move(*read));
        else if (database::integer_of(row.at(5)) == 0)
            rows.unreadable.push_back(database::text_of(row.at(0)));
        else
            rows.unread_rules.push_back(unread(row.at(1), row.at(2), row.at(0)));
    }
    for (const auto& each : rows.unread_rules) rows.unreadable.push_back(each.name);
    return rows;
}

}  // namespace

std::int64_t read_generation(database::connection& on) {
    const auto rows = on.query("SELECT value FROM claude_proxy.state WHERE name = 'generation'");
    std::int64_t generation = 0;
    if (rows.empty()) throw database::failure(database::failure_kind::invalid, "the database has no generation");
    const std::string& text = database::text_of(rows.front().at(0));
    std::from_chars(text.data(), text.data() + text.size(), generation);
    return generation;
}

directory_rows load_directory(database::connection& on, time_ms now) {
    // No transaction at first, so that nobody waits: every change moves the generation, and a reading between two equal
    // numbers saw one state. (On PostgreSQL the statements of one transaction may see different states anyway.)
    for (int reading = 0; reading < readings_max; ++reading) {
        directory_rows rows = read_all(on, now);
        if (read_generation(on) == rows.generation) return rows;
    }
    // Changes come faster than the directory can be read: hold them off for one reading.
    database::transaction held(on);
    if (on.kind() == database::engine::postgres)
        on.query("SELECT value FROM claude_proxy.state WHERE name = 'generation' FOR SHARE");
    directory_rows rows = read_all(on, now);
    held.commit();
    return rows;
}

}  // namespace governance
