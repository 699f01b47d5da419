// The port to the database: one connection to SQLite or PostgreSQL, with one SQL text for both.
//
// SQL is written for PostgreSQL with `$1` parameters and tables named `claude_proxy.keys`; the SQLite adapter takes the
// schema off. Statements that both engines read: INSERT ... ON CONFLICT ... RETURNING, UPDATE/DELETE ... RETURNING,
// CAST(x AS BIGINT), TRUE/FALSE, IS NOT DISTINCT FROM, FILTER, window functions. Not: now(), ::casts, arrays. Values
// are integers, texts and nulls; times are BIGINT milliseconds since 1970, lists and objects are JSON in TEXT, booleans
// are 0 and 1 in BIGINT. Texts are UTF-8 without NUL: other bytes become U+FFFD on their way in. A sum of integers is
// an integer; a fraction comes back as text, spelled as the engine likes.
//
// Behind a transaction pooler (PgBouncer, Supabase) the same connection works: no session state, no named statements,
// no LISTEN, no session locks.
//
// Calls block: never on a reactor. Thread rule: one thread at a time. Errors are exceptions of type `failure`, because
// without its database the caller's work is pointless; after `unavailable` the connection opens anew at the next call.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "database/options.hpp"

namespace database {

enum class engine : std::uint8_t { sqlite, postgres };

enum class failure_kind : std::uint8_t {
    unavailable,  // cannot be reached, connection lost, out of disk: later may be better
    busy,  // a lock was not to be had in time, a deadlock or a serialization failure: the transaction may be repeated
    conflict,  // a unique or foreign key is violated
    invalid,   // anything else: our SQL, a missing migration
};

class failure : public std::runtime_error {
public:
    failure(failure_kind why, const std::string& what) : std::runtime_error(what), kind(why) {}
    failure_kind kind;
};

using value = std::variant<std::monostate, std::int64_t, std::string>;

inline bool is_null(const value& v) { return std::holds_alternative<std::monostate>(v); }
std::int64_t integer_of(const value& v);     // 0 for null; throws failure{invalid} for a text
const std::string& text_of(const value& v);  // empty for null; throws failure{invalid} for a number

using row = std::vector<value>;

// Many rows for one table, written in one statement (PostgreSQL: binary arrays and unnest; SQLite: one kept statement).
// Values are appended row by row in the order of the columns.
struct column {
    std::string_view name;
    enum class type : std::uint8_t { integer, text } is = type::text;
};
class batch {
public:
    // `table` with its schema; the views must outlive the batch: literals.
    // `on_conflict`: what follows the rows, such as "ON CONFLICT (attempt_id, started_at) DO NOTHING". With DO UPDATE
    // no two rows of a batch may have the same key: PostgreSQL refuses to update a row twice in one statement.
    // `returning`: a column of the batch whose values come back for rows that were really inserted, or empty.
    batch(std::string_view table, std::span<const column> columns, std::string_view on_conflict,
          std::string_view returning = {});

    void add(std::int64_t number);
    void add(std::string_view text);
    void add_null();
    void clear();  // keeps the memory

    std::size_t rows() const { return columns_.empty() ? 0 : cells_.size() / columns_.size(); }

    // For adapters.
    struct cell {
        std::int64_t number = 0;  // or the text's offset in texts()
        std::uint32_t bytes = 0;  // of the text
        bool null = false;
    };
    std::string_view table() const { return table_; }
    std::span<const column> columns() const { return columns_; }
    std::string_view on_conflict() const { return on_conflict_; }
    std::string_view returning() const { return returning_; }
    const cell& at(std::size_t row, std::size_t column) const { return cells_[row * columns_.size() + column]; }
    std::string_view text(const cell& of) const {
        return std::string_view(texts_).substr(static_cast<std::size_t>(of.number), of.bytes);
    }

private:
    std::string_view table_;
    std::span<const column> columns_;
    std::string_view on_conflict_;
    std::string_view returning_;
    std::vector<cell> cells_;
    std::string texts_;
};

class connection {
public:
    virtual ~connection() = default;
    virtual engine kind() const = 0;

    // Runs one statement. `query` gives its rows, `execute` the number of rows it touched. A parameter may be used more
    // than once; an integer goes to a BIGINT, a text to a TEXT.
    virtual std::vector<row> query(std::string_view sql, std::span<const value> parameters = {}) = 0;
    virtual std::uint64_t execute(std::string_view sql, std::span<const value> parameters = {}) = 0;
    // Several statements without parameters, separated by semicolons: migrations. All or none of them happen; they may
    // take up to migration_timeout.
    virtual void run_script(std::string_view sql) = 0;
    // Inserts all rows of the batch; the values of its `returning` column for those that were inserted.
    virtual std::vector<value> insert(const batch& rows) = 0;

    // Prefer `transaction` below.
    virtual void begin() = 0;
    virtual void commit() = 0;
    virtual void rollback() noexcept = 0;

    std::vector<row> query(std::string_view sql, std::initializer_list<value> parameters) {
        return query(sql, std::span(parameters.begin(), parameters.size()));
    }
    std::uint64_t execute(std::string_view sql, std::initializer_list<value> parameters) {
        return execute(sql, std::span(parameters.begin(), parameters.size()));
    }
};

// Rolls back unless committed. SQLite begins IMMEDIATE, so that a transaction that reads first can still write, and
// runs one at a time. PostgreSQL is READ COMMITTED: whoever reads, decides and then writes calls `lock` first, or
// begins with an UPDATE of the row that guards the decision.
//
// Transactions do not nest. After a failure inside of one, on either engine, it can only be rolled back: further
// statements and `commit` fail with the first failure's kind. A `commit`, or a statement outside of a transaction, that
// fails as `unavailable` may have happened: it must be safe to repeat, or be looked up first.
class transaction {
public:
    explicit transaction(connection& on) : on_(on) { on_.begin(); }
    ~transaction() {
        if (!done_) on_.rollback();
    }
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    void commit() {
        on_.commit();
        done_ = true;
    }

private:
    connection& on_;
    bool done_ = false;
};

// Waits for the lock of that name over all replicas, until the end of the transaction. SQLite: IMMEDIATE did that
// already.
void lock(connection& in_transaction, std::string_view name);

// `url`: "sqlite:PATH" (the file and its folder are made) or "postgresql://...". Opens lazily: the first call connects.
// Throws failure{invalid} for a URL that is neither.
std::unique_ptr<connection> open(std::string_view url, const options& limits = {});

// At the URL of the options; each new connection to PostgreSQL takes the `live_url` of that moment, where there is one.
std::unique_ptr<connection> open(const options& of);

engine engine_of(std::string_view url);

}  // namespace database
