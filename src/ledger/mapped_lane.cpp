#include "ledger/mapped_lane.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <system_error>
#include <utility>

namespace ledger {
namespace {

constexpr std::size_t ahead_bytes_min = 128 * 1024;                    // made present before it is needed
constexpr std::size_t table_bytes = (slots_a_table + 1) * slot_bytes;  // a header of one slot's size

template <class Number>
void add(std::atomic<Number>& to, Number what) {  // by its only writer: no locked instruction
    to.store(to.load(std::memory_order_relaxed) + what, std::memory_order_relaxed);
}

}  // namespace

bool space::claim(std::uint64_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= bytes_max_) return true;
    release(bytes);
    return false;
}

mapped_lane::mapped_lane(std::string stem, const options& settings, space& room)
    : stem_(std::move(stem)),
      segment_bytes_(std::max<std::uint64_t>(settings.segment_bytes, segment_header_bytes + record_bytes_max)),
      slots_max_(settings.open_attempts_max),
      records_a_segment_((segment_bytes_ - segment_header_bytes) / record_bytes_max),
      space_(room) {
    // Nothing is allocated later on the reactor's way.
    ready_.reserve(slots_max_ / records_a_segment_ + 2);
    tables_.reserve(slots_max_ / slots_a_table + 1);
    free_.reserve(slots_max_);
    current_ = make_segment();
    std::byte* table = make_table();
    if (current_ == nullptr || table == nullptr)
        throw std::system_error(ENOSPC, std::generic_category(), "no room for the journal " + stem_);
    add_slots(table);
    filling_ = reading_ = current_;
}

segment* mapped_lane::make_segment() {
    const std::lock_guard lock(mutex_);
    if (spare_) {
        segments_.push_back(std::make_shared<segment>(*spare_));
        spare_.reset();
        return segments_.back().get();
    }
    if (!space_.claim(segment_bytes_)) return nullptr;
    try {
        auto file = mapped_file::create(stem_ + ".segment." + std::to_string(files_made_++), segment_bytes_);
        segments_.push_back(std::make_shared<segment>(std::move(file)));
        return segments_.back().get();
    } catch (const std::system_error&) {
        space_.release(segment_bytes_);
        return nullptr;
    }
}

std::byte* mapped_lane::make_table() noexcept {
    if (!space_.claim(table_bytes)) return nullptr;
    const std::lock_guard lock(mutex_);
    try {
        auto file = mapped_file::create(stem_ + ".open." + std::to_string(files_made_++), table_bytes);
        std::memcpy(file.data(), layout_version, 8);
        table_files_.push_back(std::make_shared<mapped_file>(std::move(file)));
        return table_files_.back()->data();
    } catch (const std::system_error&) {
        space_.release(table_bytes);
        return nullptr;
    }
}

void mapped_lane::add_slots(std::byte* table) {
    const slot first = slots_.load(std::memory_order_relaxed);
    const slot count = std::min(slots_a_table, slots_max_ - first);
    tables_.push_back(table);
    for (slot i = count; i > 0; --i) free_.push_back(first + i - 1);  // the last one freed is used again: warm memory
    slots_.store(first + count, std::memory_order_relaxed);
}

bool mapped_lane::has_slot() {
    if (!free_.empty()) return true;
    if (slots_.load(std::memory_order_relaxed) == slots_max_) return false;
    std::byte* table = next_table_.exchange(nullptr, std::memory_order_acquire);
    if (table == nullptr) table = make_table();
    if (table == nullptr) return false;
    add_slots(table);
    return true;
}

// Room for one more record than there are open attempts.
bool mapped_lane::has_room() {
    const std::size_t wanted = open_.load(std::memory_order_relaxed) + std::size_t{1};
    const std::size_t here = current_->room().size() / record_bytes_max;
    if (here + ready_.size() * records_a_segment_ >= wanted) return true;
    segment* more = next_segment_.exchange(nullptr, std::memory_order_acquire);
    if (more == nullptr) more = make_segment();
    if (more == nullptr) return false;
    ready_.push_back(more);
    return true;
}

lane::slot mapped_lane::open(const attempt& about) {
    if (!has_slot() || !has_room()) return no_slot;
    const slot which = free_.back();
    free_.pop_back();
    open_slot(slot_at(which), about);
    add(open_, std::uint32_t{1});
    return which;
}

std::byte* mapped_lane::reserve(std::size_t bytes) {
    if (current_->room().size() < bytes) {
        assert(!ready_.empty() && "open has seen to the room");
        segment* next = ready_.back();
        ready_.pop_back();
        current_->follow_with(next);
        current_ = next;
        filling_.store(next, std::memory_order_relaxed);
    }
    return current_->room().data();
}

void mapped_lane::commit(std::size_t bytes) {
    current_->commit(bytes);
    add(records_, std::uint64_t{1});
}

