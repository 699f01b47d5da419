// Batches, files and skills: each belongs to the team that made it. Whoever asks for another's gets the 404 of one that
// is not there, without a call upstream; lists have the team's own (docs/adr/2026-11-24-resources-of-teams.md).
#include "gateway/awaited.hpp"
#include "gateway/fetch.hpp"
#include "gateway/forward.hpp"
#include "gateway/own_list.hpp"
#include "gateway/ownership.hpp"
#include "gateway/results_url.hpp"

namespace gateway {
namespace {

using base::errc;
using resources::kind;

constexpr std::uint64_t object_bytes_max = 1 << 20;  // one batch, file or skill as JSON: a few hundred bytes
constexpr std::uint64_t page_bytes_max = 16 << 20;   // a page of 1,000 batches is about 600 KB
constexpr std::size_t page_entries = 1'000;          // as many as the upstream gives
constexpr std::size_t pages_max = 100;

bool is_skills_plain_name(std::string_view id) { return is_everybodys(kind::skill, id); }
bool is_nobodys(std::string_view) { return false; }

net::task<base::result<std::unordered_set<std::string>>> own_ids(exchange& x, service& s, kind what) {
    awaited<std::optional<std::vector<std::string>>> answer(x.client.reactor());
    s.owners.list(what, x.caller->team_id, answer.taker());
    constexpr milliseconds patience{3'000};
    x.client.timer().set_after(patience.count());
    const net::wake why = co_await answer.wait(x.client.timer(), &x.client.stream());
    if (why == net::wake::hangup) co_return base::fail(errc::client_left);
    if (why == net::wake::cancelled) co_return base::fail(errc::shutting_down, "The gateway is shutting down.");
    auto ids = why == net::wake::ready ? answer.take() : std::nullopt;
    if (!ids) {
        co_return base::fail(errc::resources_unavailable,
                             "The database is away, and what is the team's is not known without it; try again shortly.",
                             std::chrono::seconds(2));
    }
    co_return std::unordered_set<std::string>(ids->begin(), ids->end());
}

// The upstream's own words for a page that it refuses.
net::task<void> pass_on(exchange& x, const fetched& refused) {
    std::string extra;
    if (!refused.retry_after.empty()) extra = "retry-after: " + refused.retry_after + "\r\n";
    co_await answer(x, refused.status, extra, refused.content_type, refused.body);
}

}  // namespace

std::string public_base(const exchange& x, const http::request_head& head) {
    const bool tls = x.client.stream().tls() || http::equals_lower(head.find(http::field::x_forwarded_proto), "https");
    return std::string(tls ? "https://" : "http://").append(head.host);
}

net::task<void> list_own(exchange& x, service& s, const http::request_head& head) {
    const kind what = resource_in(x.path)->what;
    const std::string_view query =
        head.target.size() > head.path.size() ? head.target.substr(head.path.size() + 1) : std::string_view();
    const list_query asked = read_list_query(query);
    const std::string base = public_base(x, head);
    std::string upstream = upstream_head(head, s.upstream, "?");
    upstream.replace(0, head.method.size(), "GET");  // also for HEAD: what is left of the list has to be known
    if (head.framing != http::body_framing::none) x.client.close_after_this();
    x.client.keep_input();
    x.ready_us = net::monotonic_us();

    auto own = co_await own_ids(x, s, what);
    if (!own) {
        co_await refuse(x, std::move(own.error()));
        co_return;
    }
    for (const auto& [name, cursor] :
         {std::pair("after_id", &asked.after_id), std::pair("before_id", &asked.before_id)}) {
        if (cursor->empty() || own->contains(*cursor) || is_everybodys(what, *cursor)) continue;
        co_await refuse(x, {errc::invalid_argument, std::string(name) + ": there is no object with this id."});
        co_return;
    }
    upstream.append(s.upstream.credential_line());  // one for all pages: each sees a workspace of its own
    own_page page(asked, std::move(*own), what == kind::skill ? is_skills_plain_name : is_nobodys);
    bool done = false;
    for (std::size_t pages = 0; !done && pages < pages_max; ++pages) {
        std::string target = x.path + "?" + page.next_query(page_entries);
        std::string asking = upstream;
        asking.replace(asking.find('?'), 1, target);
        ++x.record.attempts;
        const auto got = co_await fetch(s.upstream, x.client.timer(), &x.client.stream(), asking, page_bytes_max);
        if (!got) {
            co_await refuse(x, got.error());
            co_return;
        }
        if (got->status != 200) {
            co_await pass_on(x, *got);
            co_return;
        }
        const auto read = anthropic::read_list_page(got->body);
        if (!read) {
            co_await refuse(x, {errc::upstream_protocol_error, "The upstream's list cannot be read."});
            co_return;
        }
        done = page.add(*read);
    }
    auto text = page.text(!done);
    if (!text) {
        co_await refuse(x, {errc::resources_unavailable, "The upstream's list is too long to find the team's part."});
        co_return;
    }
    if (what == kind::batch) rewrite_results_urls(*text, base);
    co_await answer(x, 200, "", "application/json", *text);
}

// Everything below /v1/messages/batches/ID, /v1/files/ID and /v1/skills/ID.
net::task<void> own_resource(exchange& x, service& s, const http::request_head& head) {
    const resource_path named = *resource_in(x.path);
    std::string upstream = upstream_head(head, s.upstream);
    const auto framing = head.framing;
    const std::uint64_t length = head.content_length;
    const std::string_view method = head.method == "DELETE" ? "DELETE" : head.method == "GET" ? "GET" : "";
    const bool length_zero = head.method == "POST" || head.method == "PUT" || head.method == "PATCH";
    const bool is_object = !std::string_view(x.path).ends_with("/results") && named.what == kind::batch;
    const std::string base = public_base(x, head);
    x.client.keep_input();
    x.ready_us = net::monotonic_us();

    if (!is_everybodys(named.what, named.id)) {
        if (auto own = co_await must_be_own(x, s, {named.id}); !own) {
            if (framing != http::body_framing::none) x.client.close_after_this();
            co_await refuse(x, std::move(own.error()));
            co_return;
        }
    }
    if (named.what == kind::batch && std::string_view(x.path).ends_with("/results")) record_what_is_made(x, s);
    const bool is_whole = std::string_view(x.path).ends_with("/" + named.id);
    if (method == "DELETE" && is_whole && named.what == kind::batch) {
        if (auto may = co_await settle_before_delete(x, s, named.id); !may) {
            co_await refuse(x, std::move(may.error()));
            co_return;
        }
    }
    answer_hooks hooks;
    if (is_object) hooks.rewrite = [&base](std::string& body) { rewrite_results_urls(body, base); };
    if (method == "DELETE" && is_whole) {
        hooks.before_end = [&](const std::string&) -> net::task<void> {
            s.owners.forget(named.id);
            co_return;
        };
    }
    if (framing != http::body_framing::none) {
        const std::uint64_t bytes_max =
            named.what == kind::batch ? s.options.other_body_bytes_max : s.options.files_body_bytes_max;
        co_await forward_upload(x, s, std::move(upstream), framing, length, bytes_max, std::move(hooks));
        co_return;
    }
    forwarding next;
    next.head = std::move(upstream);
    next.has_body = length_zero;  // says `content-length: 0` where a body could be expected
    if (hooks.rewrite || hooks.before_end) next.hold_bytes_max = object_bytes_max;
    next.hooks = std::move(hooks);
    auto outcome = co_await forward(x, s, next);
    co_await answer_failure(x, outcome);
}

// POST /v1/files and /v1/skills: what is made is the team's before the client hears of it.
net::task<void> upload(exchange& x, service& s, const http::request_head& head) {
    const kind what = resource_in(x.path)->what;
    std::string upstream = upstream_head(head, s.upstream);
    x.ready_us = net::monotonic_us();
    answer_hooks hooks;
    hooks.before_end = [&x, &s, what](const std::string& body) { return record_made(x, s, what, body); };
    if (head.framing != http::body_framing::none) {
        co_await forward_upload(x, s, std::move(upstream), head.framing, head.content_length,
                                s.options.files_body_bytes_max, std::move(hooks));
        co_return;
    }
    x.client.keep_input();
    forwarding next;
    next.head = std::move(upstream);
    next.has_body = true;
    next.hold_bytes_max = object_bytes_max;
    next.hooks = std::move(hooks);
    auto outcome = co_await forward(x, s, next);
    co_await answer_failure(x, outcome);
}

}  // namespace gateway
