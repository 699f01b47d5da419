#include "database/migrations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>

#include "base/embedded.hpp"

namespace database {
namespace {

constexpr std::int64_t lock_number = 0x636C'6175'6465'7078;  // ours among the advisory locks of the server

std::vector<migration> read_migrations() {
    constexpr std::string_view folder = "migrations/", ending = ".sql";
    std::vector<migration> found;
    for (const auto& file : base::embedded_files()) {
        if (!file.path.starts_with(folder) || !file.path.ends_with(ending)) continue;
        const auto name = file.path.substr(folder.size(), file.path.size() - folder.size() - ending.size());
        std::uint32_t number = 0;
        std::from_chars(name.data(), name.data() + name.size(), number);
        found.push_back({.number = number, .name = name, .sql = file.text});
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
    return found;
}

bool has_table(connection& on, std::string_view name) {
    if (on.kind() == engine::sqlite) {
        return !on.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1", {std::string(name)}).empty();
    }
    return !on.query(
                  "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                  "WHERE n.nspname = 'claude_proxy' AND c.relname = $1",
                  {std::string(name)})
                .empty();
}

// Made outside of the migrations, because it says which of them ran.
void make_book(connection& on) {
    if (has_table(on, "schema_migrations")) return;
    // Asked first: CREATE SCHEMA IF NOT EXISTS needs the right to create one even when it is there.
    if (on.kind() == engine::postgres &&
        on.query("SELECT 1 FROM pg_namespace WHERE nspname = 'claude_proxy'").empty()) {
        on.run_script("CREATE SCHEMA claude_proxy; REVOKE ALL ON SCHEMA claude_proxy FROM PUBLIC");
    }
    on.run_script(
        "CREATE TABLE claude_proxy.schema_migrations ("
        "number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)");
    if (on.kind() == engine::postgres) {
        on.run_script("ALTER TABLE claude_proxy.schema_migrations ENABLE ROW LEVEL SECURITY");
    }
}

std::set<std::int64_t> applied_numbers(connection& on) {
    std::set<std::int64_t> numbers;
    if (!has_table(on, "schema_migrations")) return numbers;
    for (const auto& one : on.query("SELECT number FROM claude_proxy.schema_migrations")) {
        numbers.insert(integer_of(one[0]));
    }
    return numbers;
}

// Waits longer than a statement may: another replica's migration takes its time.
void lock_migrations(connection& on) {
    if (on.kind() == engine::postgres) on.run_script(fmt::format("SELECT pg_advisory_xact_lock({})", lock_number));
}

// The first moment of the month that lies `later` months after the one of `at_ms`.
std::chrono::sys_days month_of(std::int64_t at_ms, int later) {
    using namespace std::chrono;
    const auto day = floor<days>(sys_time<milliseconds>(milliseconds(at_ms)));
    const year_month_day date(day);
    return sys_days((date.year() / date.month() + months(later)) / 1);
}

std::int64_t to_ms(std::chrono::sys_days day) {
    return std::chrono::duration_cast<milliseconds>(day.time_since_epoch()).count();
}

void ensure_partition(connection& on, std::chrono::sys_days month) {
    const std::chrono::year_month_day date(month);
    const auto name =
        fmt::format("attempts_{:04}_{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()));
    if (has_table(on, name)) return;
    const auto from = to_ms(month), until = to_ms(month_of(from, 1));
    transaction whole(on);
    // The new partition locks the whole ledger for a moment. It must not wait for a long query with everybody else
    // waiting behind it: the caller comes again, and the month after this one has its partition in advance.
    on.run_script("SET LOCAL lock_timeout = '1s'");
    lock_migrations(on);
    if (has_table(on, name)) return;
    // Rows that came before their partition stay where they are: PostgreSQL would refuse the partition.
    const auto strays =
        on.query("SELECT 1 FROM claude_proxy.attempts_default WHERE started_at >= $1 AND started_at < $2 LIMIT 1",
                 {from, until});
    if (!strays.empty()) return;
    on.run_script(
        fmt::format("CREATE TABLE claude_proxy.{0} PARTITION OF claude_proxy.attempts FOR VALUES FROM ({1}) TO ({2});"
                    "ALTER TABLE claude_proxy.{0} ENABLE ROW LEVEL SECURITY",
                    name, from, until));
    whole.commit();
}

}  // namespace

std::span<const migration> migrations() {
    static const auto all = read_migrations();
    return all;
}

std::string text_for(const migration& what, engine kind) {
    constexpr std::string_view only = "-- only: ", all = "-- all";
    const std::string_view own = kind == engine::sqlite ? "sqlite" : "postgres";
    std::string made;
    bool is_ours = true;
    for (std::string_view rest = what.sql; !rest.empty();) {
        const auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (line == all) {
            is_ours = true;
        } else if (line.starts_with(only)) {
            const auto named = line.substr(only.size());
            if (named != "sqlite" && named != "postgres") {
                throw failure(failure_kind::invalid, fmt::format("{}: no engine is named {}", what.name, named));
            }
            is_ours = named == own;
        } else if (is_ours) {
            made.append(line);
        }
        made += '\n';  // also for lines left out: the numbers of the others stay true
    }
    return made;
}

schema_state look(connection& on) {
    const auto numbers = applied_numbers(on);
    return {.applied = numbers.empty() ? 0 : static_cast<std::uint32_t>(*numbers.rbegin()),
            .known = migrations().empty() ? 0 : migrations().back().number};
}

std::vector<std::uint32_t> migrate(connection& on) {
    std::vector<std::uint32_t> done;
    for (const auto& next : migrations()) {
        if (applied_numbers(on).contains(next.number)) continue;
        transaction whole(on);
        lock_migrations(on);
        make_book(on);
        // Another replica may have been first, or is a newer release than this one.
        const auto applied = applied_numbers(on);
        if (applied.contains(next.number)) continue;
        if (!applied.empty() && *applied.rbegin() > migrations().back().number) return done;
        on.run_script(text_for(next, on.kind()));
        const auto now = std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
        on.execute("INSERT INTO claude_proxy.schema_migrations (number, name, applied_at) VALUES ($1, $2, $3)",
                   {std::int64_t{next.number}, std::string(next.name), std::int64_t{now.count()}});
        whole.commit();
        done.push_back(next.number);
    }
    return done;
}

void ensure_partitions(connection& on, std::int64_t at_ms) {
    if (on.kind() != engine::postgres) return;
    for (const int later : {0, 1}) ensure_partition(on, month_of(at_ms, later));
}

}  // namespace database
