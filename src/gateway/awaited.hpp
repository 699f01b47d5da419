// One answer of another thread, for a coroutine of a reactor.
//
//   awaited<finding> answer(reactor);
//   owners.ask(ids, team, answer.taker());
//   const auto why = co_await answer.wait(timer, &client);
//   if (why == net::wake::ready) use(answer.take());
//
// Thread rule: the reactor's thread, except the taker, which any thread may call, once, also when nobody waits any
// more.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "net/signal.hpp"

namespace gateway {

template <class T>
class awaited {
public:
    explicit awaited(net::reactor& owner) : came_(owner), shared_(std::make_shared<shared>()) {}

    std::function<void(T)> taker() const {
        return [shared = shared_, wake = came_.notifier()](T value) {
            {
                const std::lock_guard held(shared->mutex);
                shared->value.emplace(std::move(value));
            }
            wake();
        };
    }

    // Ready: `take` has it. Anything else: it has not come.
    net::task<net::wake> wait(net::timer& clock, net::stream* watched) {
        co_return co_await came_.wait(clock, watched);
    }

    T take() {
        const std::lock_guard held(shared_->mutex);
        return std::move(*shared_->value);
    }

private:
    struct shared {
        std::mutex mutex;
        std::optional<T> value;
    };
    net::signal came_;
    std::shared_ptr<shared> shared_;
};

}  // namespace gateway
