#include "database/sqlite.hpp"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <list>
#include <optional>
#include <system_error>
#include <unordered_map>

#include "database/sqlite_sum.hpp"
#include "database/text.hpp"
#include "database/transaction_state.hpp"

namespace database {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t statements_kept_max = 128;
constexpr int operations_between_looks = 20'000;  // of SQLite's machine, some 100 us: how often the deadline is checked
constexpr int pause_ms = 5;                       // between tries to switch to WAL while another process does the same

struct statement {
    std::string sql;
    sqlite3_stmt* handle = nullptr;
    std::vector<int> places;  // places[i]: SQLite's index of $(i + 1), 0 where it is not used

    statement() = default;
    statement(const statement&) = delete;
    statement& operator=(const statement&) = delete;
    ~statement() { sqlite3_finalize(handle); }
};

class sqlite_connection final : public connection {
public:
    sqlite_connection(std::string_view path, const options& limits) : path_(path), limits_(limits) {}
    ~sqlite_connection() override { close(); }
    sqlite_connection(const sqlite_connection&) = delete;
    sqlite_connection& operator=(const sqlite_connection&) = delete;

    engine kind() const override { return engine::sqlite; }

    std::vector<row> query(std::string_view sql, std::span<const value> parameters) override {
        std::vector<row> rows;
        run(sql, parameters, [&](sqlite3_stmt* at) { rows.push_back(row_of(at)); });
        return rows;
    }
    std::uint64_t execute(std::string_view sql, std::span<const value> parameters) override {
        std::uint64_t given = 0;
        ready();
        const auto before = sqlite3_total_changes64(file_);
        run(sql, parameters, [&](sqlite3_stmt*) { ++given; });
        // The count of changes is that of the last statement that changed something, which need not be this one.
        return sqlite3_total_changes64(file_) == before ? given : static_cast<std::uint64_t>(sqlite3_changes64(file_));
    }
    void run_script(std::string_view sql) override;
    std::vector<value> insert(const batch& rows) override;

    void begin() override {
        state_.check_begin();
        ready();
        run_plain("BEGIN IMMEDIATE", limits_.statement_timeout);
        state_.begun();
    }
    void commit() override {
        state_.check_commit();
        run_plain("COMMIT", limits_.statement_timeout);
        state_.ended();
    }
    void rollback() noexcept override {
        // Some errors have rolled back already. The deadline that ended the transaction must not end this one too.
        deadline_ = clock::time_point::max();
        if (file_ != nullptr && sqlite3_get_autocommit(file_) == 0) {
            if (sqlite3_exec(file_, "ROLLBACK", nullptr, nullptr, nullptr) != SQLITE_OK) stale_ = true;
        }
        state_.ended();
    }

private:
    // The connection is open and may be used, or this throws.
    void ready() {
        state_.check();
        if (stale_) close();
        if (file_ == nullptr) open();
    }
    void open();
    void make_file() const;
    void use_wal();
    void close();
    statement& prepare(std::string_view sql);
    void bind(const statement& of, std::span<const value> parameters);
    template <class OnRow>
    void step_through(const statement& of, const OnRow& on_row);
    template <class OnRow>
    void run(std::string_view sql, std::span<const value> parameters, const OnRow& on_row);
    void run_plain(const char* sql, milliseconds timeout);
    std::vector<value> insert_rows(const batch& rows);
    static row row_of(sqlite3_stmt* at);
    [[noreturn]] void fail(int code);
    [[noreturn]] void fail(failure_kind why, const std::string& what);

