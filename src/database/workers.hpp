// Threads that do blocking work on the database for the reactors: admin calls, look-ups, leases.
//
//   workers.submit([=](database::connection& on) { ... });              // fire and forget
//   reactor: co_await-able use is built by the caller with reactor.post.
//
// Work runs in the order given, each on some thread with a connection of its own. A `failure` that leaves the work is
// passed to `on_failure`. Thread rule: submit may be called from any thread; it never blocks.
#pragma once

#include <functional>
#include <memory>

#include "database/connection.hpp"

namespace database {

class workers {
public:
    using work = std::function<void(connection&)>;

    explicit workers(const options& settings, std::function<void(const std::exception&)> on_failure = {});
    ~workers();  // finishes what was submitted, at most for statement_timeout
    workers(const workers&) = delete;
    workers& operator=(const workers&) = delete;

    // False when queue_max is reached: nothing will run.
    bool submit(work what);

    std::size_t waiting() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace database
