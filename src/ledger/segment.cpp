#include "ledger/segment.hpp"

#include <algorithm>
#include <cstring>

#include "ledger/record.hpp"

namespace ledger {
namespace {

constexpr std::size_t generation_at = 8;
constexpr std::size_t used_at = 64;  // a cache line of its own each: one is the lane's, the other the reader's
constexpr std::size_t read_at = 128;
constexpr std::size_t magic_bytes = 8;

std::atomic_ref<std::uint64_t> mark(const mapped_file& of, std::size_t at) {
    return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(of.data() + at));
}

}  // namespace

segment::segment(mapped_file fresh) : file_(std::make_shared<mapped_file>(std::move(fresh))) {
    mark(*file_, used_at).store(segment_header_bytes, std::memory_order_relaxed);
    mark(*file_, read_at).store(segment_header_bytes, std::memory_order_relaxed);
    std::memcpy(file_->data(), layout_version, magic_bytes);
}

// Killed between any two of these stores, the file holds nothing that would be read.
segment::segment(const segment& spent) : file_(spent.file_), generation_(spent.generation_ + 1) {
    mark(*file_, generation_at).store(generation_, std::memory_order_release);
    mark(*file_, used_at).store(segment_header_bytes, std::memory_order_release);
    mark(*file_, read_at).store(segment_header_bytes, std::memory_order_release);
}

bool segment::is_segment(const mapped_file& old) {
    return old.size() > segment_header_bytes && std::memcmp(old.data(), layout_version, magic_bytes) == 0;
}

void segment::commit(std::size_t bytes) {
    position_ += bytes;
    mark(*file_, used_at).store(position_, std::memory_order_release);
}

std::uint64_t segment::used() const { return mark(*file_, used_at).load(std::memory_order_acquire); }
std::uint64_t segment::read() const { return mark(*file_, read_at).load(std::memory_order_relaxed); }
void segment::mark_read(std::uint64_t offset) { ledger::mark_read(*file_, offset); }

void segment::populate_ahead(std::size_t ahead_bytes) {
    const std::size_t wanted = std::min<std::size_t>(file_->size(), used() + ahead_bytes);
    const std::size_t present = populated_.load(std::memory_order_relaxed);
    const bool is_little = wanted < file_->size() && wanted < present + ahead_bytes / 2;  // not worth a call yet
    if (wanted <= present || is_little) return;
    file_->populate(present, wanted - present);
    populated_.store(wanted, std::memory_order_relaxed);
}

void segment::sync() {
    const bool is_full = next() != nullptr;  // before `used`, which then no longer moves
    const std::uint64_t end = used();
    const std::uint64_t begin = std::max(read(), synced_);
    if (begin < end) {
        file_->sync(begin, end - begin);
        file_->sync(0, segment_header_bytes);
        synced_ = end;
    }
    if (is_full && !forgotten_) file_->forget();
    forgotten_ = is_full;
}

segment_marks marks_of(const mapped_file& old) {
    return {.used = mark(old, used_at).load(std::memory_order_acquire),
            .read = mark(old, read_at).load(std::memory_order_acquire),
            .generation = static_cast<std::uint32_t>(mark(old, generation_at).load(std::memory_order_acquire))};
}

void mark_read(const mapped_file& old, std::uint64_t offset) {
    mark(old, read_at).store(offset, std::memory_order_release);
}

}  // namespace ledger
