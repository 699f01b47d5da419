// The journal of a process that is dead, read to its end: its finished records, then the attempts that it had open.
//
// Holds the folder's lock, so that no other process adopts it at the same time. Functions throw std::system_error.
// Thread rule: one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ledger/mapped_file.hpp"
#include "ledger/replica_folder.hpp"
#include "ledger/row_writer.hpp"

namespace ledger {

class dead_replica {
public:
    explicit dead_replica(replica_folder of);

    const std::string& replica() const { return folder_.replica(); }
    // A file of another release's layout: nothing is read, nothing may be removed.
    bool is_foreign() const { return foreign_; }
    // Places that made no sense, with the file's name: the rest of that file is lost.
    const std::vector<std::string>& damage() const { return damage_; }

    // Appends finished records that were not taken yet, at most `max`; their memory stays until accept().
    std::size_t take(std::vector<journal_row>& into, std::size_t max);
    // Everything taken is in the database.
    void accept();

    // Open attempts, after take() has nothing more: rows of outcome `lost`. The finished ones among them (killed before
    // the slot was free) are already in the database, which tells them by their ids.
    std::vector<journal_row> open_attempts(std::int64_t now_ms);
    // When those are in the database too. Gives the lock back.
    void remove() noexcept;

private:
    bool next_segment();

    const replica_folder folder_;
    bool foreign_ = false;
    std::vector<std::string> segments_;  // not read yet
    std::vector<mapped_file> tables_;
    std::optional<mapped_file> reading_;
    std::uint64_t position_ = 0;
    std::uint32_t generation_ = 0;  // of the segment being read
    std::vector<mapped_file> spent_;
    std::vector<std::string> damage_;
};

}  // namespace ledger
