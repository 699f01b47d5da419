// A reactor's lane: its chain of segments and its table of open attempts, and the two jobs of other threads on it:
// `keep` (the writer or the keeper: files ready ahead, flushing) and `take` / `accept` (the writer: reading).
//
// An attempt is opened only when the files already made have room for its record, whatever its size and whatever else
// is open: `finish` meets neither a full disk nor the journal's limit.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ledger/journal.hpp"
#include "ledger/mapped_file.hpp"
#include "ledger/record.hpp"
#include "ledger/segment.hpp"

namespace ledger {

// The bytes that all files of one process may take together. Any thread.
class space {
public:
    explicit space(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}
    bool claim(std::uint64_t bytes);
    void release(std::uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
    std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }

private:
    const std::uint64_t bytes_max_;
    std::atomic<std::uint64_t> used_ = 0;
};

inline constexpr std::uint32_t slots_a_table = 1024;  // files of open attempts: half a megabyte

class mapped_lane final : public lane {
public:
    // `stem`: the files are called STEM.segment.N and STEM.open.N. Makes the first of each; throws std::system_error.
    mapped_lane(std::string stem, const options& settings, space& room);

    // The reactor's.
    slot open(const attempt& about) override;
    void finish(slot which, const attempt& done, std::span<const account_id> accounts) override;
    void refuse(const refusal& what) override;

    // Any thread.
    std::uint32_t open_attempts() const override { return open_.load(std::memory_order_relaxed); }
    std::uint64_t records() const { return records_.load(std::memory_order_relaxed); }  // written since the start
    std::uint64_t unread() const { return records() - accepted_.load(std::memory_order_relaxed); }
    std::uint64_t refusals_dropped() const { return refusals_dropped_.load(std::memory_order_relaxed); }
    std::uint64_t damaged() const { return damaged_.load(std::memory_order_relaxed); }  // places that made no sense
    std::uint32_t files_made() const;
    void prepare();  // makes what the reactor will need next; a full disk or journal is no error
    void sync();     // throws std::system_error; one thread at a time

    // The writer's thread: committed records that were not taken yet, at most `max`; then, when they are in the
    // database, accept() for all that were taken, else rewind(). Their memory stays until then.
    std::size_t take(std::vector<const std::byte*>& into, std::size_t max);
    void accept();
    void rewind();

    // When the reactor is done: true when nothing is open and everything was accepted.
    bool is_empty() const;
    void remove_files() const noexcept;

private:
    bool has_room();
    bool has_slot();
    segment* make_segment();           // nullptr: no space
    std::byte* make_table() noexcept;  // nullptr: no space
    void add_slots(std::byte* table);
    std::byte* slot_at(slot which) const {
        return tables_[which / slots_a_table] + (which % slots_a_table + 1) * slot_bytes;
    }
    void drop(segment* which);
    std::shared_ptr<segment> find(const segment* which) const;
    std::byte* reserve(std::size_t bytes);
    void commit(std::size_t bytes);

    const std::string stem_;
    const std::uint64_t segment_bytes_;
    const std::uint32_t slots_max_;
    const std::size_t records_a_segment_;  // of the largest kind
    space& space_;

    // The reactor's own.
    segment* current_ = nullptr;
    std::vector<segment*> ready_;  // empty segments, promised to open attempts
    std::vector<std::byte*> tables_;
    std::vector<slot> free_;

    // Shared.
    std::atomic<std::uint32_t> open_ = 0;
    std::atomic<std::uint32_t> slots_ = 0;
    std::atomic<std::uint64_t> records_ = 0;
    std::atomic<std::uint64_t> accepted_ = 0;  // of records_
    std::atomic<std::uint64_t> damaged_ = 0;
    std::atomic<std::uint64_t> refusals_dropped_ = 0;
    std::atomic<segment*> next_segment_ = nullptr;  // made ahead
    std::atomic<std::byte*> next_table_ = nullptr;
    std::atomic<segment*> filling_ = nullptr;  // current_, for prepare

    // All files. The reactor takes the lock only when it makes a file by itself.
    std::mutex preparing_;                // one thread at a time makes files ahead
    std::uint64_t prepared_records_ = 0;  // guarded by it: of records_
    mutable std::mutex mutex_;
    std::vector<std::shared_ptr<segment>> segments_;
    std::shared_ptr<segment> spare_;  // read to its end: its file is the next one
    std::vector<std::shared_ptr<mapped_file>> table_files_;
    std::uint32_t files_made_ = 0;

    // The reader's own.
    segment* reading_ = nullptr;
    std::uint64_t taken_ = segment_header_bytes;  // in reading_
    std::uint64_t taken_records_ = 0;             // and not accepted
    std::vector<segment*> spent_;                 // read to their end
};

}  // namespace ledger