void mapped_lane::finish(slot which, const attempt& done, std::span<const account_id> accounts) {
    std::byte* const opened = slot_at(which);
    assert(slot_is_open(opened));
    slot_head head;
    std::memcpy(&head, opened, sizeof head);
    const attempt_plan as = plan(done, accounts.size());
    std::byte* const to = reserve(as.bytes);
    write_record(to, as, done, head.started_ms, head.number, accounts, current_->generation());
    commit(as.bytes);
    // Killed here, the attempt is both finished and open: the reader tells by the id.
    free_slot(opened);
    free_.push_back(which);
    add(open_, std::uint32_t(-1));
}

void mapped_lane::refuse(const refusal& what) {
    if (!has_room()) {
        add(refusals_dropped_, std::uint64_t{1});
        return;
    }
    const std::size_t bytes = record_bytes(what);
    std::byte* const to = reserve(bytes);
    write_record(to, what, current_->generation());
    commit(bytes);
}

std::shared_ptr<segment> mapped_lane::find(const segment* which) const {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find_if(segments_, [&](const auto& each) { return each.get() == which; });
    return found == segments_.end() ? nullptr : *found;
}

void mapped_lane::prepare() {
    const std::unique_lock one(preparing_, std::try_to_lock);
    if (!one.owns_lock()) return;
    // What was written since the last time will be written until the next one, and then some.
    const std::uint64_t written = records();
    const std::size_t ahead = std::max<std::size_t>(ahead_bytes_min, (written - prepared_records_) * 1024);
    prepared_records_ = written;
    // Held by `filling`, because the reader may be through with it meanwhile.
    if (const auto filling = find(filling_.load(std::memory_order_relaxed)); filling) filling->populate_ahead(ahead);
    if (next_segment_.load(std::memory_order_relaxed) == nullptr) {
        if (segment* made = make_segment(); made != nullptr) {
            made->populate_ahead(ahead);
            next_segment_.store(made, std::memory_order_release);
        }
    }
    const slot slots = slots_.load(std::memory_order_relaxed);
    const bool is_half_full = slots - open_.load(std::memory_order_relaxed) < slots_a_table / 2;
    if (is_half_full && slots < slots_max_ && next_table_.load(std::memory_order_relaxed) == nullptr)
        next_table_.store(make_table(), std::memory_order_release);
}

void mapped_lane::sync() {
    std::vector<std::shared_ptr<segment>> segments;
    std::vector<std::shared_ptr<mapped_file>> tables;
    {
        const std::lock_guard lock(mutex_);
        segments = segments_;
        tables = table_files_;
    }
    for (const auto& each : segments) each->sync();
    if (open_attempts() == 0) return;
    for (const auto& each : tables) each->sync(0, each->size());
}

std::uint32_t mapped_lane::files_made() const {
    const std::lock_guard lock(mutex_);
    return files_made_;
}

std::size_t mapped_lane::take(std::vector<const std::byte*>& into, std::size_t max) {
    std::size_t count = 0;
    while (count < max) {
        segment* const next = reading_->next();  // before `used`, which no longer moves when there is a next one
        const std::uint64_t used = reading_->used();
        const std::byte* const data = reading_->file().data();
        for (; taken_ < used && count < max; ++count) {
            const std::size_t bytes = whole_record({data + taken_, used - taken_}, reading_->generation());
            if (bytes == 0) {
                add(damaged_, std::uint64_t{1});
                taken_ = used;
                break;
            }
            into.push_back(data + taken_);
            taken_ += bytes;
        }
        if (taken_ < used || next == nullptr) break;
        spent_.push_back(std::exchange(reading_, next));
        taken_ = segment_header_bytes;
    }
    taken_records_ += count;
    return count;
}

void mapped_lane::accept() {
    for (segment* const each : spent_) drop(each);
    spent_.clear();
    reading_->mark_read(taken_);
    add(accepted_, std::exchange(taken_records_, 0));
}

void mapped_lane::rewind() {
    if (!spent_.empty()) reading_ = spent_.front();
    spent_.clear();
    taken_ = reading_->read();
    taken_records_ = 0;
}

void mapped_lane::drop(segment* which) {
    const std::lock_guard lock(mutex_);
    std::erase_if(segments_, [&](const auto& each) {
        if (each.get() != which) return false;
        if (!spare_) {
            each->mark_read(each->used());
            spare_ = each;
        } else {
            each->file().remove();
            space_.release(segment_bytes_);
        }
        return true;
    });
}

bool mapped_lane::is_empty() const {
    return open_attempts() == 0 && spent_.empty() && reading_->next() == nullptr &&
           reading_->read() == reading_->used();
}

void mapped_lane::remove_files() const noexcept {
    const std::lock_guard lock(mutex_);
    for (const auto& each : segments_) each->file().remove();
    if (spare_) spare_->file().remove();
    for (const auto& each : table_files_) each->remove();
}

}  // namespace ledger
