#include "database/postgres.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <deque>
#include <utility>

#include "database/postgres_cancel.hpp"
#include "database/postgres_wire.hpp"
#include "database/text.hpp"
#include "database/transaction_state.hpp"

namespace database {
namespace {

using clock = std::chrono::steady_clock;

struct clear_result {
    void operator()(PGresult* result) const { PQclear(result); }
};
using result = std::unique_ptr<PGresult, clear_result>;

std::string_view field_of(const PGresult* from, int field) {
    const char* text = PQresultErrorField(from, field);
    return text != nullptr ? text : "";
}

// The values of one statement in the form that libpq takes.
class parameter_list {
public:
    explicit parameter_list(std::span<const value> values) {
        types_.reserve(values.size());
        texts_.reserve(values.size());
        for (const auto& one : values) {
            if (const auto* number = std::get_if<std::int64_t>(&one)) {
                add(postgres_int8, kept_.emplace_back(fmt::format("{}", *number)).c_str());
            } else if (const auto* text = std::get_if<std::string>(&one)) {
                std::string storage;
                const auto cleaned = clean(*text, storage);
                const bool is_same = cleaned.data() == text->data();
                add(postgres_text, is_same ? text->c_str() : kept_.emplace_back(std::move(storage)).c_str());
            } else {
                add(postgres_any, nullptr);
            }
        }
    }
    int count() const { return static_cast<int>(texts_.size()); }
    const Oid* types() const { return types_.data(); }
    const char* const* texts() const { return texts_.data(); }

private:
    void add(Oid type, const char* text) {
        types_.push_back(type);
        texts_.push_back(text);
    }
    std::vector<Oid> types_;
    std::vector<const char*> texts_;
    std::deque<std::string> kept_;  // does not move what it holds
};

class postgres_connection final : public connection {
public:
    postgres_connection(std::string_view url, const options& limits, std::shared_ptr<const base::live_secret> live)
        : url_(url), live_(std::move(live)), limits_(limits) {}
    ~postgres_connection() override { PQfinish(session_); }
    postgres_connection(const postgres_connection&) = delete;
    postgres_connection& operator=(const postgres_connection&) = delete;

    engine kind() const override { return engine::postgres; }

    std::vector<row> query(std::string_view sql, std::span<const value> parameters) override {
        const auto answer = run(sql, parameters);
        std::vector<row> rows(static_cast<std::size_t>(PQntuples(answer.get())));
        for (std::size_t at = 0; at < rows.size(); ++at) {
            rows[at].reserve(static_cast<std::size_t>(PQnfields(answer.get())));
            for (int field = 0; field < PQnfields(answer.get()); ++field) {
                rows[at].push_back(cell_of(answer.get(), static_cast<int>(at), field));
            }
        }
        return rows;
    }
    std::uint64_t execute(std::string_view sql, std::span<const value> parameters) override {
        const auto answer = run(sql, parameters);
        const std::string_view digits = PQcmdTuples(answer.get());
        std::uint64_t touched = 0;
        std::from_chars(digits.data(), digits.data() + digits.size(), touched);
        return touched;
    }
    void run_script(std::string_view sql) override {
        // The simple protocol takes many statements at once and, outside of a transaction, makes them one.
        const std::string text(sql);
        ready();
        finish(PQsendQuery(session_, text.c_str()), limits_.migration_timeout);
    }
    std::vector<value> insert(const batch& rows) override;

    void begin() override {
        state_.check_begin();
        run("BEGIN", {});
        state_.begun();
    }
    void commit() override {
        state_.check_commit();
        const auto answer = run("COMMIT", {});
        // A transaction that the server has given up commits without an error and as nothing.
        if (std::string_view(PQcmdStatus(answer.get())) != "COMMIT") {
            fail(failure_kind::invalid, "postgres: the transaction was rolled back instead of committed");
        }
        state_.ended();
    }
    void rollback() noexcept override;

private:
    // The connection is open and may be used, or this throws.
    void ready();
    bool is_alive();
    void connect();
    void close() {
        PQfinish(session_);
        session_ = nullptr;
    }
    result run(std::string_view sql, std::span<const value> parameters);
    // Waits for all that was sent; the last result. `sent`: what libpq's sending function returned.
    result finish(int sent, milliseconds timeout);
    bool wait(clock::time_point deadline);
    static value cell_of(const PGresult* from, int row, int field);
    [[noreturn]] void fail(const PGresult* why);
    [[noreturn]] void fail(failure_kind why, const std::string& what);
    [[noreturn]] void fail_unreachable();

