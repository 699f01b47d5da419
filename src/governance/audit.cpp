#include "governance/audit.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <charconv>
#include <optional>
#include <stdexcept>

#include "governance/key_secret.hpp"

namespace governance {
namespace {

constexpr std::uint32_t page_size = 500;

struct chain_head {
    std::int64_t seq = 0;
    std::string hash;
};

// As state keeps it: "17 2f3a...".
std::optional<chain_head> read_head(database::connection& on) {
    const auto rows = on.query("SELECT value FROM claude_proxy.state WHERE name = 'audit_head'");
    if (rows.empty()) return std::nullopt;
    const std::string& text = database::text_of(rows.front().at(0));
    chain_head head;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), head.seq);
    if (failed == std::errc() && end != text.data() + text.size()) head.hash.assign(end + 1, text.data() + text.size());
    return head;
}

audit_entry entry_of(const database::row& row) {
    return {.seq = database::integer_of(row.at(0)),
            .at = database::integer_of(row.at(1)),
            .actor = database::text_of(row.at(2)),
            .role = database::text_of(row.at(3)),
            .action = database::text_of(row.at(4)),
            .target = database::text_of(row.at(5)),
            .details = database::text_of(row.at(6)),
            .previous_hash = database::text_of(row.at(7)),
            .hash = database::text_of(row.at(8))};
}

// Why the entry does not follow the one before it; empty when it does.
std::string_view misfit(const audit_entry& entry, const chain_head& before) {
    if (entry.seq != before.seq + 1) return "entries before it are missing";
    if (entry.previous_hash != before.hash) return "it does not continue the entry before it";
    if (entry.hash != hash_of(entry)) return "its content was changed";
    return {};
}

}  // namespace

std::string hash_of(const audit_entry& entry) {
    std::string text;
    const auto add = [&text](std::string_view field) { text.append(fmt::format("{}:", field.size())).append(field); };
    add(std::to_string(entry.seq));
    add(std::to_string(entry.at));
    for (const std::string_view field :
         {std::string_view(entry.actor), std::string_view(entry.role), std::string_view(entry.action),
          std::string_view(entry.target), std::string_view(entry.details), std::string_view(entry.previous_hash)})
        add(field);
    digest made{};
    unsigned size = 0;
    if (EVP_Digest(text.data(), text.size(), made.data(), &size, EVP_sha256(), nullptr) != 1)
        throw std::runtime_error("SHA-256 failed");
    return hex_of(made);
}

void append_audit(database::connection& on, audit_entry entry) {
    // The head and not the last entry of the log: a log that was cut short must not grow together again.
    auto head = read_head(on);
    if (!head) head.emplace();
    entry.seq = head->seq + 1;
    entry.previous_hash = head->hash;
    entry.hash = hash_of(entry);
    try {
        on.execute(
            "INSERT INTO claude_proxy.audit (seq, at, actor, role, action, target, details, previous_hash, hash) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            {entry.seq, entry.at, entry.actor, entry.role, entry.action, entry.target, entry.details,
             entry.previous_hash, entry.hash});
    } catch (const database::failure& failed) {
        if (failed.kind != database::failure_kind::conflict) throw;
        throw database::failure(database::failure_kind::invalid,
                                fmt::format("somebody else wrote entry {} of the audit log", entry.seq));
    }
    on.execute(
        "INSERT INTO claude_proxy.state (name, value) VALUES ('audit_head', $1) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        {fmt::format("{} {}", entry.seq, entry.hash)});
}

std::vector<audit_entry> read_audit(database::connection& on, std::int64_t after_seq, std::uint32_t limit) {
    std::vector<audit_entry> entries;
    for (const auto& row : on.query("SELECT seq, at, actor, role, action, target, details, previous_hash, hash "
                                    "FROM claude_proxy.audit WHERE seq > $1 ORDER BY seq LIMIT $2",
                                    {after_seq, std::int64_t{limit}}))
        entries.push_back(entry_of(row));
    return entries;
}

audit_verdict verify_audit_chain(database::connection& on) {
    // The head first: entries that are written meanwhile lie behind it.
    const auto head = read_head(on);
    audit_verdict verdict;
    chain_head before;
    bool head_seen = !head || head->seq == 0;
    for (auto page = read_audit(on, 0, page_size); !page.empty(); page = read_audit(on, before.seq, page_size)) {
        for (auto& entry : page) {
            if (const auto why = misfit(entry, before); !why.empty()) {
                verdict.broken_at = entry.seq;
                verdict.why = why;
                return verdict;
            }
            before = {entry.seq, std::move(entry.hash)};
            ++verdict.entries;
            if (head && before.seq == head->seq) {
                head_seen = before.hash == head->hash;
                if (!head_seen) {
                    verdict.broken_at = before.seq;
                    verdict.why = "it is not the entry that was written";
                    return verdict;
                }
            }
        }
    }
    if (!head_seen) {
        verdict.broken_at = before.seq + 1;
        verdict.why = fmt::format("entries up to {} are missing at the end", head->seq);
    } else if (!head && verdict.entries > 0 && !read_head(on)) {
        verdict.broken_at = before.seq;
        verdict.why = "the record of the last entry is missing";
    }
    return verdict;
}

}  // namespace governance
