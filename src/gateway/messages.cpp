// POST /v1/messages and its free sibling count_tokens: the story of a governed request, top to bottom.
#include <fmt/format.h>

#include <optional>

#include "anthropic/request_view.hpp"
#include "gateway/accounting.hpp"
#include "gateway/admission.hpp"
#include "gateway/forward.hpp"
#include "gateway/job_submit.hpp"
#include "gateway/ownership.hpp"
#include "gateway/replay.hpp"

namespace gateway {
namespace {

struct kind {
    bool metered;
};

// Why a caller may not count tokens now; nothing: it may.
std::optional<base::error> may_count(exchange& x, service& s, std::string_view model) {
    if (!x.caller->may_use_model(model)) return model_refusal(model);
    const std::int64_t wait_us =
        s.counting.take(x.caller->key_id + "\n" + x.caller->subject, x.client.reactor().now_us());
    if (wait_us == 0) return std::nullopt;
    constexpr std::int64_t second_us = 1'000'000;
    return base::error{base::errc::requests_per_minute,
                       fmt::format("The key has used its {} calls of count_tokens a minute.", s.counting.per_minute()),
                       std::chrono::seconds((wait_us + second_us - 1) / second_us)};
}

net::task<void> governed(exchange& x, service& s, const http::request_head& head, kind what) {
    // 1. Read: the head for upstream is made now, because the client's head dies at the first wait. A place under the
    //    byte budget is taken before the body is read.
    forwarding next;
    next.head = upstream_head(head, s.upstream);
    const std::optional<std::string> repeat_key = what.metered ? idempotency_key(head) : std::nullopt;
    const auto framing = head.framing;
    const std::uint64_t length = head.content_length;
    auto body = co_await read_whole_body(x, framing, length, s.options.messages_body_bytes_max);
    x.ready_us = net::monotonic_us();
    x.record.bytes_in = x.client.body_bytes();
    if (!body) {
        co_await refuse(x, std::move(body.error()));
        co_return;
    }
    x.client.keep_input();

    // 2. Peek at what we govern on; the bytes stay as they are.
    auto view = anthropic::read_request(*body);
    if (!view) {
        co_await refuse(x, std::move(view.error()));
        co_return;
    }
    x.record.model = view->model.substr(0, 128);
    x.record.stream = what.metered && view->stream;

    // Files and the like that it names must be the team's.
    const anthropic::content_features features = anthropic::read_features(*body);
    if (features.references) {
        if (auto may = co_await may_reference(x, s, *body); !may) {
            co_await refuse(x, std::move(may.error()));
            co_return;
        }
    }

    // Said before? Who repeats a request under its Idempotency-Key gets the answer of the first, and pays nothing.
    answer_lead lead;
    if (repeat_key) {
        const auto led = co_await lead_or_replay(x, s, "messages", *repeat_key, *body, lead);
        if (!led) {
            co_await refuse(x, led.error());
            co_return;
        }
        if (!*led) co_return;
    }

    if (features.server_tools || features.references) record_what_is_made(x, s);

    // 3. May they? Model, rate limits, budget. What is held goes back, and what was spent is settled, with `admitted`.
    admission admitted(x);
    std::optional<accounting> account;
    if (what.metered) {
        const auto may = co_await admit(x, s, *view, features, body->size(), admitted);
        if (!may) {
            co_await refuse(x, may.error());
            co_return;
        }
        account.emplace(x, s, *view, admitted);
        next.observer = &*account;
    } else if (auto why = may_count(x, s, view->model)) {
        co_await refuse(x, std::move(*why));
        co_return;
    }

    // 4. Forward, relay and meter. Once no other attempt can follow, the body's memory and its place are given back.
    next.body = *body;
    next.has_body = true;
    next.metered = what.metered;
    next.wants_stream = x.record.stream;
    next.hold_bytes_max = s.options.answer_hold_bytes_max;
    next.release_body = [&] {
        next.body = {};
        body->clear();
        body->shrink_to_fit();
        x.reservation.release();
    };
    auto outcome = co_await forward(x, s, next);

    if (x.recording && x.record.answer.state == anthropic::answer_state::complete) lead.finish(now_at_ms(x));

    // 5. What nobody answered yet is answered here; the frame records.
    co_await answer_failure(x, outcome);
}

}  // namespace

net::task<void> messages(exchange& x, service& s, const http::request_head& head) {
    if (prefers_async(head)) {
        co_await submit_message(x, s, head);
        co_return;
    }
    co_await governed(x, s, head, {.metered = true});
}

net::task<void> count_tokens(exchange& x, service& s, const http::request_head& head) {
    co_await governed(x, s, head, {.metered = false});
}

}  // namespace gateway