    std::string url_;
    const std::shared_ptr<const base::live_secret> live_;
    options limits_;
    PGconn* session_ = nullptr;
    transaction_state state_;
    postgres_cancel cancel_;
    std::vector<std::string> arrays_;  // of insert, kept for their memory
};

void postgres_connection::fail(failure_kind why, const std::string& what) {
    state_.failed(why);
    if (why == failure_kind::unavailable) close();
    throw failure(why, what);
}

void postgres_connection::fail(const PGresult* why) {
    // Neither detail nor context: they repeat values. A password is in none of what the server says.
    const auto sqlstate = field_of(why, PG_DIAG_SQLSTATE);
    auto says = std::string(field_of(why, PG_DIAG_MESSAGE_PRIMARY));
    if (says.empty()) says = "the connection was lost";
    // After FATAL the server, or the pooler in its name, ends the connection.
    const bool is_lost = PQstatus(session_) != CONNECTION_OK || sqlstate.empty() ||
                         field_of(why, PG_DIAG_SEVERITY_NONLOCALIZED) == "FATAL";
    const auto kind = is_lost ? failure_kind::unavailable : kind_of_sqlstate(sqlstate);
    fail(kind, fmt::format("postgres: {}{}{}", says, sqlstate.empty() ? "" : " ", sqlstate));
}

void postgres_connection::fail_unreachable() {
    std::string says = PQerrorMessage(session_);
    while (says.ends_with('\n')) says.pop_back();
    const char* password = PQpass(session_);
    if (password != nullptr && *password != '\0' && says.find(password) != std::string::npos) {
        says = "cannot connect (the message repeats the password and is not shown)";
    }
    fail(failure_kind::unavailable, "postgres: " + says);
}

void postgres_connection::connect() {
    if (live_) url_ = live_->now().reveal();
    // libpq counts in seconds and takes 1 for 2.
    const auto seconds = std::max<std::int64_t>(2, (limits_.connect_timeout.count() + 999) / 1'000);
    const auto connect_timeout = fmt::format("{}", seconds);
    // Bounds the silent death of a peer.
    const auto silence_max = fmt::format("{}", std::max(limits_.statement_timeout, limits_.connect_timeout).count());
    // What stands before the URL it can override. Never `options`: poolers refuse it.
    const std::array<const char*, 8> names = {
        "connect_timeout", "application_name", "gssencmode",      "tcp_user_timeout",
        "keepalives_idle", "dbname",           "client_encoding", nullptr};
    const std::array<const char*, 8> values = {
        connect_timeout.c_str(), "claude-proxy", "disable", silence_max.c_str(), "30", url_.c_str(), "UTF8", nullptr};
    session_ = PQconnectdbParams(names.data(), values.data(), 1);
    if (session_ == nullptr) throw std::bad_alloc();
    if (PQstatus(session_) != CONNECTION_OK || PQsetnonblocking(session_, 1) != 0) fail_unreachable();
    PQsetNoticeProcessor(session_, [](void*, const char*) {}, nullptr);  // else libpq prints them
}

bool postgres_connection::is_alive() {
    // An exception of our own half-way (no memory) leaves an answer that nobody read.
    if (PQtransactionStatus(session_) != PQTRANS_IDLE) return false;
    // Between statements the server says nothing, unless it says good-bye. Whoever looks first spares the caller a
    // failure for each connection that a restart or an idle limit has ended meanwhile.
    for (int looks = 0; looks < 3; ++looks) {
        pollfd socket{PQsocket(session_), POLLIN | POLLRDHUP, 0};
        const int found = ::poll(&socket, 1, 0);
        if (found == 0) return true;
        if (found < 0 || (socket.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0) return false;
        if (PQconsumeInput(session_) == 0) return false;
        PQfreemem(PQnotifies(session_));  // reads what came
    }
    return PQstatus(session_) == CONNECTION_OK;
}

void postgres_connection::ready() {
    state_.check();
    if (session_ != nullptr && !state_.is_open() && !is_alive()) close();
    if (session_ == nullptr) connect();
}

// False when the time is over.
bool postgres_connection::wait(clock::time_point deadline) {
    for (;;) {
        const int unsent = PQflush(session_);
        // After an error there is nothing to wait for: the next result says what happened.
        if (unsent < 0 || (unsent == 0 && PQisBusy(session_) == 0)) return true;
        const auto left = std::chrono::ceil<milliseconds>(deadline - clock::now());
        if (left.count() <= 0) return false;
        pollfd socket{PQsocket(session_), static_cast<short>(unsent > 0 ? POLLIN | POLLOUT : POLLIN), 0};
        const int found = ::poll(&socket, 1, static_cast<int>(left.count()));
        if (found < 0 && errno != EINTR) return true;
        if (found > 0 && (socket.revents & ~POLLOUT) != 0 && PQconsumeInput(session_) == 0) return true;
    }
}

result postgres_connection::finish(int sent, milliseconds timeout) {
    const auto deadline = clock::now() + timeout;
    if (sent == 0) fail_unreachable();
    result failed, last;
    for (;;) {
        if (!wait(deadline)) {
            cancel_.give_up(std::exchange(session_, nullptr));
            fail(failure_kind::unavailable, fmt::format("postgres: no answer within {} ms", timeout.count()));
        }
        result one(PQgetResult(session_));
        if (!one) break;
        switch (PQresultStatus(one.get())) {
            case PGRES_COMMAND_OK:
            case PGRES_TUPLES_OK:
            case PGRES_EMPTY_QUERY:
                last = std::move(one);
                break;
            case PGRES_COPY_IN:
            case PGRES_COPY_OUT:
            case PGRES_COPY_BOTH:
                close();
                fail(failure_kind::invalid, "postgres: COPY is not spoken here");
            default:
                if (!failed) failed = std::move(one);
        }
    }
    if (failed) fail(failed.get());
    if (!last) fail_unreachable();
    return last;
}

result postgres_connection::run(std::string_view sql, std::span<const value> parameters) {
    ready();
    const std::string text(sql);
    const parameter_list list(parameters);
    const int sent =
        PQsendQueryParams(session_, text.c_str(), list.count(), list.types(), list.texts(), nullptr, nullptr, 0);
    auto answer = finish(sent, limits_.statement_timeout);
    if (PQresultStatus(answer.get()) == PGRES_EMPTY_QUERY)
        fail(failure_kind::invalid, "postgres: not exactly one statement");
    return answer;
}

std::vector<value> postgres_connection::insert(const batch& rows) {
    if (rows.rows() == 0) return {};
    const auto columns = rows.columns().size();
    std::vector<Oid> types(columns);
    std::vector<const char*> values(columns);
    std::vector<int> lengths(columns);
    const std::vector<int> formats(columns, 1);  // binary
    arrays_.resize(std::max(arrays_.size(), columns));
    for (std::size_t i = 0; i < columns; ++i) {
        write_array(arrays_[i], rows, i);
        types[i] = rows.columns()[i].is == column::type::integer ? postgres_int8_array : postgres_text_array;
        values[i] = arrays_[i].data();
        lengths[i] = static_cast<int>(arrays_[i].size());
    }
    ready();
    const auto answer = finish(PQsendQueryParams(session_, insert_statement(rows).c_str(), static_cast<int>(columns),
                                                 types.data(), values.data(), lengths.data(), formats.data(), 0),
                               limits_.statement_timeout);
    std::vector<value> inserted(static_cast<std::size_t>(PQntuples(answer.get())));
    for (std::size_t at = 0; at < inserted.size(); ++at) {
        inserted[at] = cell_of(answer.get(), static_cast<int>(at), 0);
    }
    return inserted;
}

void postgres_connection::rollback() noexcept {
    if (!state_.is_open()) return;
    state_.ended();
    if (session_ == nullptr) return;
    try {
        finish(PQsendQuery(session_, "ROLLBACK"), limits_.statement_timeout);
    } catch (const std::exception&) {
        // The server rolls back what belongs to a connection that ends.
        close();
    }
}

value postgres_connection::cell_of(const PGresult* from, int row, int field) {
    if (PQgetisnull(from, row, field) != 0) return {};
    const auto bytes = static_cast<std::size_t>(PQgetlength(from, row, field));
    return value_of_postgres(PQftype(from, field), {PQgetvalue(from, row, field), bytes});
}

}  // namespace

value value_of_postgres(unsigned type, std::string_view text) {
    auto digits = text;
    switch (type) {
        case postgres_bool:
            return std::int64_t{text == "t"};
        case postgres_numeric:
            if (const auto point = text.find('.'); point != std::string_view::npos) {
                if (text.find_first_not_of('0', point + 1) != std::string_view::npos) return std::string(text);
                digits = text.substr(0, point);
            }
            break;
        case postgres_int2:
        case postgres_int4:
        case postgres_int8:
        case postgres_oid:
            break;
        default:
            return std::string(text);
    }
    std::int64_t number = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (read.ec != std::errc{} || read.ptr != digits.data() + digits.size()) return std::string(text);
    return number;
}

failure_kind kind_of_sqlstate(std::string_view sqlstate) {
    const auto is_in = [&](std::initializer_list<std::string_view> prefixes) {
        for (const auto prefix : prefixes) {
            if (sqlstate.starts_with(prefix)) return true;
        }
        return false;
    };
    // A parameter too few or too many, when the connection goes on.
    if (sqlstate == "08P01") return failure_kind::invalid;
    // Of 40: serialization failure, deadlock. 55P03: lock not available.
    if (is_in({"40001", "40P01", "55P03"})) return failure_kind::busy;
    if (is_in({"23"})) return failure_kind::conflict;
    // 08: connection. 53: out of disk, memory or connections. 57: cancelled by a limit or an operator, shutting down,
    // starting. 58: the server's disk. 25006: a standby after a failover. 40003: the answer was lost. XX001, XX002:
    // broken data.
    if (is_in({"08", "53", "57", "58", "25006", "40003", "XX001", "XX002"})) return failure_kind::unavailable;
    return failure_kind::invalid;
}

std::unique_ptr<connection> open_postgres(std::string_view url, const options& limits,
                                          std::shared_ptr<const base::live_secret> live) {
    const std::string text(url);
    auto trouble = trouble_with_url(url);
    if (trouble.empty()) {
        // The message of libpq repeats parts of the URL and is not shown.
        auto* parts = PQconninfoParse(text.c_str(), nullptr);
        if (parts == nullptr) trouble = "cannot be read: special characters of a password are percent-encoded";
        PQconninfoFree(parts);
    }
    if (!trouble.empty()) {
        throw failure(failure_kind::invalid, fmt::format("postgres: the database URL {}", trouble));
    }
    return std::make_unique<postgres_connection>(url, limits, std::move(live));
}

}  // namespace database