    std::string path_;
    options limits_;
    sqlite3* file_ = nullptr;
    bool stale_ = false;  // close and open anew before the next use
    transaction_state state_;
    clock::time_point deadline_ = clock::time_point::max();
    std::list<statement> kept_;  // last used first
    std::unordered_map<std::string_view, std::list<statement>::iterator> kept_by_sql_;
};

void sqlite_connection::fail(failure_kind why, const std::string& what) {
    state_.failed(why);
    // Not closed here: the statement that failed is still in the hands of its caller.
    if (why == failure_kind::unavailable) stale_ = true;
    throw failure(why, what);
}

void sqlite_connection::fail(int code) {
    if ((code & 0xFF) == SQLITE_INTERRUPT) {
        fail(failure_kind::unavailable, "a statement took longer than its limit");
    }
    fail(kind_of_sqlite(code), fmt::format("sqlite: {}", file_ ? sqlite3_errmsg(file_) : sqlite3_errstr(code)));
}

void sqlite_connection::make_file() const {
    const std::filesystem::path path(path_);
    std::error_code error;
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
    // Made here and not by SQLite, which would let everybody read it. Its WAL gets the same mode. Not opened: a process
    // that closes a file gives up all its locks on it, also those of its other connections, and then the next process
    // that leaves takes the WAL away under them.
    if (::mknod(path_.c_str(), S_IFREG | 0600, 0) != 0 && errno != EEXIST) {
        const auto why = std::error_code(errno, std::generic_category()).message();
        throw failure(failure_kind::unavailable, fmt::format("sqlite: {}: {}", path_, why));
    }
}

void sqlite_connection::use_wal() {
    deadline_ = clock::now() + limits_.statement_timeout;
    const auto mode = [&](const char* sql) {
        sqlite3_stmt* asked = nullptr;
        int code = sqlite3_prepare_v2(file_, sql, -1, &asked, nullptr);
        if (code == SQLITE_OK) code = sqlite3_step(asked);
        const auto* text = code == SQLITE_ROW ? sqlite3_column_text(asked, 0) : nullptr;
        const bool is_wal = text != nullptr && std::strcmp(reinterpret_cast<const char*>(text), "wal") == 0;
        sqlite3_finalize(asked);
        if (code != SQLITE_ROW && kind_of_sqlite(code) != failure_kind::busy) fail(code);
        return is_wal;
    };
    // Switching does not wait for others as statements do.
    while (!mode("PRAGMA journal_mode") && !mode("PRAGMA journal_mode = WAL")) {
        if (clock::now() > deadline_) fail(failure_kind::busy, "sqlite: the file cannot be switched to WAL");
        sqlite3_sleep(pause_ms);
    }
}

void sqlite_connection::open() {
    make_file();
    constexpr int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (const int code = sqlite3_open_v2(path_.c_str(), &file_, flags, nullptr); code != SQLITE_OK) {
        stale_ = true;
        const auto why = std::error_code(sqlite3_system_errno(file_), std::generic_category()).message();
        fail(kind_of_sqlite(code), fmt::format("sqlite: {}: {}", path_, why));
    }
    stale_ = true;  // until all of the following went well
    if (sqlite3_db_readonly(file_, "main") == 1) {
        fail(failure_kind::unavailable, fmt::format("sqlite: {}: the file is read-only", path_));
    }
    sqlite3_extended_result_codes(file_, 1);
    sqlite3_busy_timeout(file_, static_cast<int>(limits_.statement_timeout.count()));
    const auto is_late = [](void* self) {
        return clock::now() > static_cast<const sqlite_connection*>(self)->deadline_ ? 1 : 0;
    };
    sqlite3_progress_handler(file_, operations_between_looks, is_late, this);
    // Counts before WAL, and only for a file that is still empty. Twice SQLite's own: half as many writes, on which the
    // ledger's rows spend a third of their CPU.
    run_plain("PRAGMA page_size = 8192", limits_.statement_timeout);
    if (const int code = use_saturating_sum(file_); code != SQLITE_OK) fail(code);
    use_wal();
    // With NORMAL the last commits may be gone after a crash of the machine, and the file is whole: the ledger's
    // journal is what survives that. The WAL shrinks to the limit when it starts over.
    run_plain("PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864", limits_.statement_timeout);
    run_plain(limits_.commits_are_flushed ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
              limits_.statement_timeout);
    stale_ = false;
}

void sqlite_connection::close() {
    kept_by_sql_.clear();
    kept_.clear();
    sqlite3_close_v2(file_);
    file_ = nullptr;
    stale_ = false;
}

statement& sqlite_connection::prepare(std::string_view sql) {
    if (const auto found = kept_by_sql_.find(sql); found != kept_by_sql_.end()) {
        kept_.splice(kept_.begin(), kept_, found->second);
        return kept_.front();
    }
    const auto text = without_schema(sql);
    kept_.emplace_front();
    statement& made = kept_.front();
    made.sql = sql;
    const auto refuse = [&](const std::string& why) {
        kept_.pop_front();
        fail(failure_kind::invalid, why);
    };
    const char* rest = nullptr;
    const int code = sqlite3_prepare_v3(file_, text.data(), static_cast<int>(text.size()), SQLITE_PREPARE_PERSISTENT,
                                        &made.handle, &rest);
    if (code != SQLITE_OK) {
        kept_.pop_front();
        fail(code);
    }
    const std::string_view unread(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
    if (made.handle == nullptr || unread.find_first_not_of("; \n\t\r") != std::string_view::npos) {
        refuse("sqlite: not exactly one statement");
    }
    for (int index = 1; index <= sqlite3_bind_parameter_count(made.handle); ++index) {
        const char* name = sqlite3_bind_parameter_name(made.handle, index);
        const std::string_view digits = name != nullptr && *name == '$' ? std::string_view(name + 1) : "";
        std::size_t number = 0;
        const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (number == 0 || number > 1'000 || read.ptr != digits.data() + digits.size()) {
            refuse("sqlite: parameters are named $1, $2 and so on");
        }
        if (made.places.size() < number) made.places.resize(number);
        made.places[number - 1] = index;
    }
    kept_by_sql_.emplace(made.sql, kept_.begin());
    if (kept_.size() > statements_kept_max) {
        kept_by_sql_.erase(kept_.back().sql);
        kept_.pop_back();
    }
    return made;
}

void sqlite_connection::bind(const statement& of, std::span<const value> parameters) {
    if (parameters.size() < of.places.size()) fail(failure_kind::invalid, "sqlite: a parameter is missing");
    std::string storage;
    for (std::size_t i = 0; i < of.places.size(); ++i) {
        const int place = of.places[i];
        if (place == 0) continue;
        int code = SQLITE_OK;
        if (const auto* number = std::get_if<std::int64_t>(&parameters[i])) {
            code = sqlite3_bind_int64(of.handle, place, *number);
        } else if (const auto* text = std::get_if<std::string>(&parameters[i])) {
            const auto kept = clean(*text, storage);
            // The parameters outlive the statement's run, the storage of a cleaned text does not.
            const auto lifetime = kept.data() == text->data() ? SQLITE_STATIC : SQLITE_TRANSIENT;
            code = sqlite3_bind_text64(of.handle, place, kept.data(), kept.size(), lifetime, SQLITE_UTF8);
        } else {
            code = sqlite3_bind_null(of.handle, place);
        }
        if (code != SQLITE_OK) fail(code);
    }
}

template <class OnRow>
void sqlite_connection::step_through(const statement& of, const OnRow& on_row) {
    // A statement that is not reset would keep its read lock and the WAL could not start over.
    struct reset {
        sqlite3_stmt* handle;
        ~reset() {
            sqlite3_reset(handle);
            sqlite3_clear_bindings(handle);
        }
    } const at_the_end{of.handle};
    for (;;) {
        const int code = sqlite3_step(of.handle);
        if (code == SQLITE_DONE) return;
        if (code != SQLITE_ROW) fail(code);
        on_row(of.handle);
    }
}

template <class OnRow>
void sqlite_connection::run(std::string_view sql, std::span<const value> parameters, const OnRow& on_row) {
    ready();
    deadline_ = clock::now() + limits_.statement_timeout;
    const auto& prepared = prepare(sql);
    bind(prepared, parameters);
    step_through(prepared, on_row);
}

void sqlite_connection::run_plain(const char* sql, milliseconds timeout) {
    deadline_ = clock::now() + timeout;
    if (const int code = sqlite3_exec(file_, sql, nullptr, nullptr, nullptr); code != SQLITE_OK) fail(code);
}

void sqlite_connection::run_script(std::string_view sql) {
    if (!state_.is_open()) {
        transaction whole(*this);
        run_script(sql);
        whole.commit();
        return;
    }
    ready();
    run_plain(without_schema(sql).c_str(), limits_.migration_timeout);
}

std::vector<value> sqlite_connection::insert(const batch& rows) {
    if (rows.rows() == 0) return {};
    if (state_.is_open()) return insert_rows(rows);
    transaction whole(*this);
    auto inserted = insert_rows(rows);
    whole.commit();
    return inserted;
}

std::vector<value> sqlite_connection::insert_rows(const batch& rows) {
    std::string names, places;
    std::optional<std::size_t> returned;
    for (std::size_t column = 0; column < rows.columns().size(); ++column) {
        const std::string_view name = rows.columns()[column].name;
        fmt::format_to(std::back_inserter(names), "{}{}", column ? ", " : "", name);
        fmt::format_to(std::back_inserter(places), "{}${}", column ? ", " : "", column + 1);
        if (name == rows.returning()) returned = column;
    }
    // No RETURNING, which costs SQLite a table of its own at each row: whether a row was inserted shows in the count.
    const auto sql = fmt::format("INSERT INTO {} ({}) VALUES ({}) {}", rows.table(), names, places, rows.on_conflict());

    ready();
    deadline_ = clock::now() + limits_.statement_timeout;
    const auto& prepared = prepare(sql);
    std::vector<value> inserted;
    for (std::size_t at = 0; at < rows.rows(); ++at) {
        for (std::size_t column = 0; column < rows.columns().size(); ++column) {
            const auto& cell = rows.at(at, column);
            const int place = prepared.places[column];
            if (cell.null) {
                sqlite3_bind_null(prepared.handle, place);
            } else if (rows.columns()[column].is == column::type::integer) {
                sqlite3_bind_int64(prepared.handle, place, cell.number);
            } else {
                const auto text = rows.text(cell);
                sqlite3_bind_text64(prepared.handle, place, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
            }
        }
        const auto before = sqlite3_total_changes64(file_);
        step_through(prepared, [](sqlite3_stmt*) {});
        if (!returned || sqlite3_total_changes64(file_) == before) continue;
        const auto& cell = rows.at(at, *returned);
        if (cell.null) {
            inserted.emplace_back();
        } else if (rows.columns()[*returned].is == column::type::integer) {
            inserted.emplace_back(cell.number);
        } else {
            inserted.emplace_back(std::string(rows.text(cell)));
        }
    }
    return inserted;
}

row sqlite_connection::row_of(sqlite3_stmt* at) {
    const int columns = sqlite3_column_count(at);
    row made(static_cast<std::size_t>(columns));
    for (int i = 0; i < columns; ++i) {
        auto& cell = made[static_cast<std::size_t>(i)];
        const int type = sqlite3_column_type(at, i);
        if (type == SQLITE_NULL) continue;
        if (type == SQLITE_INTEGER) {
            cell = std::int64_t{sqlite3_column_int64(at, i)};
            continue;
        }
        // A whole number is an integer however the engine got there; 2^53 bounds what a double holds exactly.
        if (const double real = sqlite3_column_double(at, i);
            type == SQLITE_FLOAT && std::abs(real) < 9.0e15 && real == std::floor(real)) {
            cell = static_cast<std::int64_t>(real);
            continue;
        }
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(at, i));
        cell = std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(at, i)));
    }
    return made;
}

}  // namespace

failure_kind kind_of_sqlite(int code) {
    switch (code & 0xFF) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return failure_kind::busy;
        case SQLITE_CONSTRAINT:
            return failure_kind::conflict;
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
        case SQLITE_FULL:
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_NOMEM:
        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_PROTOCOL:
        case SQLITE_INTERRUPT:
            return failure_kind::unavailable;
        default:
            return failure_kind::invalid;
    }
}

std::unique_ptr<connection> open_sqlite(std::string_view path, const options& limits) {
    if (path.empty() || path.starts_with(":")) {
        throw failure(failure_kind::invalid, "sqlite: needs the path of a file, which all connections share");
    }
    // Nobody asks SQLite how much memory it uses; counting it takes a lock of the whole process at each allocation.
    [[maybe_unused]] static const int uncounted = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    return std::make_unique<sqlite_connection>(path, limits);
}

}  // namespace database
