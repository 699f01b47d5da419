// One file of finished records: appended by its lane, read by the writer, or by another process after a death.
//
// The header holds two offsets. `used` is stored after the bytes of a record, with release order: whoever reads it
// sees whole records below it, and so does the next process, because a killed process's stores stay in the file.
// `read` is what has reached the database; losing it is harmless, rows are told by their ids.
//
// A file that was read to its end is used again: making one, touching its pages for the first time and deleting it
// costs more than all else about a record. Its generation, in the header, is part of each record's checksum, so that
// what is left of an earlier one is never taken for a record.
//
// Thread rule: `room`, `commit`, `follow_with` belong to the lane; `mark_read` to the reader; the rest any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "ledger/mapped_file.hpp"

namespace ledger {

inline constexpr std::size_t segment_header_bytes = 192;

class segment {
public:
    explicit segment(mapped_file fresh);     // writes the header
    explicit segment(const segment& spent);  // the same file, empty again; `spent` was marked as read to its end
    segment& operator=(const segment&) = delete;
    static bool is_segment(const mapped_file& old);  // false: killed before its header was written, so it is empty

    // The lane's side.
    std::span<std::byte> room() const { return {file_->data() + position_, file_->size() - position_}; }
    void commit(std::size_t bytes);
    // Nothing is written here afterwards.
    void follow_with(segment* next) { next_.store(next, std::memory_order_release); }

    std::uint64_t used() const;  // offset behind the last whole record
    std::uint64_t read() const;
    void mark_read(std::uint64_t offset);
    std::uint32_t generation() const { return generation_; }
    segment* next() const { return next_.load(std::memory_order_acquire); }

    // Makes the pages of so many bytes that come next present: from any thread.
    void populate_ahead(std::size_t ahead_bytes);
    // Flushes what has neither been read nor flushed yet. A full segment that waits for the database costs no memory
    // from then on. One thread at a time.
    void sync();

    const mapped_file& file() const { return *file_; }

private:
    const std::shared_ptr<mapped_file> file_;  // other threads may still look at it as the earlier segment
    const std::uint32_t generation_ = 0;
    std::size_t position_ = segment_header_bytes;  // the lane's copy of `used`
    std::atomic<segment*> next_ = nullptr;
    std::atomic<std::size_t> populated_ = 0;
    std::uint64_t synced_ = segment_header_bytes;  // sync's own
    bool forgotten_ = false;
};

// The two offsets of a file that another process has left.
struct segment_marks {
    std::uint64_t used = segment_header_bytes;
    std::uint64_t read = segment_header_bytes;
    std::uint32_t generation = 0;
};
segment_marks marks_of(const mapped_file& old);
void mark_read(const mapped_file& old, std::uint64_t offset);

}  // namespace ledger
