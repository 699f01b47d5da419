#include "gateway/batch_calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "anthropic/batch_text.hpp"
#include "anthropic/list_page.hpp"
#include "base/time_text.hpp"
#include "gateway/awaited.hpp"
#include "resources/custom_ids.hpp"

namespace gateway {
namespace {

using base::errc;
using resources::batch_entry;
using resources::time_ms;

constexpr std::chrono::milliseconds book_max{30'000};  // an answer of the book: the database may be slow
constexpr std::uint64_t object_bytes_max = 1 << 20;    // a batch as JSON
constexpr std::uint64_t page_bytes_max = 16 << 20;     // a page of 1,000 of them
constexpr std::size_t line_bytes_max = 64 << 20;       // one result
constexpr std::size_t pages_searched_max = 20;
constexpr time_ms clocks_differ_ms = 60'000;       // ours and the upstream's
constexpr time_ms made_within_ms = 2 * 3'600'000;  // from the row to the end of the call that makes the batch
constexpr std::string_view batches_path = "/v1/messages/batches";

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

}  // namespace

time_ms next_look(const batch_entry& one, const resources::options& rules, time_ms now) {
    const time_ms wait = (now - one.created_at) / 4;
    return now + std::clamp<time_ms>(wait, rules.batch_look_first.count(), rules.batch_look_max.count());
}

std::vector<std::string> batch_calls::credentials() const {
    const auto lines = upstream_.credential_lines();
    return lines.empty() ? std::vector<std::string>(1) : std::vector<std::string>(lines.begin(), lines.end());
}

std::string batch_calls::call_head(std::string_view credential, std::string_view headers) const {
    return fmt::format(" HTTP/1.1\r\nhost: {}\r\n{}accept-encoding: identity\r\nuser-agent: claude-proxy/{}\r\n{}",
                       upstream_.where().host_header, headers, CLAUDE_PROXY_VERSION, credential);
}

std::string batch_calls::request_line(std::string_view method, std::string_view below) const {
    return fmt::format("{} {}{}{}", method, upstream_.where().path_prefix, batches_path, below);
}

net::task<base::result<batch_calls::sight>> batch_calls::see(net::timer& clock, const std::string& upstream_id) const {
    // Only the credential of the batch's workspace sees it.
    for (const auto& credential : credentials()) {
        sight seen{.there = false, .status = {}, .head = call_head(credential)};
        const std::string head = request_line("GET", "/" + upstream_id) + seen.head;
        const auto got = co_await fetch(upstream_, clock, nullptr, head, object_bytes_max);
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

net::task<base::result<int>> batch_calls::results(net::timer& clock, const std::string& upstream_id,
                                                  const std::string& head, const visitor& visit,
                                                  const waiter& room) const {
    line_splitter lines;
    bool too_long = false;
    bool given_up = false;
    const body_taker take = [&](std::string_view piece) -> net::task<bool> {
        too_long = !lines.feed(piece, visit);
        given_up = !too_long && room && !co_await room();
        co_return !too_long && !given_up;
    };
    const std::string request = request_line("GET", fmt::format("/{}/results", upstream_id)) + head;
    const auto got = co_await fetch(upstream_, clock, nullptr, request, object_bytes_max, take);
    if (!got) co_return std::unexpected(got.error());
    if (too_long) co_return base::fail(errc::upstream_protocol_error, "A result is too long.");
    if (!given_up) lines.finish(visit);
    co_return got->status;
}

net::task<base::result<fetched>> batch_calls::create(net::timer& clock, std::string_view headers,
                                                     std::string_view body) const {
    const std::string head = request_line("POST", "") + call_head(upstream_.credential_line(), headers) +
                             "content-type: application/json\r\n";
    co_return co_await post(upstream_, clock, head, body, object_bytes_max);
}

net::task<base::result<fetched>> batch_calls::cancel(net::timer& clock, const std::string& upstream_id,
                                                     const std::string& head) const {
    const std::string request = request_line("POST", fmt::format("/{}/cancel", upstream_id)) + head;
    co_return co_await post(upstream_, clock, request, {}, object_bytes_max);
}

net::task<std::optional<std::string>> batch_calls::digest_of_results(net::timer& clock, const std::string& upstream_id,
                                                                     const std::string& head) const {
    resources::custom_id_digest ids;
    const visitor visit = [&](std::string_view line) {
        if (const auto result = anthropic::read_batch_result(line)) ids.add(result->custom_id);
    };
    const auto status = co_await results(clock, upstream_id, head, visit, {});
    if (!status || *status != 200) co_return std::nullopt;
    co_return ids.text();
}

net::task<std::optional<std::string>> batch_calls::search(net::timer& clock, const batch_entry& one,
                                                          const question& unknown) const {
    bool may_come = false;
    for (const auto& credential : credentials()) {
        const std::string head = call_head(credential);
        std::vector<anthropic::batch_state> candidates;
        std::string after;
        bool more = true;
        for (std::size_t page_number = 0; more && page_number < pages_searched_max; ++page_number) {
            const auto got = co_await fetch(upstream_, clock, nullptr,
                                            request_line("GET", "?limit=1000" + after) + head, page_bytes_max);
            const auto page = got && got->status == 200 ? anthropic::read_list_page(got->body) : std::nullopt;
            if (!page) co_return std::nullopt;
            more = page->has_more && !page->entries.empty();
            for (const auto& entry : page->entries) {
                auto state = anthropic::read_batch_state(entry.json);
                const auto made_at = state ? base::parse_time(state->created_at) : std::nullopt;
                if (!made_at) continue;
                if (*made_at < one.created_at - clocks_differ_ms)
                    more = false;  // the newest come first
                else if (*made_at <= one.created_at + made_within_ms && state->requests == one.requests)
                    candidates.push_back(std::move(*state));
            }
            if (more) after = "&after_id=" + page->entries.back().id;
        }
        if (more) co_return std::nullopt;  // older ones were not seen
        std::vector<std::string> ids;
        for (const auto& each : candidates) ids.push_back(each.id);
        awaited<std::optional<std::vector<std::string>>> told(reactor_);
        unknown(std::move(ids), told.taker());
        clock.set_after(book_max.count());
        if (co_await told.wait(clock, nullptr) != net::wake::ready) co_return std::nullopt;
        const auto left = told.take();
        if (!left) co_return std::nullopt;
        for (const auto& each : std::views::reverse(candidates)) {  // of two that could be it, the older one
            if (std::ranges::find(*left, each.id) == left->end()) continue;
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
