// Journal records into the database: one call, one transaction. Rows, their sums and the budgets' part are committed
// together, and a row that is already there adds nothing: records may be written again and again.
//
// Sums stop at the end of the range instead of wrapping or being refused: one absurd row must not take others with it.
// Holds the memory of its batches between calls. Thread rule: one thread, the connection's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "database/connection.hpp"
#include "ledger/journal.hpp"

namespace ledger {

// What the rows of a batch cost, by the budget account that they list.
struct account_sum {
    account_id account = 0;
    base::pico_dollars amount = 0;

    bool operator==(const account_sum&) const = default;
};
using sums_in_transaction = std::function<void(database::connection&, std::span<const account_sum>)>;

// One record of a journal, or one open slot of a dead process: a row of outcome `lost`.
struct journal_row {
    const std::byte* bytes = nullptr;
    std::string_view replica;
    bool is_slot = false;
    bool is_own = false;  // else its accounts mean nothing here
    std::int64_t lost_ms = 0;
};

// A failure of `in_transaction`, told apart because no row is to blame for it.
class hook_failure : public database::failure {
public:
    using database::failure::failure;
};

class row_writer {
public:
    row_writer();
    ~row_writer();

    // Throws database::failure; then nothing is written, or, when the failure is one of the commit, perhaps all is.
    // `in_transaction` may be empty. Returns the number of rows that were new.
    std::uint64_t write(database::connection& on, std::span<const journal_row> rows,
                        const sums_in_transaction& in_transaction);
    // The same within a transaction of the caller's: how many rows were new, and what those cost together.
    struct written {
        std::uint64_t rows = 0;
        base::pico_dollars cost = 0;
    };
    written write_within(database::connection& in_transaction, std::span<const journal_row> rows);
    // Of the last call of `write`, all its rows: the new ones and those that were there. Sorted by account.
    std::span<const account_sum> sums() const;

    // The same for one row that no call has written.
    static std::vector<account_sum> sums_of(const journal_row& row);

    // True when the database takes a row that is beyond doubt (and forgets it): then a row that it refused was to
    // blame, else the schema or the database is.
    bool is_sound(database::connection& on);

    // A row that the database refuses, as one line of JSON with a newline.
    static std::string as_json(const journal_row& row, std::string_view why, std::int64_t at_ms);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace ledger
