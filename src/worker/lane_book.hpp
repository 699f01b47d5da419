// The batch lane's thread with a connection, for coroutines of a reactor.
//
//   const auto due = co_await book.ask<std::vector<batch_entry>>(reactor, clock, [=](auto& on, auto&) { ... });
//
// What is asked is tried once, or, when it has to be known, until it is done; each may be repeated. Nothing: it was not
// done, or `stop` was called and nobody knows. Thread rule: the reactor's thread; `stop` by any, once.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "database/workers.hpp"
#include "ledger/row_writer.hpp"
#include "worker/answer_of.hpp"

namespace worker {

enum class persistence : std::uint8_t { once, until_done };

class lane_book {
public:
    // `trouble` hears of the first failure since something was done; on the book's thread.
    lane_book(database::options where, std::function<void(const std::string&)> trouble);
    ~lane_book() { stop(); }
    lane_book(const lane_book&) = delete;
    lane_book& operator=(const lane_book&) = delete;

    template <class T>
    net::task<std::optional<T>> ask(net::reactor& reactor, net::timer& clock, persistence how,
                                    std::function<T(database::connection&, ledger::row_writer&)> work);
    // Nobody waits for it; tried until it is done. Any thread.
    void later(std::function<void(database::connection&)> work);
    void stop();  // what is tried again is given up

private:
    // Runs `attempt` until it is done or given up.
    void run(const std::function<void()>& attempt, persistence how);

    std::function<void(const std::string&)> trouble_;
    ledger::row_writer writer_;  // of the thread
    bool is_out_ = false;        // of the thread: told once
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    std::unique_ptr<database::workers> thread_;  // last: it uses the others
};

template <class T>
net::task<std::optional<T>> lane_book::ask(net::reactor& reactor, net::timer& clock, persistence how,
                                           std::function<T(database::connection&, ledger::row_writer&)> work) {
    clock.set(net::timer::never);
    auto got = co_await answer_of<std::optional<T>>(reactor, clock, [&](std::function<void(std::optional<T>)> done) {
        const bool accepted = thread_ && thread_->submit([this, how, work, done](database::connection& on) {
            std::optional<T> made;
            run([&] { made.emplace(work(on, writer_)); }, how);
            done(std::move(made));
        });
        if (!accepted) done(std::nullopt);
    });
    if (!got) co_return std::nullopt;
    co_return std::move(*got);
}

}  // namespace worker
