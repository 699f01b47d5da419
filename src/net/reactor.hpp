// One event loop per thread: readiness of sockets (epoll, edge-triggered), coarse timers, work posted by other threads.
//
// Nothing is shared between reactors and nothing here locks, except `post` and `stop`, which any thread may call.
// Everything else belongs to the thread inside `run`. A coroutine waits with
//
//     switch (co_await upstream.readable(timer, &client)) { case net::wake::ready: ... }
//
// where `timer` is the coroutine's own alarm clock: it bounds every wait and can cancel the one that is under way.
// Timers are coarse (tick_ms) and cost nothing per wait: moving a deadline later is one store. (A timer object set at
// every read was measured to cost a sixth more CPU per event.)
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "net/task.hpp"

namespace net {

class reactor;
class timer;
class wait_op;

// Why a wait ended.
enum class wake : std::uint8_t {
    ready,
    hangup,     // the watched peer closed its side
    timeout,    // the timer's deadline passed
    cancelled,  // timer::cancel, at shutdown
};

// Readiness of one socket as epoll last told it; owned by net::stream, which clears a bit when a call would block.
struct io_slot {
    bool readable = false;
    bool writable = false;
    bool hangup = false;
    wait_op* waiter = nullptr;   // waits for readable or writable
    wait_op* watcher = nullptr;  // waits for hangup while it is busy with another socket

    void notify(std::uint32_t events);
};

// The alarm clock of one coroutine. Not movable: it is linked into the reactor's wheel and outlives each wait.
class timer {
public:
    static constexpr std::int64_t never = INT64_MAX;

    explicit timer(reactor& owner) : reactor_(owner) {}
    ~timer() { unlink(); }
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;

    // `deadline_ms` on the reactor's clock (reactor::now_ms); `never` for none. Holds for all following waits.
    void set(std::int64_t deadline_ms) { deadline_ms_ = deadline_ms; }
    void set_after(std::int64_t milliseconds);
    std::int64_t deadline_ms() const { return deadline_ms_; }

    // Ends the wait under way and every following one with wake::cancelled, until `revive`.
    void cancel();
    void revive() { cancelled_ = false; }
    bool cancelled() const { return cancelled_; }

private:
    friend class reactor;
    friend class wait_op;
    void arm();
    void unlink();

    reactor& reactor_;
    std::int64_t deadline_ms_ = never;
    std::int64_t linked_tick_ = 0;
    timer* previous_ = nullptr;
    timer* next_ = nullptr;
    bool linked_ = false;
    bool cancelled_ = false;
    wait_op* waiting_ = nullptr;
};

// What `co_await` on a stream or a timer uses; one coroutine, one wait.
class wait_op {
public:
    // `source` may be null (only the timer), `watched` may be null.
    wait_op(io_slot* source, bool for_read, bool for_write, io_slot* watched, timer& clock)
        : source_(source), for_read_(for_read), for_write_(for_write), watched_(watched), timer_(clock) {}
    wait_op(const wait_op&) = delete;
    wait_op& operator=(const wait_op&) = delete;
    ~wait_op() { unregister(); }

    bool await_ready();
    void await_suspend(std::coroutine_handle<> self);
    wake await_resume() const { return reason_; }

private:
    friend struct io_slot;
    friend class timer;
    friend class reactor;
    void fire(wake reason);
    void unregister();
    bool source_ready() const {
        return source_ && ((for_read_ && source_->readable) || (for_write_ && source_->writable));
    }

    io_slot* source_;
    bool for_read_;
    bool for_write_;
    io_slot* watched_;
    timer& timer_;
    wake reason_ = wake::ready;
    std::coroutine_handle<> self_;
};

class reactor {
public:
    static constexpr std::int64_t tick_ms = 8;
    static constexpr std::size_t scratch_bytes = 256 * 1024;

    reactor();
    ~reactor();
    reactor(const reactor&) = delete;
    reactor& operator=(const reactor&) = delete;

    void run();                             // until stop()
    void stop();                            // any thread
    void post(std::function<void()> work);  // any thread; runs on the reactor's thread

    // Destroys every task that is still running; after `run` has returned and before what the tasks refer to goes.
    void abandon_tasks();

    // Runs `work` to its end. An exception that leaves it is passed to `on_failure`, or ends the process without one.
    void spawn(task<void> work);
    std::function<void(std::exception_ptr)> on_failure;
    std::size_t running() const { return roots_; }

    std::int64_t now_ms() const { return now_us_ / 1000; }  // monotonic, read once a turn of the loop
    std::int64_t now_us() const { return now_us_; }

    // Lets the other ready coroutines run first; for loops that might never wait.
    auto yield() {
        struct awaiter {
            reactor& self;
            bool await_ready() const { return false; }
            void await_suspend(std::coroutine_handle<> handle) { self.ready_.push_back(handle); }
            void await_resume() const {}
        };
        return awaiter{*this};
    }

    // Memory for one read of any coroutine of this thread; its content is gone at the next suspension.
    std::span<char> scratch() { return {scratch_.get(), scratch_bytes}; }

    void add(int fd, io_slot& slot);  // removal is the close of the descriptor

private:
    friend class timer;
    friend class wait_op;
    struct root;
    struct root_entry {  // link of a spawned frame in the reactor's list
        root_entry* previous = nullptr;
        root_entry* next = nullptr;
        std::coroutine_handle<> frame;
    };

    static constexpr std::size_t wheel_slots = 512;
    void link(timer& entry);
    void expire();
    int wait_milliseconds() const;

    int epoll_fd_ = -1;
    int wake_fd_ = -1;
    io_slot wake_slot_;
    std::int64_t now_us_ = 0;
    std::int64_t last_tick_ = 0;
    std::array<timer*, wheel_slots> wheel_{};
    std::size_t timers_ = 0;
    std::vector<std::coroutine_handle<>> ready_;
    std::vector<std::coroutine_handle<>> running_;
    std::unique_ptr<char[]> scratch_;
    root_entry* first_root_ = nullptr;
    std::size_t roots_ = 0;
    std::atomic<bool> stopping_{false};
    std::mutex posted_mutex_;
    std::vector<std::function<void()>> posted_;
};

std::int64_t monotonic_us();

}  // namespace net
