// May they, now? Models, rate limits and budgets of a governed request, all in memory of this replica.
#pragma once

#include <vector>

#include "anthropic/content_features.hpp"
#include "anthropic/request_view.hpp"
#include "gateway/exchange.hpp"

namespace gateway {

// What a request was let in with. It goes back when the request is over, whatever happened.
class admission {
public:
    explicit admission(exchange& x) : x_(x) {}
    ~admission();
    admission(const admission&) = delete;
    admission& operator=(const admission&) = delete;

    pricing::request_facts facts;
    pricing::bound bound;
    governance::budget_claim budgets;

    // What the attempts have cost together, and what the last of them used. Nothing: unknown, estimates stay.
    base::pico_dollars cost = 0;
    std::optional<std::int64_t> input_used;
    std::int64_t output_used = 0;

private:
    friend net::task<base::result<void>> admit(exchange&, service&, const anthropic::request_view&,
                                               const anthropic::content_features&, std::size_t, admission&);
    exchange& x_;
    std::vector<governance::limiter*> limits_;  // begun
    std::int64_t input_estimate_ = 0;
};

// Work that this gateway does not account for (other /v1 routes that may cost money) is refused to callers under a hard
// budget: it would spend past it. Nothing: it may pass.
std::optional<base::error> unaccounted_refusal(const exchange& x);

// Holds what the claim of the caller's budgets asks for, and waits where one is contended; when a period ends while it
// waits, the claim is for the next one. Errors: budget_exhausted, budget_contended, budget_set_aside,
// budget_unavailable, client_left, shutting_down; then nothing is held.
net::task<base::result<void>> hold_budgets(exchange& x, service& s, const pricing::bound& bound,
                                           governance::budget_claim& claim);

// What its bound depends on. Pure.
pricing::request_facts facts_of(const anthropic::request_view& view, const anthropic::content_features& found,
                                std::size_t body_bytes, std::int64_t now);

// The refusal of a model that the caller's patterns do not cover.
base::error model_refusal(std::string_view model);

// Errors: model_not_allowed, requests_per_minute and its like, concurrent_requests, budget_exhausted, budget_contended,
// budget_set_aside, budget_unavailable, client_left, shutting_down. Waits where a budget or a shared limit has to be
// asked.
net::task<base::result<void>> admit(exchange& x, service& s, const anthropic::request_view& view,
                                    const anthropic::content_features& found, std::size_t body_bytes, admission& into);

// What a job may be submitted with: its bound is held until the store has it.
struct job_admission {
    pricing::bound bound;
    governance::budget_claim budgets;
};

// A request that will be carried out later, when it is admitted once more: counts as one request now, and its bound (of
// a batch: at half the price) is held on the budgets. Waits and refuses as `admit`.
net::task<base::result<void>> admit_job(exchange& x, service& s, const anthropic::request_view& view,
                                        const anthropic::content_features& found, std::size_t body_bytes, bool batch,
                                        job_admission& into);

// A message batch, whatever is in it: counts as one request against the limits that are not for some models only, and
// its bound is held. Waits and refuses as `admit`.
net::task<base::result<void>> admit_batch(exchange& x, service& s, const pricing::bound& bound,
                                          governance::budget_claim& claim);

}  // namespace gateway
