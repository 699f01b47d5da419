#include "admin/on_workers.hpp"

#include <fmt/format.h>

#include <memory>
#include <mutex>
#include <optional>

namespace admin {

using base::errc;

namespace {

constexpr std::chrono::seconds ask_again{1};

// Shared between the coroutine that waits and the thread that works, each of which may be the last to know of it.
struct errand {
    std::mutex mutex;
    net::reactor* reactor;  // null: nobody waits any more, and the reactor may be gone; guarded by the mutex
    net::timer* waiting;    // this and the outcome are touched on the reactor's thread only
    std::optional<base::result<reply>> outcome{};

    errand(net::reactor& at, net::timer& clock) : reactor(&at), waiting(&clock) {}
    bool is_wanted() {
        const std::lock_guard lock(mutex);
        return reactor != nullptr;
    }
};

// The frame that waits may go at any time: also when the reactor's tasks are abandoned.
struct waiter {
    std::shared_ptr<errand> on;
    ~waiter() {
        const std::lock_guard lock(on->mutex);
        on->reactor = nullptr;
        on->waiting = nullptr;
    }
};

base::result<reply> outcome_of(const std::function<base::result<reply>(database::connection&)>& work,
                               database::connection& connection, telemetry::hub& hub) {
    try {
        return work(connection);
    } catch (const database::failure& problem) {
        using enum database::failure_kind;
        if (problem.kind == conflict) {
            return base::fail(errc::conflict, "Somebody else changed the same thing at the same time; look again.");
        }
        hub.log(telemetry::level::error, "admin_database", {{"what", problem.what()}});
        if (problem.kind != invalid) return base::fail(errc::database_unavailable, {}, ask_again);
    } catch (const std::exception& problem) {
        hub.log(telemetry::level::error, "admin_failed", {{"what", problem.what()}});
    }
    return base::fail(errc::internal, "The gateway failed; the request id finds the reason in its log.");
}

void bring_back(const std::shared_ptr<errand>& shared, base::result<reply> outcome) {
    const std::lock_guard lock(shared->mutex);
    if (!shared->reactor) return;
    shared->reactor->post([shared, outcome = std::move(outcome)]() mutable {
        shared->outcome = std::move(outcome);
        if (shared->waiting) shared->waiting->cancel();
    });
}

}  // namespace

net::task<base::result<reply>> on_workers(http::connection& client, database::workers& workers, telemetry::hub& hub,
                                          std::chrono::milliseconds at_most,
                                          std::function<base::result<reply>(database::connection&)> work) {
    const auto shared = std::make_shared<errand>(client.reactor(), client.timer());
    const waiter here{shared};
    const bool taken = workers.submit([shared, &hub, work = std::move(work)](database::connection& connection) {
        if (shared->is_wanted()) bring_back(shared, outcome_of(work, connection, hub));
    });
    if (!taken) {
        co_return base::fail(errc::database_unavailable,
                             "Too much work is waiting for the database; try again shortly.", ask_again);
    }
    client.timer().set_after(at_most.count());
    net::wait_op pause{nullptr, false, false, nullptr, client.timer()};
    const net::wake why = co_await pause;
    if (shared->outcome) {
        client.timer().revive();
        co_return std::move(*shared->outcome);
    }
    if (why == net::wake::cancelled) co_return base::fail(errc::shutting_down, "The gateway is shutting down.");
    co_return base::fail(errc::database_unavailable,
                         fmt::format("The database did not answer within {} ms; try again shortly.", at_most.count()),
                         ask_again);
}

}  // namespace admin
