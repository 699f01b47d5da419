#include "ledger/journal.hpp"

#include <mutex>

#include "ledger/mapped_lane.hpp"
#include "ledger/replica_folder.hpp"

namespace ledger {

struct journal::state {
    explicit state(const options& chosen)
        : settings(chosen), folder(replica_folder::make(chosen.directory)), room(chosen.bytes_max) {}

    std::vector<mapped_lane*> all() const {
        const std::lock_guard lock(mutex);
        std::vector<mapped_lane*> found;
        for (const auto& each : lanes) found.push_back(each.get());
        return found;
    }
    template <class Number>
    Number sum(Number (mapped_lane::*of)() const) const {
        Number total = 0;
        for (const mapped_lane* each : all()) total += (each->*of)();
        return total;
    }

    const options settings;
    const replica_folder folder;
    space room;

    mutable std::mutex mutex;  // guards `lanes`, which grows before the reactors run
    std::vector<std::unique_ptr<mapped_lane>> lanes;

    std::mutex syncing;
    std::uint32_t files_synced = 0;  // guarded by it
    std::size_t turn = 0;            // the writer's: the lane that is asked first
};

journal::journal(const options& settings) : state_(std::make_unique<state>(settings)) {}

journal::~journal() {
    for (const auto& each : state_->lanes) {
        if (!each->is_empty()) return;
    }
    for (const auto& each : state_->lanes) each->remove_files();
    state_->folder.remove_empty();
}

const std::string& journal::replica() const { return state_->folder.replica(); }

lane& journal::add_lane() {
    const std::lock_guard lock(state_->mutex);
    const std::string stem = state_->folder.path() + "/lane" + std::to_string(state_->lanes.size());
    state_->lanes.push_back(std::make_unique<mapped_lane>(stem, state_->settings, state_->room));
    return *state_->lanes.back();
}

std::uint64_t journal::bytes() const { return state_->room.used(); }
std::uint64_t journal::unread() const { return state_->sum(&mapped_lane::unread); }
std::uint32_t journal::open_attempts() const { return state_->sum(&mapped_lane::open_attempts); }
std::uint64_t journal::refusals_dropped() const { return state_->sum(&mapped_lane::refusals_dropped); }
std::uint64_t journal::damaged() const { return state_->sum(&mapped_lane::damaged); }

void journal::prepare() {
    for (mapped_lane* each : state_->all()) each->prepare();
}

void journal::sync() {
    const std::lock_guard one(state_->syncing);
    const std::uint32_t made = state_->sum(&mapped_lane::files_made);
    for (mapped_lane* each : state_->all()) each->sync();
    if (made != state_->files_synced) state_->folder.sync();
    state_->files_synced = made;
}

std::size_t journal::take(std::vector<const std::byte*>& into, std::size_t max) {
    const std::vector<mapped_lane*> lanes = state_->all();
    std::size_t count = 0;
    for (std::size_t i = 0; i < lanes.size() && count < max; ++i)
        count += lanes[(state_->turn + i) % lanes.size()]->take(into, max - count);
    ++state_->turn;
    return count;
}

void journal::accept() {
    for (mapped_lane* each : state_->all()) each->accept();
}

void journal::rewind() {
    for (mapped_lane* each : state_->all()) each->rewind();
}

}  // namespace ledger
