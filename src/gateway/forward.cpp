#include "gateway/forward.hpp"

#include <fmt/format.h>

#include "anthropic/error_body.hpp"
#include "upstream/retry.hpp"

namespace gateway {

using base::errc;
using base::fail;

namespace {

bool is_event_stream(const http::response_head& head) {
    std::string_view type = head.find(http::field::content_type);
    type = type.substr(0, type.find(';'));
    while (type.ends_with(' ')) type.remove_suffix(1);
    return http::equals_lower(type, "text/event-stream");
}

// One attempt, from connecting to the last byte. The first `head_bytes` of the head are those of every attempt.
net::task<relay_outcome> attempt(exchange& x, service& s, forwarding& what, std::size_t head_bytes,
                                 upstream::call& call, upstream::reuse pooled) {
    const upstream::options& waits = s.upstream.settings();
    const auto nothing = [](base::error why) {
        return relay_outcome{.failure = std::move(why), .reached_client = false};
    };
    ++x.record.attempts;
    auto connected =
        co_await call.connect(pooled, what.connect_at_most.count() > 0 ? what.connect_at_most : waits.connect_timeout);
    if (!connected) co_return nothing(std::move(connected.error()));

    what.head.resize(head_bytes);  // the attempt before added its own
    what.head.append(s.upstream.credential_line()).append("\r\n");
    auto sent = co_await call.send(what.head, what.body);
    if (!sent) co_return nothing(std::move(sent.error()));
    const auto after_sending = [](relay_outcome outcome, int status) {
        outcome.sent = true;
        outcome.upstream_status = status;
        return outcome;
    };
    const std::int64_t sent_us = net::monotonic_us();
    if (x.record.overhead_us == 0) x.record.overhead_us = static_cast<std::uint64_t>(sent_us - x.ready_us);

    auto head =
        co_await call.read_head(x.head_method, what.head_at_most.count() > 0 ? what.head_at_most : waits.head_timeout);
    if (!head && head.error().kind == errc::client_left && what.metered && patience_after_leaving(x, s).count() > 0) {
        // Nobody listens any more; the answer is read for what it costs.
        call.forget_downstream();
        const base::error left = head.error();
        head = co_await call.read_head(x.head_method, patience_after_leaving(x, s));
        if (!head) co_return after_sending(nothing(left), 0);
        const int late_status = (*head)->status;
        const bool event_stream = is_event_stream(**head);
        std::string headers;
        append_passed_headers(x, **head, headers);
        if (x.recording) x.recording->head(late_status, std::string((*head)->reason), std::move(headers), event_stream);
        if (late_status == 200) x.record.answer = co_await count_unseen(x, s, call, event_stream);
        co_return after_sending(nothing(left), late_status);
    }
    if (!head) co_return after_sending(nothing(head.error()), 0);
    const int status = (*head)->status;
    x.record.upstream_head_us = x.elapsed_us();
    if (s.quota) s.quota->note(**head, now_at_ms(x));
    if (what.unavailable_is_failure && (*head)->status >= 500) {
        co_return nothing({errc::upstream_unavailable, fmt::format("The upstream answered {}.", status)});
    }

    if (what.metered && (*head)->status == 200 && is_event_stream(**head)) {
        auto streamed = co_await relay_stream(x, s, call, **head, what.release_body);
        co_return after_sending(std::move(streamed), status);
    }
    anthropic::json_meter meter;
    plain_options how;
    how.hold_bytes_max = what.hold_bytes_max;
    how.meter = what.metered ? &meter : nullptr;
    if ((*head)->status == 200) how.rewrite = what.hooks.rewrite;
    if ((*head)->status >= 200 && (*head)->status < 300) how.before_end = what.hooks.before_end;
    auto outcome = co_await relay_plain(x, s, call, **head, how);
    if (what.metered) x.record.answer = std::move(meter).result();
    co_return after_sending(std::move(outcome), status);
}

}  // namespace

net::task<forward_outcome> forward(exchange& x, service& s, forwarding& what) {
    if (what.has_body) {
        const fmt::format_int length(what.body.size());
        what.head.append("content-length: ").append(length.data(), length.size()).append("\r\n");
    }
    const std::size_t head_bytes = what.head.size();
    auto pooled = what.fresh_connection ? upstream::reuse::never : upstream::reuse::allowed;
    for (std::uint32_t number = 1;; ++number) {
        upstream::attempt last{.number = number, .stream = what.wants_stream};
        relay_outcome outcome;
        if (x.recording) x.recording->begin();
        if (what.observer && !what.observer->begin(number)) {
            co_return forward_outcome{
                base::error{errc::ledger_full, "The journal of the ledger is full (CLAUDE_PROXY_JOURNAL_BYTES_MAX).",
                            std::chrono::seconds(5)},
                {}};
        }
        {
            upstream::call call(s.upstream, x.client.timer(), &x.client.stream());
            outcome = co_await attempt(x, s, what, head_bytes, call, pooled);
            last.stale = call.stale();
        }
        if (what.observer) what.observer->end(outcome);
        if (!outcome.failure) co_return forward_outcome{};
        last.failure = outcome.failure->kind;
        last.reached_client = outcome.reached_client;
        if (outcome.reached_client) {
            co_await refuse(x, std::move(*outcome.failure));  // an answer has begun: only notes the reason
            co_return forward_outcome{};
        }
        if (!upstream::may_repeat(last, s.options.attempts_max) ||
            (what.observer && !what.observer->covers_another())) {
            co_return forward_outcome{std::move(outcome.failure), std::move(outcome.error_json)};
        }
        pooled = upstream::reuse::never;  // the others in the pool may be as old
    }
}

net::task<void> answer_failure(exchange& x, forward_outcome& outcome) {
    if (!outcome.failure) co_return;
    if (outcome.failure->kind != errc::upstream_error_event || outcome.error_json.empty()) {
        co_await refuse(x, std::move(*outcome.failure));
        co_return;
    }
    // The upstream's own words, with the status they would have had before the stream began.
    x.record.reason = base::facts_of(errc::upstream_error_event).reason;
    const int status = anthropic::status_of_type(x.record.answer.error_type);
    co_await answer(x, status, "", "application/json", outcome.error_json);
}

net::task<base::result<std::string>> read_whole_body(exchange& x, http::body_framing framing,
                                                     std::uint64_t content_length, std::uint64_t bytes_max) {
    http::connection& client = x.client;
    const auto too_large = [&] {
        client.close_after_this();
        return fail(errc::body_too_large,
                    fmt::format("The body exceeds the {} bytes allowed on this route.", bytes_max));
    };
    const auto no_room = [] {
        return fail(errc::in_flight_bytes_exhausted,
                    "The gateway holds as many request bodies as it may (CLAUDE_PROXY_IN_FLIGHT_BYTES_MAX).",
                    std::chrono::seconds(1));
    };
    const std::uint64_t budget = client.options().in_flight_bytes_max;
    constexpr std::uint64_t step_first = 16 * 1024;
    std::string body;
    if (framing == http::body_framing::none) co_return body;
    if (framing == http::body_framing::length) {
        if (content_length > bytes_max) co_return too_large();
        if (!http::body_reservation::try_take(client.load(), content_length, budget, x.reservation))
            co_return no_room();
        const std::string_view here = client.take_buffered_body(static_cast<std::size_t>(content_length));
        body.reserve(static_cast<std::size_t>(content_length));
        body.append(here);
        std::size_t have = here.size();
        // Grown as bytes arrive, not as announced: a client that promises 32 MB and sends nothing holds no memory.
        while (!client.body_ended()) {
            const std::size_t left = static_cast<std::size_t>(content_length) - have;
            const std::size_t room = std::min<std::size_t>(left, std::max<std::size_t>(have, 256 * 1024));
            body.resize_and_overwrite(have + room, [](char*, std::size_t size) { return size; });
            const auto got = co_await client.read_body(std::span(body).subspan(have));
            if (!got) co_return std::unexpected(got.error());
            have += *got;
        }
        body.resize(have);
        co_return body;
    }
    if (!http::body_reservation::try_take(client.load(), step_first, budget, x.reservation)) co_return no_room();
    std::size_t reserved = step_first;
    std::size_t have = 0;
    for (;;) {
        if (have == body.size()) {
            std::size_t wanted = std::max<std::size_t>(step_first, have * 2);
            if (wanted > reserved && !x.reservation.grow(wanted - reserved, budget)) {
                wanted = have + step_first;  // doubling does not fit; perhaps the end is near
                if (!x.reservation.grow(wanted - reserved, budget)) {
                    client.close_after_this();
                    co_return no_room();
                }
            }
            reserved = std::max(reserved, wanted);
            body.resize_and_overwrite(wanted, [](char*, std::size_t size) { return size; });
        }
        const auto got = co_await client.read_body(std::span(body).subspan(have));
        if (!got) co_return std::unexpected(got.error());
        if (*got == 0) break;
        have += *got;
        if (have > bytes_max) co_return too_large();
    }
    body.resize(have);
    co_return body;
}

}  // namespace gateway
