#include "gateway/batch_poller.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "anthropic/batch_text.hpp"
#include "anthropic/made_ids.hpp"
#include "gateway/awaited.hpp"
#include "gateway/batch_account.hpp"

namespace gateway {
namespace {

using base::errc;
using resources::batch_entry;
using resources::batch_phase;
using resources::time_ms;

constexpr std::chrono::milliseconds round_every{1'000};
constexpr std::chrono::milliseconds book_max{30'000};  // an answer of the book: the database may be slow
constexpr std::size_t rows_per_write = 500;
constexpr time_ms results_kept_ms = 29LL * 86'400'000;  // by the upstream

net::task<net::wake> pause(net::timer& clock, std::chrono::milliseconds for_so_long) {
    clock.set_after(for_so_long.count());
    net::wait_op nothing{nullptr, false, false, nullptr, clock};
    co_return co_await nothing;
}

}  // namespace

void batch_poller::start() { with_.reactor.spawn(run()); }

net::task<void> batch_poller::run() {
    net::timer clock(with_.reactor);
    const std::uint32_t looks_max = with_.book.settings().batch_looks_max;
    while (co_await pause(clock, round_every) != net::wake::cancelled) {
        awaited<std::optional<std::vector<batch_entry>>> answer(with_.reactor);
        // Also when there is no room for more: what this process is making is renewed by it.
        with_.book.take_due(looks_max - std::min(looking_, looks_max), answer.taker());
        clock.set_after(book_max.count());
        if (co_await answer.wait(clock, nullptr) != net::wake::ready) continue;
        auto due = answer.take();
        if (!due) continue;
        for (auto& one : *due) with_.reactor.spawn(look_at(std::move(one)));
    }
}

net::task<void> batch_poller::look_at(batch_entry one) {
    struct counted {
        std::uint32_t& count;
        explicit counted(std::uint32_t& of) : count(of) { ++count; }
        ~counted() { --count; }
    } looking(looking_);
    net::timer clock(with_.reactor);
    const auto again = [&](std::string_view status) {
        const time_ms now = with_.now();
        with_.book.looked(one.id, std::string(status), next_look(one, with_.book.settings(), now));
    };
    if (one.phase == batch_phase::creating) {
        const auto found = co_await calls_.search(clock, one, [this](std::vector<std::string> ids, auto answer) {
            with_.book.unknown_of(std::move(ids), std::move(answer));
        });
        if (!found) {
            again("");
        } else if (found->empty()) {
            warn(one, "batch_never_made", "the request that should have made it was broken off");
            with_.book.failed(one.id);
        } else {
            with_.book.opened(one.id, *found, {});
            with_.owners.record({*found, resources::kind::batch, one.team_id, one.key_id}, {});
        }
        co_return;
    }
    const auto seen = co_await calls_.see(clock, one.upstream_id);
    if (!seen) {
        warn(one, "batch_not_seen", seen.error().detail);
        again(one.upstream_status);
    } else if (!seen->there) {
        warn(one, "batch_gone", "it was deleted past this gateway: what it cost is not known");
        if (!co_await give_up(clock, one)) again(one.upstream_status);
    } else if (seen->status != "ended" || !co_await settle(clock, one, *seen)) {
        again(seen->status);
    }
}

void batch_poller::warn(const batch_entry& about, std::string_view event, std::string what) {
    with_.log.log(telemetry::level::warn, event,
                  {{"request_id", about.id}, {"batch", about.upstream_id}, {"what", std::move(what)}});
}

net::task<bool> batch_poller::write(net::timer& clock, const batch_entry& one,
                                    std::shared_ptr<const ledger::row_buffer> rows) {
    awaited<bool> written(with_.reactor);
    with_.book.settle(one.id, std::move(rows), written.taker());
    clock.set_after(book_max.count());
    co_return co_await written.wait(clock, nullptr) == net::wake::ready&& written.take();
}

// Every result becomes a row. Rows that are there already, from a look that was broken off, count no second time.
net::task<bool> batch_poller::settle(net::timer& clock, const batch_entry& one, const batch_calls::sight& seen) {
    auto rows = std::make_shared<ledger::row_buffer>(with_.book.replica());
    std::uint64_t results = 0;
    std::uint64_t unreadable = 0;
    anthropic::made_ids made;
    std::string trouble;
    const auto visit = [&](std::string_view line) {
        if (line.find_first_not_of(" \t\r") == line.npos) return;
        const auto result = anthropic::read_batch_result(line);
        result ? ++results : ++unreadable;
        made.feed(line, [&](const std::string& id) {
            const auto what = resources::kind_of_id(id);
            if (what) with_.owners.record({id, *what, one.team_id, one.key_id}, {});
        });
        if (result && result->succeeded) add_result(*rows, one, *result, with_.prices, with_.now());
    };
    const auto flush = [&]() -> net::task<bool> {
        auto full = std::exchange(rows, std::make_shared<ledger::row_buffer>(with_.book.replica()));
        co_return co_await write(clock, one, std::move(full));
    };
    const auto got = co_await calls_.results(clock, one.upstream_id, seen.head, visit, [&]() -> net::task<bool> {
        if (rows->size() < rows_per_write || co_await flush()) co_return true;
        trouble = "the ledger cannot be written";
        co_return false;
    });
    if (!got) trouble = got.error().detail.empty() ? "the upstream broke off" : got.error().detail;
    if (got && *got != 200) {
        const bool is_archived = *got >= 400 && *got < 500 && with_.now() - one.created_at > results_kept_ms;
        if (is_archived) co_return co_await give_up(clock, one);
        trouble = fmt::format("the upstream answered {}", *got);
    }
    if (trouble.empty() && rows->size() > 0 && !co_await flush()) trouble = "the ledger cannot be written";
    if (trouble.empty()) {
        awaited<bool> finished(with_.reactor);
        with_.book.finish(one.id, finished.taker());
        clock.set_after(book_max.count());
        if (co_await finished.wait(clock, nullptr) != net::wake::ready || !finished.take())
            trouble = "the database is away";
    }
    if (!trouble.empty()) {
        warn(one, "batch_not_settled", std::move(trouble));
        co_return false;
    }
    if (unreadable > 0 || results != one.requests) {
        warn(one, "batch_results_odd",
             fmt::format("{} results and {} lines that are none, for {} requests", results, unreadable, one.requests));
    }
    co_return true;
}

net::task<bool> batch_poller::give_up(net::timer& clock, const batch_entry& one) {
    auto rows = std::make_shared<ledger::row_buffer>(with_.book.replica());
    ledger::attempt row = attempt_of_batch(one, one.id, with_.prices.id(), with_.now());
    row.result = ledger::outcome::lost;
    row.reason = "batch_gone";
    row.cost_high = one.bound;
    rows->add(row);
    if (!co_await write(clock, one, std::move(rows))) co_return false;
    with_.book.failed(one.id);
    co_return true;
}

}  // namespace gateway
