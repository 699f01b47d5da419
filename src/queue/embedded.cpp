#include "queue/embedded.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "queue/checks.hpp"

namespace queue {
namespace {

// "7.2": the second receive of the message 7. A receipt of an earlier receive means nothing any more.
std::string receipt_of(std::uint64_t which, std::uint32_t receives) { return fmt::format("{}.{}", which, receives); }

}  // namespace

embedded_queue::embedded_queue(const options& settings) : settings_(settings) {}

std::vector<std::size_t> embedded_queue::send(std::span<const message> messages) {
    check_messages(messages);
    std::vector<std::size_t> refused;
    const std::lock_guard lock(mutex_);
    const auto now = clock::now();
    for (std::size_t i = 0; i < messages.size(); ++i) {
        if (entries_.size() >= settings_.queue_max) {
            refused.push_back(i);
            continue;
        }
        const id which = next_++;
        entry& made = entries_[which];
        made.body = messages[i].body;
        put(which, made, now + delay_of(messages[i]));
    }
    counts_.sent += messages.size() - refused.size();
    counts_.not_taken += refused.size();
    changed_.notify_all();
    return refused;
}

std::vector<delivery> embedded_queue::receive(std::size_t count, std::chrono::milliseconds at_most) {
    count = std::min(count, receive_max);
    std::vector<delivery> taken;
    std::unique_lock lock(mutex_);
    const auto until = clock::now() + std::min(at_most, wait_max);
    for (;;) {
        const auto now = clock::now();
        if (stopping_) return taken;
        wake_due(now);
        while (!waiting_.empty() && taken.size() < count) {
            const id which = waiting_.front();
            waiting_.pop_front();
            entry& found = entries_.at(which);
            if (found.receives >= settings_.receives_max) {
                if (dead_.size() >= settings_.dead_max) dead_.pop_front();
                dead_.push_back(std::move(found.body));
                entries_.erase(which);
                continue;
            }
            ++found.receives;
            found.hidden = true;
            ++in_flight_;
            taken.push_back({found.body, receipt_of(which, found.receives), found.receives});
            put(which, found, now + settings_.hidden_for);
        }
        if (!taken.empty() || count == 0 || now >= until) break;
        changed_.wait_until(lock, later_.empty() ? until : std::min(until, later_.begin()->first));
    }
    counts_.received += taken.size();
    return taken;
}

void embedded_queue::extend(std::span<const std::string> receipts, std::chrono::seconds hidden_for) {
    const std::lock_guard lock(mutex_);
    const auto now = clock::now();
    wake_due(now);
    for (const auto& receipt : receipts) {
        id which = 0;
        entry* const found = find(receipt, which);
        if (!found) continue;
        put(which, *found, now + hidden_within_limits(hidden_for));
        ++counts_.extended;
    }
    changed_.notify_all();
}

void embedded_queue::remove(std::span<const std::string> receipts) {
    const std::lock_guard lock(mutex_);
    wake_due(clock::now());
    for (const auto& receipt : receipts) {
        id which = 0;
        entry* const found = find(receipt, which);
        if (!found) continue;
        later_.erase({found->due, which});
        entries_.erase(which);
        --in_flight_;
        ++counts_.removed;
    }
}

depth embedded_queue::look() {
    const std::lock_guard lock(mutex_);
    wake_due(clock::now());
    return {waiting_.size(), in_flight_, later_.size() - in_flight_, dead_.size()};
}

std::size_t embedded_queue::redrive(std::size_t count) {
    const std::lock_guard lock(mutex_);
    std::size_t moved = 0;
    for (; moved < count && !dead_.empty() && entries_.size() < settings_.queue_max; ++moved) {
        const id which = next_++;
        entry& made = entries_[which];
        made.body = std::move(dead_.front());
        dead_.pop_front();
        put(which, made, {});
    }
    changed_.notify_all();
    return moved;
}

void embedded_queue::stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
}

// Out of where it is among the later ones, to where it belongs from now on. What is due goes by `wake_due`.
void embedded_queue::put(id which, entry& what, clock::time_point due) {
    later_.erase({what.due, which});
    what.due = due;
    later_.emplace(due, which);
}

void embedded_queue::wake_due(clock::time_point now) {
    while (!later_.empty() && later_.begin()->first <= now) {
        const id which = later_.begin()->second;
        later_.erase(later_.begin());
        entry& found = entries_.at(which);
        if (found.hidden) --in_flight_;
        found.hidden = false;
        waiting_.push_back(which);
    }
}

// The hidden message of this receipt, if it is that receive that hides it.
embedded_queue::entry* embedded_queue::find(const std::string& receipt, id& which) {
    const char* const end = receipt.data() + receipt.size();
    const auto [dot, problem] = std::from_chars(receipt.data(), end, which);
    if (problem != std::errc()) return nullptr;
    const auto found = entries_.find(which);
    if (found == entries_.end() || !found->second.hidden || receipt != receipt_of(which, found->second.receives))
        return nullptr;
    return &found->second;
}

}  // namespace queue
