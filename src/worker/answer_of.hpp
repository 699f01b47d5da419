// Awaits a call that answers on another thread: `begin` is given the function that takes the answer.
//
//   const auto how = co_await answer_of<jobs::outcome>(reactor, clock, [&](auto done) { store.finish(e, done); });
//
// Nothing: the clock was cancelled or its time was over first; the answer is then dropped when it comes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "net/signal.hpp"

namespace worker {

template <class Answer, class Begin>
net::task<std::optional<Answer>> answer_of(net::reactor& reactor, net::timer& clock, Begin begin) {
    net::signal heard(reactor);
    // Written before the wake-up is posted and read after it has run: the post orders the two.
    auto answer = std::make_shared<std::optional<Answer>>();
    begin(std::function<void(Answer)>([answer, wake = heard.notifier()](Answer given) {
        answer->emplace(std::move(given));
        wake();
    }));
    if (co_await heard.wait(clock, nullptr) != net::wake::ready) co_return std::nullopt;
    co_return std::move(*answer);
}

}  // namespace worker
