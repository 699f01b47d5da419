#include "ledger/dead_replica.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "ledger/record.hpp"
#include "ledger/segment.hpp"

namespace ledger {
namespace {

enum class layout : std::uint8_t { ours, unwritten, foreign };

layout layout_of(const mapped_file& file) {
    constexpr std::size_t magic_bytes = sizeof layout_version - 1;
    if (file.size() < segment_header_bytes) return layout::unwritten;
    if (std::memcmp(file.data(), layout_version, magic_bytes) == 0) return layout::ours;
    const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
    return std::all_of(file.data(), file.data() + magic_bytes, is_zero) ? layout::unwritten : layout::foreign;
}

}  // namespace

dead_replica::dead_replica(replica_folder of) : folder_(std::move(of)) {
    for (const std::string& path : folder_.files()) {
        mapped_file file = mapped_file::open(path);
        const layout found = layout_of(file);
        if (found == layout::foreign) foreign_ = true;
        if (found != layout::ours) continue;
        if (path.find(".segment.") != std::string::npos) {
            segments_.push_back(path);
        } else {
            tables_.push_back(std::move(file));
        }
    }
    if (foreign_) {
        segments_.clear();
        tables_.clear();
    }
}

bool dead_replica::next_segment() {
    if (segments_.empty()) return false;
    reading_.emplace(mapped_file::open(segments_.back()));
    segments_.pop_back();
    const segment_marks marks = marks_of(*reading_);
    generation_ = marks.generation;
    position_ = std::clamp<std::uint64_t>(marks.read, segment_header_bytes, reading_->size());
    return true;
}

std::size_t dead_replica::take(std::vector<journal_row>& into, std::size_t max) {
    std::size_t count = 0;
    while (count < max && (reading_ || next_segment())) {
        // Not only to `used`: a record behind it is whole when the process died between writing and publishing it, and
        // after a crash of the machine the header may be older than the records.
        const std::size_t bytes =
            whole_record({reading_->data() + position_, reading_->size() - position_}, generation_);
        if (bytes > 0) {
            into.push_back({.bytes = reading_->data() + position_, .replica = folder_.replica()});
            position_ += bytes;
            ++count;
            continue;
        }
        if (const std::uint64_t used = marks_of(*reading_).used; position_ < used)
            damage_.push_back(reading_->path() + ": " + std::to_string(used - position_) + " bytes behind offset " +
                              std::to_string(position_) + " cannot be read");
        spent_.push_back(std::move(*reading_));
        reading_.reset();
    }
    return count;
}

void dead_replica::accept() {
    for (const mapped_file& each : spent_) each.remove();
    spent_.clear();
    if (reading_) mark_read(*reading_, position_);
}

std::vector<journal_row> dead_replica::open_attempts(std::int64_t now_ms) {
    std::vector<journal_row> rows;
    for (const mapped_file& table : tables_) {
        for (std::size_t at = slot_bytes; at + slot_bytes <= table.size(); at += slot_bytes) {
            const std::byte* slot = table.data() + at;
            if (!slot_is_open(slot)) continue;
            if (slot_is_whole(slot)) {
                rows.push_back({.bytes = slot, .replica = folder_.replica(), .is_slot = true, .lost_ms = now_ms});
            } else {
                damage_.push_back(table.path() + ": the open attempt at offset " + std::to_string(at) +
                                  " cannot be read");
            }
        }
    }
    return rows;
}

void dead_replica::remove() noexcept {
    std::error_code ignored;  // what stays is read again by the next one, and adds nothing
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path(), ignored)) {
        if (entry.path().filename() != "lock") std::filesystem::remove(entry.path(), ignored);
    }
    folder_.remove_empty();
}

}  // namespace ledger
