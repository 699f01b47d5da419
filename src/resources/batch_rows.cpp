#include "resources/batch_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "governance/job_holds.hpp"

namespace resources {
namespace {

using database::integer_of;
using database::text_of;

// The time of the next look at what is being made here: there is none while its owner lives.
constexpr time_ms never = std::numeric_limits<time_ms>::max() / 2;

constexpr std::array<std::string_view, 4> phases = {"creating", "open", "settled", "failed"};

constexpr std::string_view columns =
    "id, upstream_id, state, team_id, key_id, subject, tags, user_agent, digest, requests, upstream_status, "
    "created_at, updated_at, holds, bound_pico";

batch_entry entry_of(const database::row& row) {
    batch_entry made;
    made.id = text_of(row.at(0));
    if (!database::is_null(row.at(1))) made.upstream_id = text_of(row.at(1));
    const auto* const phase = std::ranges::find(phases, std::string_view(text_of(row.at(2))));
    made.phase = phase == phases.end() ? batch_phase::failed : static_cast<batch_phase>(phase - phases.begin());
    made.team_id = text_of(row.at(3));
    made.key_id = text_of(row.at(4));
    made.subject = text_of(row.at(5));
    made.tags = text_of(row.at(6));
    made.user_agent = text_of(row.at(7));
    made.digest = text_of(row.at(8));
    made.requests = static_cast<std::uint64_t>(integer_of(row.at(9)));
    made.upstream_status = text_of(row.at(10));
    made.created_at = integer_of(row.at(11));
    made.updated_at = integer_of(row.at(12));
    made.holds = governance::read_holds(text_of(row.at(13)));
    made.bound = integer_of(row.at(14));
    return made;
}

// What a batch holds, with its row locked until the end of the transaction. Nothing: it is over.
std::optional<std::vector<governance::budget_hold>> lock_holds(database::connection& on, std::string_view id) {
    const auto rows = on.query(
        "UPDATE claude_proxy.batches SET updated_at = updated_at WHERE id = $1 AND state IN ('creating', 'open')"
        " RETURNING holds",
        {std::string(id)});
    if (rows.empty()) return std::nullopt;
    return governance::read_holds(text_of(rows[0][0]));
}

void end_batch(database::connection& on, std::string_view id, batch_phase how, time_ms now) {
    database::transaction together(on);
    const auto holds = lock_holds(on, id);
    if (!holds) return;
    governance::hold_moves moves;
    moves.give_back(*holds);
    if (!moves.empty()) moves.write(on, "", now);
    on.execute(
        "UPDATE claude_proxy.batches SET state = $2, holds = '[]', owner = '', owned_until = 0, updated_at = $3,"
        " ended_at = $3 WHERE id = $1",
        {std::string(id), std::string(phases[static_cast<std::size_t>(how)]), now});
    together.commit();
}

}  // namespace

void insert_batch(database::connection& on, const batch_entry& what, std::string_view replica, time_ms now,
                  time_ms owned_until) {
    database::transaction together(on);
    const auto inserted = on.query(
        "INSERT INTO claude_proxy.batches (id, origin, state, team_id, key_id, subject, tags, user_agent, digest,"
        " requests, holds, owner, owned_until, next_look_at, created_at, updated_at, bound_pico)"
        " VALUES ($1, 'caller', 'creating', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14)"
        " ON CONFLICT (id) DO NOTHING RETURNING id",
        {what.id, what.team_id, what.key_id, what.subject, what.tags, what.user_agent, what.digest,
         static_cast<std::int64_t>(what.requests), governance::holds_text(what.holds), std::string(replica),
         owned_until, never, what.created_at, what.bound});
    if (inserted.empty()) return;
    governance::hold_moves moves;
    moves.set_aside(what.holds);
    if (!moves.empty()) moves.write(on, replica, now);
    together.commit();
}

bool batch_exists(database::connection& on, std::string_view id) {
    return !on.query("SELECT id FROM claude_proxy.batches WHERE id = $1", {std::string(id)}).empty();
}

void open_batch(database::connection& on, std::string_view id, std::string_view upstream_id, time_ms look_at,
                time_ms now) {
    database::transaction together(on);
    const auto rows = on.query(
        "UPDATE claude_proxy.batches SET state = 'open', upstream_id = $2, owner = '', owned_until = 0,"
        " next_look_at = $3, updated_at = $4 WHERE id = $1 AND state IN ('creating', 'failed')"
        " AND upstream_id IS NULL RETURNING team_id, key_id",
        {std::string(id), std::string(upstream_id), look_at, now});
    if (rows.empty()) return;
    on.execute(
        "INSERT INTO claude_proxy.resources (id, kind, team_id, key_id, created_at) VALUES ($1, 'batch', $2, $3, $4)"
        " ON CONFLICT (id) DO NOTHING",
        {std::string(upstream_id), rows[0][0], rows[0][1], now});
    together.commit();
}

void fail_batch(database::connection& on, std::string_view id, time_ms now) {
    end_batch(on, id, batch_phase::failed, now);
}

void finish_batch(database::connection& on, std::string_view id, time_ms now) {
    end_batch(on, id, batch_phase::settled, now);
}

void doubt_batch(database::connection& on, std::string_view id, time_ms look_at, time_ms now) {
    on.execute(
        "UPDATE claude_proxy.batches SET owner = '', owned_until = 0, next_look_at = $2, updated_at = $3"
        " WHERE id = $1 AND state = 'creating'",
        {std::string(id), look_at, now});
}

std::optional<batch_entry> find_batch(database::connection& on, std::string_view upstream_id) {
    const auto rows = on.query(fmt::format("SELECT {} FROM claude_proxy.batches WHERE upstream_id = $1", columns),
                               {std::string(upstream_id)});
    if (rows.empty()) return std::nullopt;
    return entry_of(rows[0]);
}

std::vector<std::string> unknown_batches(database::connection& on, std::span<const std::string> upstream_ids) {
    std::vector<std::string> unknown;
    for (const auto& id : upstream_ids) {
        const auto known = on.query(
            "SELECT upstream_id FROM claude_proxy.batches WHERE upstream_id = $1"
            " UNION ALL SELECT id FROM claude_proxy.resources WHERE id = $1",
            {id});
        if (known.empty()) unknown.push_back(id);
    }
    return unknown;
}

std::vector<batch_entry> take_due_batches(database::connection& on, batch_origin origin, std::string_view replica,
                                          time_ms now, time_ms owned_until, std::uint32_t count_max) {
    // Reads first: a database in which nothing is due is not written to.
    const auto own = on.query(
        "SELECT id FROM claude_proxy.batches WHERE state = 'creating' AND owner = $1 AND next_look_at >= $2 LIMIT 1",
        {std::string(replica), never});
    if (!own.empty()) {
        on.execute(
            "UPDATE claude_proxy.batches SET owned_until = $3"
            " WHERE state = 'creating' AND owner = $1 AND next_look_at >= $2",
            {std::string(replica), never, owned_until});
    }
    const std::string is_due = fmt::format(
        "origin = '{}' AND state IN ('creating', 'open') AND owned_until <= $1"
        " AND (next_look_at <= $1 OR next_look_at >= $2)",
        origin == batch_origin::lane ? "lane" : "caller");
    const auto due =
        on.query(fmt::format("SELECT id FROM claude_proxy.batches WHERE {} ORDER BY next_look_at LIMIT $3", is_due),
                 {now, never, std::int64_t{count_max}});
    std::vector<batch_entry> taken;
    for (const auto& row : due) {
        // Another replica may be at it too: who writes first has it.
        for (const auto& one : on.query(fmt::format("UPDATE claude_proxy.batches SET owner = $4, owned_until = $5"
                                                    " WHERE id = $3 AND {} RETURNING {}",
                                                    is_due, columns),
                                        {now, never, row[0], std::string(replica), owned_until})) {
            taken.push_back(entry_of(one));
        }
    }
    return taken;
}

void looked_at_batch(database::connection& on, std::string_view id, std::string_view upstream_status, time_ms look_at,
                     time_ms now) {
    on.execute(
        "UPDATE claude_proxy.batches SET owner = '', owned_until = 0, upstream_status = $2, next_look_at = $3,"
        " updated_at = $4 WHERE id = $1 AND state IN ('creating', 'open')",
        {std::string(id), std::string(upstream_status), look_at, now});
}

void hurry_batch(database::connection& on, std::string_view upstream_id, time_ms now) {
    on.execute(
        "UPDATE claude_proxy.batches SET next_look_at = $2"
        " WHERE upstream_id = $1 AND state = 'open' AND next_look_at > $2",
        {std::string(upstream_id), now});
}

bool settle_results(database::connection& on, ledger::row_writer& writer, std::string_view id,
                    std::span<const ledger::journal_row> rows, time_ms owned_until, time_ms now) {
    database::transaction together(on);
    auto holds = lock_holds(on, id);
    if (!holds) return false;
    const auto written = writer.write_within(on, rows);
    governance::hold_moves moves;
    for (auto& hold : *holds) {
        // What was held has become spent. What was spent beyond it is not held, and nothing more can be given back.
        governance::budget_hold part = hold;
        part.amount = std::min(hold.amount, written.cost);
        hold.amount -= part.amount;
        if (part.amount > 0) moves.give_back({&part, 1});
    }
    if (!moves.empty()) moves.write(on, "", now);
    on.execute("UPDATE claude_proxy.batches SET holds = $2, owned_until = $3, updated_at = $4 WHERE id = $1",
               {std::string(id), governance::holds_text(*holds), owned_until, now});
    together.commit();
    return true;
}

}  // namespace resources
