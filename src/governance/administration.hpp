// Everything an administrator can change or look up, for the admin API and the command line alike: one function each,
// which checks its input, changes the database in one transaction, adds the entry of the audit log and moves the
// generation on, so that replicas take the change over (directory.hpp).
//
// Outcomes that depend on the input are values: base::errc::invalid_argument (a sentence that names the field),
// not_found, conflict (the name is taken). A missing database is a database::failure. Blocking: never on a reactor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "database/connection.hpp"
#include "governance/key_secret.hpp"
#include "governance/tenants.hpp"
#include "governance/webhook_secret.hpp"

namespace governance {

// Who asks, as the audit log names it: "key_..." of an admin key, "admin" for CLAUDE_PROXY_ADMIN_KEY, "cli:USER".
struct actor {
    std::string id;
    role as = role::admin;
};

// Absent members stay as they are (update) or take their defaults (create).
struct team_draft {
    std::optional<std::string> name;
    std::optional<std::vector<std::string>> models;
    std::optional<std::vector<std::string>> tags;
    std::optional<std::string> metadata;
};

struct key_draft {
    std::optional<std::string> name;
    std::optional<std::string> team;  // id or name; a key never changes its team
    std::optional<std::string> owner;
    std::optional<role> kind;
    std::optional<std::vector<std::string>> scopes;
    std::optional<std::vector<std::string>> models;
    std::optional<std::vector<std::string>> ip_ranges;
    std::optional<std::vector<std::string>> tags;
    std::optional<std::string> metadata;
    std::optional<time_ms> expires_at;  // 0: never
};

struct new_key {
    key what;
    base::secret secret;  // shown once
};

struct key_filter {
    std::optional<std::string> team;  // id or name
    bool with_revoked = false;
    std::string after_id;       // ids are listed in order; for the next page
    std::uint32_t limit = 100;  // 1 to 1000
};

struct audit_entry {
    std::int64_t seq = 0;
    time_ms at = 0;
    std::string actor;
    std::string role;
    std::string action;   // "key.create", "budget.set", ...
    std::string target;   // id of what was changed
    std::string details;  // JSON: what was asked, before and after; never a secret
    std::string previous_hash;
    std::string hash;
};

struct audit_verdict {
    std::uint64_t entries = 0;
    std::optional<std::int64_t> broken_at;  // seq of the first entry that does not fit; nothing: the chain is whole
    std::string why;
};

class administration {
public:
    // `now` is a clock in milliseconds since 1970, so that tests choose the time.
    administration(database::connection& on, const key_hasher& hasher, time_ms (*now)());

    base::result<team> create_team(const actor& by, const team_draft& wanted);
    base::result<team> update_team(const actor& by, std::string_view id_or_name, const team_draft& wanted);
    base::result<team> archive_team(const actor& by, std::string_view id_or_name);
    base::result<team> find_team(std::string_view id_or_name);
    std::vector<team> list_teams(bool with_archived = false);

    // A client key whose team does not exist by that name makes it (so `keys create --team search` is one step).
    base::result<new_key> create_key(const actor& by, const key_draft& wanted);
    base::result<key> update_key(const actor& by, std::string_view id, const key_draft& wanted);
    // A second secret; the ones before it end after `overlap_ms` (0: at once).
    base::result<new_key> rotate_key(const actor& by, std::string_view id, time_ms overlap_ms);
    base::result<key> revoke_key(const actor& by, std::string_view id);
    base::result<key> find_key(std::string_view id);
    std::vector<key> list_keys(const key_filter& which);
    std::vector<key_secret> secrets_of(std::string_view key_id);

    // Sets, changes or (all amounts 0) removes. `scope_id`: a team's id or name, or a key's id; empty for root.
    base::result<limit> set_limit(const actor& by, const limit& wanted);
    std::vector<limit> list_limits();

    // Sets or changes the budget of that scope and period.
    base::result<budget> set_budget(const actor& by, const budget& wanted);
    base::result<budget> remove_budget(const actor& by, std::string_view id);
    std::vector<budget> list_budgets();
    // What its scope has spent in the period that holds the present, as far as the ledger's rows have arrived.
    base::pico_dollars spent_of(const budget& what);

    // What signs the webhooks of a team's jobs (webhook_secret.hpp); role admin, and both leave an entry in the audit
    // log. Rotated: the one before it signs, too, for `overlap_ms`.
    base::result<webhook_secrets> show_webhook_secret(const actor& by, std::string_view team_id_or_name);
    base::result<webhook_secrets> rotate_webhook_secret(const actor& by, std::string_view team_id_or_name,
                                                        time_ms overlap_ms);

    std::vector<audit_entry> audit_after(std::int64_t seq, std::uint32_t limit);
    audit_verdict verify_audit();

private:
    database::connection& on_;
    const key_hasher& hasher_;
    time_ms (*now_)();
};

// "50/month", "$2.50/day", "100" (total): amount and period of a budget as the command line takes them.
struct budget_amount {
    base::pico_dollars limit_pico = 0;
    period every = period::total;
};
base::result<budget_amount> parse_budget(std::string_view text);

}  // namespace governance
