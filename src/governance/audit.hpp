// The audit log: every change an administrator made, chained by hashes, so that whoever alters, removes or moves an
// entry in the database gives it away. The head of the chain is kept apart in claude_proxy.state, which shows entries
// cut off the end. (Somebody who may write to the database and knows this file can forge a whole new chain: keep copies
// of hashes elsewhere to notice that.) Blocking; thread rule: the connection's.
#pragma once

#include <string>
#include <string_view>

#include "database/connection.hpp"
#include "governance/administration.hpp"

namespace governance {

// SHA-256 in hex over all fields but the hash itself, each with its length before it.
std::string hash_of(const audit_entry& entry);

// Gives the entry its place in the chain and writes it. The caller holds the row of the generation (change.hpp), so
// that no two entries follow the same one.
void append_audit(database::connection& on, audit_entry entry);

audit_verdict verify_audit_chain(database::connection& on);

std::vector<audit_entry> read_audit(database::connection& on, std::int64_t after_seq, std::uint32_t limit);

}  // namespace governance
