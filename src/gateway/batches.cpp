// Callers' message batches: made here, listed and shown by owned.cpp, settled by batch_poller.cpp.
//
// A batch is read whole, because every request in it is governed as a message is: its model, the files that it names,
// and what it may cost, which is held until its results are in the ledger (resources/batch_book.hpp).
#include <fmt/format.h>

#include <atomic>

#include "anthropic/batch_text.hpp"
#include "anthropic/request_view.hpp"
#include "gateway/admission.hpp"
#include "gateway/awaited.hpp"
#include "gateway/batch_calls.hpp"
#include "gateway/forward.hpp"
#include "gateway/ownership.hpp"
#include "gateway/replay.hpp"
#include "gateway/results_url.hpp"
#include "resources/custom_ids.hpp"

namespace gateway {
namespace {

using base::errc;
using base::fail;

constexpr std::uint64_t object_bytes_max = 1 << 20;
constexpr std::size_t bytes_between_yields = 1 << 20;
constexpr milliseconds recorded_max{2'000};

// What the requests of a batch are together.
struct contents {
    std::uint64_t requests = 0;
    std::string digest;
    bool references = false;
    pricing::bound bound;
};

void add(pricing::bound& sum, const pricing::bound& one) {
    sum.input_tokens += std::min(one.input_tokens, UINT64_MAX - sum.input_tokens);
    sum.output_tokens += std::min(one.output_tokens, UINT64_MAX - sum.output_tokens);
    sum.by_context_window |= one.by_context_window;
    sum.cost = base::add_saturated(sum.cost, one.cost);
}

base::error in_request(std::uint64_t number, base::error why) {
    why.detail = fmt::format("requests.{}.params: {}", number, why.detail);
    return why;
}

// Errors: those of reading a message's body, model_not_allowed.
net::task<base::result<contents>> inspect(exchange& x, service& s, std::string_view body) {
    auto reader = anthropic::batch_reader::open(body);
    if (!reader) co_return std::unexpected(std::move(reader.error()));
    contents found;
    resources::custom_id_digest ids;
    std::size_t looked_at = 0;
    for (;;) {
        const auto item = reader->next();
        if (!item) co_return std::unexpected(item.error());
        if (!*item) break;
        const std::string_view params = (*item)->params;
        auto view = anthropic::read_request(params);
        if (!view) {
            // One without a model becomes a result that says so, unless the caller may use only some.
            if (view.error().kind != errc::missing_field) {
                co_return std::unexpected(in_request(found.requests, std::move(view.error())));
            }
            view = anthropic::request_view{};
        }
        const auto features = anthropic::read_features(params);
        if (auto why = models_refusal(*x.caller, view->model, features)) {
            co_return std::unexpected(in_request(found.requests, std::move(*why)));
        }
        found.references |= features.references;
        auto facts = facts_of(*view, features, params.size(), now_at_ms(x));
        facts.batch = true;
        add(found.bound, s.who.prices.bound_of(view->model, facts));
        ids.add((*item)->custom_id);
        ++found.requests;
        looked_at += params.size();
        if (looked_at >= bytes_between_yields) {
            looked_at = 0;
            co_await x.client.reactor().yield();
        }
    }
    found.digest = ids.text();
    co_return found;
}

// Whether upstream has made the batch, as far as the calls tell. What nobody can tell a poller finds out.
class fate final : public attempt_observer {
public:
    fate(resources::batch_book& book, std::string id) : book_(book), id_(std::move(id)) {}
    ~fate() override {
        if (made_) return;
        if (is_open()) {
            book_.doubtful(id_);
        } else {
            book_.failed(id_);
        }
    }
    fate(const fate&) = delete;
    fate& operator=(const fate&) = delete;

    bool begin(std::uint32_t) override {
        may_exist_ = true;  // until `end` says otherwise: the process may be told to stop in between
        return true;
    }
    void end(const relay_outcome& how) override {
        may_exist_ = doubted_ || (how.sent && !refuses_batch(how.upstream_status));
        doubted_ = may_exist_;
    }
    void made() { made_ = true; }
    bool is_open() const { return may_exist_ && !made_; }

private:
    resources::batch_book& book_;
    const std::string id_;
    bool may_exist_ = false;
    bool doubted_ = false;  // by an earlier attempt
    bool made_ = false;
};

// The row and the holds are committed before the batch is sent.
net::task<base::result<void>> enter(exchange& x, service& s, const contents& found, governance::budget_claim held) {
    resources::batch_entry entry;
    entry.id = x.record.request_id;
    entry.team_id = x.caller->team_id;
    entry.key_id = x.caller->key_id;
    entry.subject = x.caller->subject;
    entry.tags = x.caller->tags;
    entry.user_agent = x.record.user_agent;
    entry.digest = found.digest;
    entry.requests = found.requests;
    entry.bound = found.bound.cost;
    entry.created_at = held.moment();  // the day of its money
    using entering = resources::batch_book::entering;
    const auto how = std::make_shared<std::atomic<entering>>(entering::waiting);
    struct giving_up {  // however this ends: a row for a batch that is not sent must not stay
        resources::batch_book& book;
        const std::string& id;
        std::atomic<entering>& how;
        bool done = false;
        ~giving_up() {
            if (!done && how.exchange(entering::given_up) == entering::entered) book.failed(id);
        }
    } unless_entered{s.batches, x.record.request_id, *how};
    awaited<bool> entered(x.client.reactor());
    s.batches.create(std::move(entry), governance::job_claim(std::move(held)), how,
                     [done = entered.taker()] { done(true); });
    x.client.timer().set_after(s.batches.settings().batch_patience.count());
    const net::wake why = co_await entered.wait(x.client.timer(), &x.client.stream());
    if (why == net::wake::hangup) co_return fail(errc::client_left);
    if (why == net::wake::cancelled) co_return fail(errc::shutting_down, "The gateway is shutting down.");
    if (why != net::wake::ready) {
        co_return fail(errc::resources_unavailable,
                       "The database is away: the batch could not be accounted for and was not sent.",
                       std::chrono::seconds(5));
    }
    unless_entered.done = true;
    co_return base::result<void>();
}

}  // namespace

net::task<void> make_batch(exchange& x, service& s, const http::request_head& head) {
    forwarding next;
    next.head = upstream_head(head, s.upstream);
    const std::optional<std::string> repeat_key = idempotency_key(head);
    const std::string base = public_base(x, s, head);
    auto body = co_await read_whole_body(x, head.framing, head.content_length, s.options.batches_body_bytes_max);
    x.ready_us = net::monotonic_us();
    x.record.bytes_in = x.client.body_bytes();
    if (!body) {
        co_await refuse(x, body.error());
        co_return;
    }
    x.client.keep_input();

    // May they? Every request of it.
    const auto found = co_await inspect(x, s, *body);
    if (!found) {
        co_await refuse(x, found.error());
        co_return;
    }
    if (found->references) {
        if (auto may = co_await may_reference(x, s, *body); !may) {
            co_await refuse(x, std::move(may.error()));
            co_return;
        }
    }
    // Made before? Who repeats it under its Idempotency-Key gets that batch.
    answer_lead lead;
    if (repeat_key) {
        const auto led = co_await lead_or_replay(x, s, "batches", *repeat_key, *body, lead);
        if (!led) co_await refuse(x, led.error());
        if (!led || !*led) co_return;
    }
    std::optional<fate> outcome_upstream;
    if (found->requests > 0) {
        governance::budget_claim claim(x.caller->budgets, found->bound.cost, now_at_ms(x));
        auto held = co_await admit_batch(x, s, found->bound, claim);
        if (held) held = co_await enter(x, s, *found, std::move(claim));
        if (!held) {
            co_await refuse(x, std::move(held.error()));
            co_return;
        }
        outcome_upstream.emplace(s.batches, x.record.request_id);
        next.observer = &*outcome_upstream;
    }

    next.body = *body;
    next.has_body = true;
    next.fresh_connection = true;  // nothing is worth making a batch twice
    next.hold_bytes_max = object_bytes_max;
    next.hooks.rewrite = [&](std::string& text) {
        rewrite_results_urls(text, base);
        if (!x.recording) return;
        x.recording->begin();  // who repeats it gets what this client gets
        x.recording->append(text);
    };
    next.hooks.before_end = [&](const std::string& text) -> net::task<void> {
        const auto state = anthropic::read_batch_state(text);
        if (!state || !outcome_upstream) co_return;
        outcome_upstream->made();
        lead.finish(now_at_ms(x));
        awaited<bool> opened(x.client.reactor());
        s.batches.opened(x.record.request_id, state->id, [done = opened.taker()] { done(true); });
        co_await record_made(x, s, resources::kind::batch, text);
        x.client.timer().set_after(recorded_max.count());
        co_await opened.wait(x.client.timer(), nullptr);
    };
    auto outcome = co_await forward(x, s, next);
    if (outcome_upstream && outcome_upstream->is_open()) lead.doubt(now_at_ms(x));
    co_await answer_failure(x, outcome);
}

net::task<base::result<void>> settle_before_delete(exchange& x, service& s, const std::string& batch_id) {
    constexpr milliseconds look_every{200};
    constexpr milliseconds answer_max{2'000};
    const std::int64_t deadline = x.client.reactor().now_ms() + s.batches.settings().batch_delete_wait.count();
    std::optional<std::int64_t> first_seen;
    for (;;) {
        awaited<resources::batch_book::found_batch> answer(x.client.reactor());
        s.batches.find(batch_id, answer.taker());
        x.client.timer().set_after(answer_max.count());
        const net::wake why = co_await answer.wait(x.client.timer(), &x.client.stream());
        if (why == net::wake::hangup) co_return fail(errc::client_left);
        if (why == net::wake::cancelled) co_return fail(errc::shutting_down, "The gateway is shutting down.");
        const auto found = why == net::wake::ready ? answer.take() : std::nullopt;
        if (!found) {
            co_return fail(errc::resources_unavailable,
                           "The database is away, and the batch may not be accounted for yet; try again shortly.",
                           std::chrono::seconds(2));
        }
        if (!*found || (*found)->phase != resources::batch_phase::open) co_return base::result<void>();
        if (first_seen && (*found)->updated_at > *first_seen && (*found)->upstream_status != "ended") {
            co_return fail(errc::invalid_argument,
                           fmt::format("Batch {} cannot be deleted while it is still processing.", batch_id));
        }
        if (!first_seen) {
            first_seen = (*found)->updated_at;
            s.batches.hurry(batch_id);
        }
        if (x.client.reactor().now_ms() >= deadline) break;
        x.client.timer().set_after(look_every.count());
        net::signal never(x.client.reactor());
        const net::wake pause = co_await never.wait(x.client.timer(), &x.client.stream());
        if (pause == net::wake::hangup) co_return fail(errc::client_left);
        if (pause == net::wake::cancelled) co_return fail(errc::shutting_down, "The gateway is shutting down.");
    }
    co_return fail(errc::resources_unavailable,
                   "The results of the batch are not in the ledger yet; once they are it can be deleted.",
                   std::chrono::seconds(5));
}

}  // namespace gateway
