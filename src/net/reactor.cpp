#include "net/reactor.hpp"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace net {

std::int64_t monotonic_us() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

void io_slot::notify(std::uint32_t events) {
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) hangup = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable = true;
    if (hangup && watcher) watcher->fire(wake::hangup);
    if (waiter && waiter->source_ready()) waiter->fire(wake::ready);
}

void timer::set_after(std::int64_t milliseconds) { set(reactor_.now_ms() + milliseconds); }

void timer::cancel() {
    cancelled_ = true;
    if (waiting_) waiting_->fire(wake::cancelled);
}

void timer::arm() {
    if (deadline_ms_ == never) return;
    if (linked_ && linked_tick_ <= deadline_ms_ / reactor::tick_ms + 1) return;  // fires early and links itself again
    unlink();
    reactor_.link(*this);
}

void timer::unlink() {
    if (!linked_) return;
    if (previous_) {
        previous_->next_ = next_;
    } else {
        reactor_.wheel_[static_cast<std::size_t>(linked_tick_) % reactor::wheel_slots] = next_;
    }
    if (next_) next_->previous_ = previous_;
    previous_ = next_ = nullptr;
    linked_ = false;
    --reactor_.timers_;
}

bool wait_op::await_ready() {
    if (timer_.cancelled_) {
        reason_ = wake::cancelled;
        return true;
    }
    if (watched_ && watched_->hangup) {
        reason_ = wake::hangup;
        return true;
    }
    return source_ready();
}

void wait_op::await_suspend(std::coroutine_handle<> self) {
    self_ = self;
    if (source_) source_->waiter = this;
    if (watched_) watched_->watcher = this;
    timer_.waiting_ = this;
    timer_.arm();
}

void wait_op::fire(wake reason) {
    unregister();
    reason_ = reason;
    timer_.reactor_.ready_.push_back(self_);
}

void wait_op::unregister() {
    if (source_ && source_->waiter == this) source_->waiter = nullptr;
    if (watched_ && watched_->watcher == this) watched_->watcher = nullptr;
    if (timer_.waiting_ == this) timer_.waiting_ = nullptr;
}

// The frame at the bottom of a spawned task; kept in a list so that the reactor can destroy it at the end.
struct reactor::root {
    struct promise_type : root_entry {
        reactor* owner = nullptr;
        root get_return_object() { return root{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
        ~promise_type() {
            (previous ? previous->next : owner->first_root_) = next;
            if (next) next->previous = previous;
            --owner->roots_;
        }
    };
    std::coroutine_handle<promise_type> handle;

    static root run(reactor& owner, task<void> work) {
        try {
            co_await work;
        } catch (...) {
            if (!owner.on_failure) throw;
            owner.on_failure(std::current_exception());
        }
    }
};

reactor::reactor() : scratch_(new char[scratch_bytes]) {
    epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (epoll_fd_ < 0 || wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll or eventfd");
    add(wake_fd_, wake_slot_);
    now_us_ = monotonic_us();
    last_tick_ = now_ms() / tick_ms;
}

void reactor::abandon_tasks() {
    while (first_root_) first_root_->frame.destroy();
    ready_.clear();
}

reactor::~reactor() {
    abandon_tasks();
    close(wake_fd_);
    close(epoll_fd_);
}

void reactor::add(int fd, io_slot& slot) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &slot;
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
}

void reactor::spawn(task<void> work) {
    const root made = root::run(*this, std::move(work));
    auto& entry = made.handle.promise();
    entry.owner = this;
    entry.frame = made.handle;
    entry.next = first_root_;
    if (first_root_) first_root_->previous = &entry;
    first_root_ = &entry;
    ++roots_;
    ready_.push_back(made.handle);
}

void reactor::stop() {
    stopping_ = true;
    post([] {});
}

void reactor::post(std::function<void()> work) {
    {
        const std::lock_guard lock(posted_mutex_);
        posted_.push_back(std::move(work));
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake_fd_, &one, sizeof one);
}

void reactor::link(timer& entry) {
    // Round up: a timer never fires early. A deadline in the past fires at the next tick.
    entry.linked_tick_ = std::max(entry.deadline_ms_ / tick_ms + 1, last_tick_ + 1);
    timer*& head = wheel_[static_cast<std::size_t>(entry.linked_tick_) % wheel_slots];
    entry.previous_ = nullptr;
    entry.next_ = head;
    if (head) head->previous_ = &entry;
    head = &entry;
    entry.linked_ = true;
    ++timers_;
}

void reactor::expire() {
    const std::int64_t tick_now = now_ms() / tick_ms;
    if (tick_now <= last_tick_) return;
    const std::int64_t from = std::max(last_tick_ + 1, tick_now - static_cast<std::int64_t>(wheel_slots) + 1);
    last_tick_ = tick_now;
    for (std::int64_t tick = from; tick <= tick_now; ++tick) {
        timer* entry = wheel_[static_cast<std::size_t>(tick) % wheel_slots];
        while (entry) {
            timer* const following = entry->next_;
            if (entry->linked_tick_ <= tick_now) {  // else a later round of the wheel
                entry->unlink();
                if (entry->waiting_ && entry->deadline_ms_ != timer::never) {
                    if (entry->deadline_ms_ <= now_ms()) {
                        entry->waiting_->fire(wake::timeout);
                    } else {
                        link(*entry);
                    }
                }
            }
            entry = following;
        }
    }
}

int reactor::wait_milliseconds() const {
    if (!ready_.empty()) return 0;
    if (timers_ == 0) return -1;
    for (std::int64_t tick = last_tick_ + 1; tick <= last_tick_ + static_cast<std::int64_t>(wheel_slots); ++tick) {
        if (wheel_[static_cast<std::size_t>(tick) % wheel_slots]) {
            return static_cast<int>(std::max<std::int64_t>(tick * tick_ms - now_ms(), 0) + 1);
        }
    }
    return -1;
}

void reactor::run() {
    std::array<epoll_event, 256> events;
    while (!stopping_) {
        const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), wait_milliseconds());
        now_us_ = monotonic_us();
        // All bits are set before any coroutine runs, so none can see a half-told turn or a slot that another one
        // freed.
        for (int i = 0; i < count; ++i) {
            static_cast<io_slot*>(events[static_cast<std::size_t>(i)].data.ptr)
                ->notify(events[static_cast<std::size_t>(i)].events);
        }
        if (wake_slot_.readable) {
            wake_slot_.readable = false;
            std::uint64_t ignored = 0;
            [[maybe_unused]] const auto bytes = read(wake_fd_, &ignored, sizeof ignored);
            std::vector<std::function<void()>> work;
            {
                const std::lock_guard lock(posted_mutex_);
                work.swap(posted_);
            }
            for (auto& item : work) item();
        }
        expire();
        running_.swap(ready_);
        for (const auto handle : running_) handle.resume();
        running_.clear();
    }
}

}  // namespace net
