// One change an administrator makes: a transaction that first moves the generation, so that changes come one after
// another over all replicas and each directory is renewed, and that leaves an entry in the audit log.
//
//   return make_change(on, by, now(), [&](change& made) -> base::result<team> {
//       ... read, check, write through made.on ...
//       made.record("team.create", id, details);
//       return created;
//   });
//
// A work that fails, or that recorded nothing because nothing had to change, leaves no trace.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "database/connection.hpp"
#include "governance/administration.hpp"

namespace governance {

class change {
public:
    change(database::connection& where, const actor& who, time_ms when);

    void record(std::string_view action, std::string_view target, std::string details);
    bool is_recorded() const { return recorded_; }
    void commit() { whole_.commit(); }

    database::connection& on;
    const actor& by;
    const time_ms at;

private:
    database::transaction whole_;
    bool recorded_ = false;
};

// Whether that role may change anything; keys of administrators need `admin` on top (may_touch).
base::result<void> may_change(const actor& by);
// Keys and teams of administrators are changed by administrators only.
base::result<void> may_touch(const actor& by, role kind);

// Busy databases are asked again; the work may run more than once and must start from what it reads through `on`.
inline constexpr int change_tries_max = 5;

template <class Work>
auto make_change(database::connection& on, const actor& by, time_ms at, Work work)
    -> decltype(work(std::declval<change&>())) {
    if (auto allowed = may_change(by); !allowed) return std::unexpected(allowed.error());
    for (int tries = 1;; ++tries) {
        try {
            change made(on, by, at);
            auto outcome = work(made);
            if (outcome && made.is_recorded()) made.commit();
            return outcome;
        } catch (const database::failure& failed) {
            // What the work checked before is true until the end of its transaction; this is for what it did not.
            if (failed.kind == database::failure_kind::conflict)
                return base::fail(base::errc::conflict, "something of that name was made at the same time");
            if (failed.kind != database::failure_kind::busy || tries == change_tries_max) throw;
        }
    }
}

}  // namespace governance
