// What the endpoints of durable jobs share: the store, the followers of logs, and how a coroutine asks the store.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange.hpp"
#include "jobs/store.hpp"
#include "jobs/tail.hpp"
#include "jobs/webhook_target.hpp"
#include "net/signal.hpp"

namespace gateway {

// Built by app; any thread.
struct job_desk {
    jobs::store& store;
    jobs::tail& tail;
    const jobs::options& rules;
    const jobs::webhook_rules& webhooks;

    std::atomic<std::uint64_t> submitted{0};  // new jobs
    std::atomic<std::uint64_t> repeated{0};   // submits under a known Idempotency-Key
    std::atomic<std::uint64_t> refused{0};    // submits that were not taken
};

// Calls `ask(done)` and waits until `done`, which any thread may call, was called with a T. The head's bytes must not
// be needed any more (connection::keep_input). Errors: client_left, shutting_down, jobs_unavailable.
template <class T, class Ask>
net::task<base::result<T>> from_store(exchange& x, const job_desk& desk, Ask ask) {
    constexpr std::chrono::seconds grace{5};  // for what was begun before the patience was over
    net::signal answered(x.client.reactor());
    const auto got = std::make_shared<std::optional<T>>();
    ask([got, wake = answered.notifier()](T what) {
        got->emplace(std::move(what));
        wake();
    });
    x.client.timer().set_after((desk.rules.write_patience + grace).count());
    switch (co_await answered.wait(x.client.timer(), &x.client.stream())) {
        case net::wake::ready:
            co_return std::move(**got);
        case net::wake::hangup:
            co_return base::fail(base::errc::client_left);
        case net::wake::cancelled:
            co_return base::fail(base::errc::shutting_down, "The gateway is shutting down.");
        case net::wake::timeout:
            break;
    }
    co_return base::fail(base::errc::jobs_unavailable, "The database did not answer in time.", std::chrono::seconds(1));
}

// The job's id out of "/v1/jobs/{id}..."; empty when it cannot be one.
std::string job_id_of(std::string_view path);

// done, or what to tell the caller: not_found, unavailable.
base::result<void> told(jobs::outcome how);

// A job of the caller's team. Errors: job_not_found, jobs_unavailable and those of from_store.
net::task<base::result<jobs::summary>> find_job(exchange& x, service& s, std::string id);
// Waits until it is final, at most for so long; then it is read again. Also too_many_followers.
net::task<base::result<jobs::summary>> find_job(exchange& x, service& s, std::string id, std::chrono::seconds wait);

// The query of a target as decoded names and values, in order. Errors: invalid_argument (a broken escape, a name that
// is not among `known`, one that occurs twice).
struct query_member {
    std::string name;
    std::string value;
};
base::result<std::vector<query_member>> read_query(std::string_view target, std::span<const std::string_view> known);
// The value of that name; nothing: absent.
std::optional<std::string_view> find(std::span<const query_member> query, std::string_view name);
// A whole number from 0 to `max`. Errors: invalid_argument.
base::result<std::uint64_t> read_number(std::string_view name, std::string_view text, std::uint64_t max);

}  // namespace gateway
