#include "database/connection.hpp"

#include <array>
#include <cassert>

#include "database/postgres.hpp"
#include "database/sqlite.hpp"
#include "database/text.hpp"

namespace database {
namespace {

constexpr std::string_view sqlite_prefix = "sqlite:";

}  // namespace

std::int64_t integer_of(const value& v) {
    if (const auto* number = std::get_if<std::int64_t>(&v)) return *number;
    if (is_null(v)) return 0;
    throw failure(failure_kind::invalid, "a text where a number was expected");
}

const std::string& text_of(const value& v) {
    static const std::string none;
    if (const auto* text = std::get_if<std::string>(&v)) return *text;
    if (is_null(v)) return none;
    throw failure(failure_kind::invalid, "a number where a text was expected");
}

batch::batch(std::string_view table, std::span<const column> columns, std::string_view on_conflict,
             std::string_view returning)
    : table_(table), columns_(columns), on_conflict_(on_conflict), returning_(returning) {}

void batch::add(std::int64_t number) {
    assert(columns_[cells_.size() % columns_.size()].is == column::type::integer);
    cells_.push_back({.number = number});
}

void batch::add(std::string_view text) {
    assert(columns_[cells_.size() % columns_.size()].is == column::type::text);
    const auto offset = texts_.size();
    append_clean(texts_, text);
    cells_.push_back(
        {.number = static_cast<std::int64_t>(offset), .bytes = static_cast<std::uint32_t>(texts_.size() - offset)});
}

void batch::add_null() { cells_.push_back({.null = true}); }

void batch::clear() {
    cells_.clear();
    texts_.clear();
}

engine engine_of(std::string_view url) {
    if (url.starts_with(sqlite_prefix)) return engine::sqlite;
    if (url.starts_with("postgresql://") || url.starts_with("postgres://")) return engine::postgres;
    // The URL itself may carry a password.
    throw failure(failure_kind::invalid, "a database URL begins with sqlite: or postgresql://");
}

std::unique_ptr<connection> open(std::string_view url, const options& limits) {
    switch (engine_of(url)) {
        case engine::sqlite:
            return open_sqlite(url.substr(sqlite_prefix.size()), limits);
        case engine::postgres:
            return open_postgres(url, limits);
    }
    return {};
}

std::unique_ptr<connection> open(const options& of) {
    const std::string_view url = of.url.reveal();
    if (!of.live_url || engine_of(url) == engine::sqlite) return open(url, of);
    return open_postgres(url, of, of.live_url);
}

void lock(connection& on, std::string_view name) {
    if (on.kind() == engine::sqlite) return;
    std::uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
    on.query("SELECT pg_advisory_xact_lock($1)", {static_cast<std::int64_t>(hash)});
}

}  // namespace database
