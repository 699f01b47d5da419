#include "gateway/batch_poller.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "anthropic/batch_text.hpp"
#include "anthropic/list_page.hpp"
#include "anthropic/made_ids.hpp"
#include "base/time_text.hpp"
#include "gateway/accounting.hpp"
#include "gateway/awaited.hpp"
#include "resources/custom_ids.hpp"

namespace gateway {
namespace {

using base::errc;
using resources::batch_entry;
using resources::batch_phase;
using resources::time_ms;

constexpr milliseconds round_every{1'000};
constexpr milliseconds book_max{30'000};             // an answer of the book: the database may be slow
constexpr std::uint64_t object_bytes_max = 1 << 20;  // a batch as JSON
constexpr std::uint64_t page_bytes_max = 16 << 20;   // a page of 1,000 of them
constexpr std::size_t line_bytes_max = 64 << 20;     // one result
constexpr std::size_t rows_per_write = 500;
constexpr std::size_t pages_searched_max = 20;
constexpr time_ms clocks_differ_ms = 60'000;            // ours and the upstream's
constexpr time_ms results_kept_ms = 29LL * 86'400'000;  // by the upstream
constexpr std::string_view batches_path = "/v1/messages/batches";

time_ms next_look(const batch_entry& one, const resources::options& rules, time_ms now) {
    const time_ms wait = (now - one.created_at) / 4;
    return now + std::clamp<time_ms>(wait, rules.batch_look_first.count(), rules.batch_look_max.count());
}

net::task<net::wake> pause(net::timer& clock, milliseconds for_so_long) {
    clock.set_after(for_so_long.count());
    net::wait_op nothing{nullptr, false, false, nullptr, clock};
    co_return co_await nothing;
}

// Lines out of pieces.
class line_splitter {
public:
    // Calls `visit` with every line that is complete; false: a line is too long.
    template <class Visit>
    bool feed(std::string_view piece, Visit visit) {
        while (!piece.empty()) {
            const std::size_t end = piece.find('\n');
            const std::string_view part = piece.substr(0, end);
            if (begun_.size() + part.size() > line_bytes_max) return false;
            if (end == piece.npos) {
                begun_.append(part);
                return true;
            }
            if (begun_.empty()) {
                visit(part);
            } else {
                begun_.append(part);
                visit(std::string_view(begun_));
                begun_.clear();
            }
            piece.remove_prefix(end + 1);
        }
        return true;
    }
    template <class Visit>
    void finish(Visit visit) {
        if (!begun_.empty()) visit(std::string_view(begun_));
    }

private:
    std::string begun_;
};

ledger::attempt attempt_of(const batch_entry& one, std::string_view request_id, std::string_view price_table,
                           time_ms now) {
    ledger::attempt row;
    row.request_id = request_id;
    row.started_ms = one.created_at;
    row.finished_ms = now;
    row.team_id = one.team_id;
    row.key_id = one.key_id;
    row.tags = one.tags;
    row.subject = one.subject;
    row.route = "batches";
    row.price_table = price_table;
    row.upstream_request_id = one.upstream_id;
    row.user_agent = one.user_agent;
    return row;
}

void add_result(ledger::row_buffer& to, const batch_entry& one, const anthropic::batch_result& result,
                const pricing::price_table& prices, time_ms now) {
    const std::string request_id = resources::result_request_id(one.id, result.custom_id);
    ledger::attempt row = attempt_of(one, request_id, prices.id(), now);
    const auto& seen = result.seen;
    bill made = bill_of(prices, seen, {.answered = true, .status = 200, .sent = true},
                        {.at_ms = one.created_at, .batch = true}, {}, 0);
    row.model = row.model_asked = seen.model;
    row.status = 200;
    row.result = made.result;
    row.unknown_model = made.unknown_model;
    row.cost = made.cost;
    row.cost_low = made.low;
    row.cost_high = made.high;
    row.message_id = seen.message_id;
    row.stop_reason = seen.stop_reason;
    row.usage = std::move(made.usage);
    to.add(row);
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
        const auto found = co_await search(clock, one);
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
    const auto seen = co_await see(clock, one.upstream_id);
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

std::size_t batch_poller::credentials() const {
    return std::max<std::size_t>(with_.upstream.settings().credentials.size(), 1);
}

std::string batch_poller::call_head() const {
    return fmt::format(
        " HTTP/1.1\r\nhost: {}\r\nanthropic-version: 2023-06-01\r\naccept-encoding: identity\r\n"
        "user-agent: claude-proxy/{}\r\n{}",
        with_.upstream.where().host_header, CLAUDE_PROXY_VERSION, with_.upstream.credential_line());
}

void batch_poller::warn(const batch_entry& about, std::string_view event, std::string what) {
    with_.log.log(telemetry::level::warn, event,
                  {{"request_id", about.id}, {"batch", about.upstream_id}, {"what", std::move(what)}});
}

net::task<base::result<batch_poller::sight>> batch_poller::see(net::timer& clock, const std::string& upstream_id) {
    // The credentials are used in turn, and only that of the batch's workspace sees it.
    for (std::size_t tried = 0; tried < credentials(); ++tried) {
        sight seen{.there = false, .status = {}, .head = call_head()};
        const std::string head =
            fmt::format("GET {}{}/{}{}", with_.upstream.where().path_prefix, batches_path, upstream_id, seen.head);
        const auto got = co_await fetch(with_.upstream, clock, nullptr, head, object_bytes_max);
        if (!got) co_return std::unexpected(got.error());
        if (got->status == 404) continue;
        if (got->status != 200) {
            co_return base::fail(errc::upstream_unavailable, fmt::format("The upstream answered {}.", got->status));
        }
        const auto state = anthropic::read_batch_state(got->body);
        if (!state) co_return base::fail(errc::upstream_protocol_error, "The batch cannot be read.");
        seen.there = true;
        seen.status = state->processing_status;
        co_return seen;
    }
    co_return sight{};
}

net::task<bool> batch_poller::write(net::timer& clock, const batch_entry& one,
                                    std::shared_ptr<const ledger::row_buffer> rows) {
    awaited<bool> written(with_.reactor);
    with_.book.settle(one.id, std::move(rows), written.taker());
    clock.set_after(book_max.count());
    co_return co_await written.wait(clock, nullptr) == net::wake::ready&& written.take();
}

// Every result becomes a row. Rows that are there already, from a look that was broken off, count no second time.
net::task<bool> batch_poller::settle(net::timer& clock, const batch_entry& one, const sight& seen) {
    const std::string head = fmt::format("GET {}{}/{}/results{}", with_.upstream.where().path_prefix, batches_path,
                                         one.upstream_id, seen.head);
    line_splitter lines;
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
    const body_taker take = [&](std::string_view piece) -> net::task<bool> {
        if (!lines.feed(piece, visit)) {
            trouble = "a result is too long";
            co_return false;
        }
        if (rows->size() < rows_per_write) co_return true;
        auto full = std::exchange(rows, std::make_shared<ledger::row_buffer>(with_.book.replica()));
        if (co_await write(clock, one, std::move(full))) co_return true;
        trouble = "the ledger cannot be written";
        co_return false;
    };
    const auto got = co_await fetch(with_.upstream, clock, nullptr, head, object_bytes_max, take);
    if (!got) trouble = got.error().detail.empty() ? "the upstream broke off" : got.error().detail;
    if (got && got->status != 200) {
        const bool is_archived =
            got->status >= 400 && got->status < 500 && with_.now() - one.created_at > results_kept_ms;
        if (is_archived) co_return co_await give_up(clock, one);
        trouble = fmt::format("the upstream answered {}", got->status);
    }
    if (trouble.empty()) {
        lines.finish(visit);
        if (rows->size() > 0 && !co_await write(clock, one, std::move(rows))) trouble = "the ledger cannot be written";
    }
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
    ledger::attempt row = attempt_of(one, one.id, with_.prices.id(), with_.now());
    row.result = ledger::outcome::lost;
    row.reason = "batch_gone";
    row.cost_high = one.bound;
    rows->add(row);
    if (!co_await write(clock, one, std::move(rows))) co_return false;
    with_.book.failed(one.id);
    co_return true;
}

net::task<std::optional<std::string>> batch_poller::digest_of_results(net::timer& clock, const std::string& upstream_id,
                                                                      const std::string& head) {
    line_splitter lines;
    resources::custom_id_digest ids;
    const auto visit = [&](std::string_view line) {
        if (const auto result = anthropic::read_batch_result(line)) ids.add(result->custom_id);
    };
    const body_taker take = [&](std::string_view piece) -> net::task<bool> { co_return lines.feed(piece, visit); };
    const auto got = co_await fetch(
        with_.upstream, clock, nullptr,
        fmt::format("GET {}{}/{}/results{}", with_.upstream.where().path_prefix, batches_path, upstream_id, head),
        object_bytes_max, take);
    if (!got || got->status != 200) co_return std::nullopt;
    lines.finish(visit);
    co_return ids.text();
}

// Upstream keeps no note of ours. What is known of the batch are the time, the number of requests and, once it has
// ended, the custom ids of its results: a batch that nobody else is known to have made and that has all three is it.
net::task<std::optional<std::string>> batch_poller::search(net::timer& clock, const batch_entry& one) {
    bool may_come = false;
    for (std::size_t tried = 0; tried < credentials(); ++tried) {
        const std::string head = call_head();
        std::vector<anthropic::batch_state> candidates;
        std::string after;
        bool more = true;
        for (std::size_t page_number = 0; more && page_number < pages_searched_max; ++page_number) {
            const auto got = co_await fetch(
                with_.upstream, clock, nullptr,
                fmt::format("GET {}{}?limit=1000{}{}", with_.upstream.where().path_prefix, batches_path, after, head),
                page_bytes_max);
            const auto page = got && got->status == 200 ? anthropic::read_list_page(got->body) : std::nullopt;
            if (!page) co_return std::nullopt;
            more = page->has_more && !page->entries.empty();
            for (const auto& entry : page->entries) {
                auto state = anthropic::read_batch_state(entry.json);
                const auto made_at = state ? base::parse_time(state->created_at) : std::nullopt;
                if (!made_at) continue;
                if (*made_at < one.created_at - clocks_differ_ms)
                    more = false;  // the newest come first
                else if (state->requests == one.requests)
                    candidates.push_back(std::move(*state));
            }
            if (more) after = "&after_id=" + page->entries.back().id;
        }
        std::vector<std::string> ids;
        for (const auto& each : candidates) ids.push_back(each.id);
        awaited<std::optional<std::vector<std::string>>> answer(with_.reactor);
        with_.book.unknown_of(std::move(ids), answer.taker());
        clock.set_after(book_max.count());
        if (co_await answer.wait(clock, nullptr) != net::wake::ready) co_return std::nullopt;
        const auto unknown = answer.take();
        if (!unknown) co_return std::nullopt;
        for (const auto& each : std::views::reverse(candidates)) {  // of two that could be it, the older one
            if (std::ranges::find(*unknown, each.id) == unknown->end()) continue;
            if (each.processing_status != "ended") {
                may_come = true;
                continue;
            }
            const auto digest = co_await digest_of_results(clock, each.id, head);
            if (!digest) co_return std::nullopt;
            if (*digest == one.digest) co_return each.id;
        }
    }
    if (may_come) co_return std::nullopt;
    co_return std::string();
}

}  // namespace gateway
