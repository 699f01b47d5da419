// The ledger's first stop: files that survive the process, written by the reactors without a system call and read by
// the ledger's writer.
//
// A lane is one reactor's: a table of open attempts (fixed slots) and a chain of segment files of finished ones, both
// memory-mapped and preallocated. `open` takes a slot before the request goes upstream; `finish` appends the finished
// row and only then frees the slot: after a kill -9 the table says what was under way (rows of outcome `lost`), and a
// row that was finished but not freed is told by its id. Records carry a length and a CRC-32; a torn one ends a
// segment. A kernel crash may lose what was not yet flushed (`sync_every`).
//
// Folder: DIR/REPLICA/ with a lock file held for the process's life. Folders whose lock is free are what dead processes
// left: the writer adopts them (writer.hpp).
//
// Thread rule: a lane's `open`, `finish`, `refuse` belong to one reactor; the writer's side to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ledger/attempt.hpp"
#include "ledger/options.hpp"

namespace ledger {

// A budget that was held for an attempt, by the number of its account (governance/budget.hpp): the writer tells what of
// the account has reached the database. Means nothing to another process.
using account_id = std::uint32_t;
inline constexpr std::size_t accounts_max = 12;

class lane {
public:
    using slot = std::uint32_t;
    static constexpr slot no_slot = UINT32_MAX;

    virtual ~lane() = default;

    // Notes an attempt that is about to go upstream; of `about` the members known by then. no_slot: the journal is full
    // (journal_bytes_max, or open_attempts_max of this lane): the request must not be sent.
    virtual slot open(const attempt& about) = 0;
    // The slot is free afterwards. Never fails: its room was reserved by `open`.
    virtual void finish(slot which, const attempt& done, std::span<const account_id> accounts) = 0;
    // Dropped when the journal is full.
    virtual void refuse(const refusal& what) = 0;

    virtual std::uint32_t open_attempts() const = 0;  // any thread
};

class journal {
public:
    // Makes the folder; throws std::system_error.
    explicit journal(const options& settings);
    // When the reactors are gone. Removes the folder when nothing is open and everything has reached the database; else
    // the next process adopts it.
    ~journal();
    journal(const journal&) = delete;
    journal& operator=(const journal&) = delete;

    const std::string& replica() const;  // "rep_" and 24 characters: this process
    lane& add_lane();                    // one per reactor, before it runs; throws std::system_error

    // Any thread.
    std::uint64_t bytes() const;   // of its files
    std::uint64_t unread() const;  // records that have not reached the database
    std::uint32_t open_attempts() const;
    std::uint64_t refusals_dropped() const;
    std::uint64_t damaged() const;  // places of the journal that made no sense: memory gone bad
    void prepare();                 // makes the files that the lanes need next
    void sync();                    // flushes to the disk what is not in the database; throws std::system_error

    // The writer's thread. Appends records that were not taken yet, at most `max`, lanes in turn. Their memory stays
    // until `accept`, which says that all that was taken is in the database, or `rewind`, which says that it is not: it
    // will be taken again.
    std::size_t take(std::vector<const std::byte*>& into, std::size_t max);
    void accept();
    void rewind();

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace ledger
