// The ledger's writer: a thread that carries the journal into the database, every row once whatever happens.
//
//   ledger::journal journal(options);                      // before the reactors; journal.add_lane() for each
//   ledger::writer writer(journal, options, database::open(url), hooks);
//   ... the reactors run, then end ...
//   writer.flush(deadline);                                // at shutdown; what is left is adopted by the next process
//
// Every `write_every` it reads what the lanes have finished and writes, in one transaction, the rows of `attempts` that
// are new, their sums in `usage_hourly` and `spend_daily`, and the refusals. A transaction that failed, or of which
// nobody knows whether it was committed, is repeated: rows that are already there add nothing. While the database is
// away the journal fills and the writer tries again after 100 ms, doubling to 5 s. A row that the database refuses for
// its own sake is put into DIR/rejected.jsonl and reported; the others go on.
//
// At the start and every 30 s it adopts the folders of dead processes: their finished records become rows, their open
// attempts rows of outcome `lost`. A second thread flushes the journal to the disk (`sync_every`) and makes its files
// ready ahead, so that neither waits for the database.
//
// Thread rule: any thread may call; hooks are called on the writer's thread (`trouble` on either of its two, one call
// at a time) and must not call back.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "database/connection.hpp"
#include "ledger/journal.hpp"
#include "ledger/options.hpp"
#include "ledger/row_writer.hpp"

namespace ledger {

// Each may be empty. Only the first and the third may throw, and only database::failure.
struct writer_hooks {
    // In the transaction of the rows, with what those of them cost that were not in the database before. A failure of
    // kind conflict or invalid is reported, and the rows are written without the hook: money that was spent is not
    // forgotten for it. Not called when there is nothing to tell.
    sums_in_transaction in_transaction{};
    // After the commit, with what all rows of the batch cost: also those that an earlier transaction had written whose
    // outcome was unknown. A row that was put aside (rejected.jsonl) is told alone. Each row is told once.
    std::function<void(std::span<const account_sum>)> written{};
    // In a transaction, when everything a dead process has left is in the database. It may be called again for the same
    // replica by another process.
    std::function<void(std::string_view replica, database::connection&)> adopted{};

    std::function<void(const std::string& why)> outage_began{};            // once an outage
    std::function<void(std::chrono::milliseconds lasted)> outage_ended{};  // once an outage
    std::function<void(const std::string& what)> trouble{};                // loud: a rejected row, a damaged file
};

struct writer_counts {
    std::atomic<std::uint64_t> rows_written = 0;  // new in the database, refusals not counted
    std::atomic<std::uint64_t> batches = 0;
    std::atomic<std::uint64_t> failures = 0;  // transactions that failed
    std::atomic<std::uint64_t> rows_rejected = 0;
    std::atomic<std::uint64_t> rows_adopted = 0;  // of dead processes, lost ones included; some may have been there
    std::atomic<std::uint64_t> lag_ms = 0;        // age of the oldest row that is not in the database
    std::atomic<std::uint64_t> journal_bytes = 0;
    std::atomic<std::uint64_t> open_attempts = 0;
};

struct flush_result {
    std::uint64_t rows_left = 0;
    std::uint32_t open_attempts = 0;
    bool is_complete() const { return rows_left == 0 && open_attempts == 0; }
};

class writer {
public:
    // The journal outlives the writer. Throws std::system_error when threads cannot be had.
    writer(journal& of, const options& settings, std::unique_ptr<database::connection> on, writer_hooks hooks = {});
    ~writer();  // ends at once, but for a call to the database that is under way
    writer(const writer&) = delete;
    writer& operator=(const writer&) = delete;

    // Writes what was finished before the call, trying again while the database is away, until the deadline.
    flush_result flush(std::chrono::steady_clock::time_point deadline);

    const writer_counts& counts() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace ledger
