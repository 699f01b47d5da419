// Wakes a coroutine of a reactor from another thread: a key that was looked up, a budget that has room again.
//
//   net::signal answered(reactor);
//   ask([wake = answered.notifier()] { wake(); });
//   timer.set_after(1'000);
//   switch (co_await answered.wait(timer, &client)) { case net::wake::ready: ... }
//
// Thread rule: the reactor's thread, except the notifier, which any thread may call, any number of times, also after
// the signal is gone; the reactor must outlive it.
#pragma once

#include <functional>
#include <memory>

#include "net/stream.hpp"

namespace net {

class signal {
public:
    explicit signal(reactor& owner) : slot_(std::make_shared<io_slot>()), reactor_(owner) {}

    std::function<void()> notifier() const {
        return [slot = slot_, &owner = reactor_] { owner.post([slot] { slot->notify(EPOLLIN); }); };
    }

    // The same from the reactor's own thread, at once.
    void raise() { slot_->notify(EPOLLIN); }

    // Ready when it was notified since the last wait that said so. `watched`: a peer whose leaving ends the wait.
    task<wake> wait(timer& clock, stream* watched) {
        wait_op until = watched ? watched->until(*slot_, clock) : wait_op{slot_.get(), true, false, nullptr, clock};
        const wake why = co_await until;
        if (why == wake::ready) slot_->readable = false;
        co_return why;
    }

private:
    std::shared_ptr<io_slot> slot_;
    reactor& reactor_;
};

}  // namespace net
