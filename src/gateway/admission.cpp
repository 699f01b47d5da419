#include "gateway/admission.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/time_text.hpp"
#include "governance/job_holds.hpp"
#include "governance/rate_limit_headers.hpp"
#include "net/signal.hpp"

namespace gateway {
namespace {

using base::errc;
using base::fail;
using governance::verdict;

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t bytes_per_token_estimate = 4;  // as Anthropic's own gateway counts; corrected by the answer
constexpr std::chrono::seconds set_aside_look_again{60};

std::string_view whose(const exchange& x, governance::scope where) {
    switch (where) {
        case governance::scope::root:
            return "this installation";
        case governance::scope::team:
            return x.caller->team_name;
        case governance::scope::key:
            return x.caller->key_name.empty() ? x.caller->key_id : x.caller->key_name;
    }
    return {};
}

std::optional<std::chrono::seconds> until_reset(const exchange& x, const governance::budget_account::identity& who) {
    if (!who.ends) return std::nullopt;
    return std::chrono::seconds((std::max<std::int64_t>(*who.ends - now_at_ms(x), 0) + 999) / 1000);
}

std::string dollars_spent(const governance::budget_view& view) {
    return fmt::format("${} of ${} are spent", base::dollars_text(view.spent), base::dollars_text(view.limit));
}

// Nobody knows when what is held for jobs and batches comes back; a look now and then costs nothing.
base::error set_aside_refusal(const exchange& x, const governance::budget_account& account, const std::string& name,
                              const pricing::bound& bound) {
    const auto view = account.view();
    return {
        errc::budget_set_aside,
        fmt::format("{} has no room for this request while queued jobs and batches hold ${}: {}, and it may cost up "
                    "to ${}. What they hold comes back as they end or are cancelled.",
                    name, base::dollars_text(view.set_aside), dollars_spent(view), base::dollars_text(bound.cost)),
        std::min(set_aside_look_again, until_reset(x, account.who()).value_or(set_aside_look_again))};
}

// Says what would help: who is out of money, how much is missing, what makes this request dear, when there is more.
base::error refusal_of(const exchange& x, const governance::budget_account& account, const pricing::bound& bound,
                       verdict why, bool reachable) {
    const auto& who = account.who();
    const auto view = account.view();
    const std::string name = fmt::format("The {} budget of {} {}", governance::name_of(who.every),
                                         governance::name_of(who.where), whose(x, who.where));
    if (why == verdict::crowded) {
        return {errc::budget_contended, name + " has too many requests waiting (CLAUDE_PROXY_BUDGET_WAITERS_MAX).",
                std::chrono::seconds(1)};
    }
    if (why == verdict::waiting && !reachable) {
        return {errc::budget_unavailable,
                name + " cannot be read: the database is away and the lease on the budget is used up.",
                std::chrono::seconds(5)};
    }
    if (why == verdict::set_aside || (why == verdict::waiting && view.is_set_aside(bound.cost))) {
        return set_aside_refusal(x, account, name, bound);
    }
    if (why == verdict::waiting) {
        return {errc::budget_contended,
                name + " is held by requests under way that did not settle within CLAUDE_PROXY_BUDGET_WAIT.",
                std::chrono::seconds(1)};
    }
    std::string text = fmt::format("{} does not cover this request: {}, and it may cost up to ${}", name,
                                   dollars_spent(view), base::dollars_text(bound.cost));
    if (bound.by_context_window) {
        text += fmt::format(
            " (its size is not known from its bytes, so the model's context window of {} tokens is assumed)",
            bound.input_tokens);
    } else {
        text += fmt::format(" ({} input and {} output tokens at most; a lower max_tokens lowers it)",
                            bound.input_tokens, bound.output_tokens);
    }
    if (who.ends) text += fmt::format("; it resets at {}", base::time_text(*who.ends));
    return {errc::budget_exhausted, text + ".", until_reset(x, who).value_or(std::chrono::seconds(0))};
}

base::error limit_refusal_of(exchange& x, const governance::refused_begin& refused, std::string_view model) {
    using enum governance::limit_refusal::kind;
    const auto found = std::ranges::find_if(x.caller->limits, [&](const governance::limit_in_force& each) {
        return each.live.get() == refused.by &&
               (each.model_class.empty() || governance::matches_pattern(each.model_class, model));
    });
    const governance::scope where = found->where;
    base::error why{errc::requests_per_minute};
    if (refused.why.what == input_tokens) why.kind = errc::input_tokens_per_minute;
    if (refused.why.what == output_tokens) why.kind = errc::output_tokens_per_minute;
    if (refused.why.what == concurrent) why.kind = errc::concurrent_requests;
    why.detail = governance::refusal_sentence(refused.why, where, whose(x, where), found->model_class);
    governance::append_retry_after(x.limit_headers, refused.why);
    return why;
}

using limiters = std::vector<governance::limiter*>;

limiters limits_on(const governance::caller& caller, std::string_view model) {
    limiters found;
    for (const auto& each : caller.limits) {
        if (each.live && (each.model_class.empty() || governance::matches_pattern(each.model_class, model)))
            found.push_back(each.live.get());
    }
    return found;
}

using refusal = std::optional<governance::refused_begin>;

// The shared state has to be asked: waits for its answer and begins again, until somebody decides. Errors: client_left,
// shutting_down.
template <class Begin>
net::task<base::result<void>> ask_shared(exchange& x, const Begin& begin, refusal& refused) {
    const std::int64_t deadline = x.client.reactor().now_ms() + governance::pending_max.count();
    while (refused && refused->why.pending) {
        net::signal answered(x.client.reactor());
        if (refused->by->when_answered(refused->why.ticket, answered.notifier())) {
            x.client.timer().set(deadline);
            const net::wake why = co_await answered.wait(x.client.timer(), &x.client.stream());
            if (why == net::wake::hangup) co_return fail(errc::client_left);
            if (why == net::wake::cancelled) co_return fail(errc::shutting_down, "The gateway is shutting down.");
        }
        const bool enough = x.client.reactor().now_ms() >= deadline;
        refused = begin(net::monotonic_us(), enough ? governance::when_unsure::decide : governance::when_unsure::ask);
    }
    co_return base::result<void>();
}

// What the caller is told of its limits, whether it passed or not.
base::result<void> outcome_of(exchange& x, const limiters& limits, std::string_view model, const refusal& refused,
                              std::int64_t began_us) {
    governance::append_rate_limit_headers(x.limit_headers, limits, refused ? net::monotonic_us() : began_us,
                                          began_at_ms(x));
    if (refused) return std::unexpected(limit_refusal_of(x, *refused, model));
    return {};
}

// One request, and no tokens: the work is done later.
net::task<base::result<void>> count_as_request(exchange& x, const limiters& limits, std::string_view model) {
    if (limits.empty()) co_return base::result<void>();
    const auto begin = [&](std::int64_t now_us, governance::when_unsure unsure) {
        return governance::count_request(limits, now_us, unsure);
    };
    const std::int64_t now_us = x.client.reactor().now_us();
    refusal refused = begin(now_us, governance::when_unsure::ask);
    if (refused && refused->why.pending) {
        if (auto asked = co_await ask_shared(x, begin, refused); !asked) co_return asked;
    }
    co_return outcome_of(x, limits, model, refused, now_us);
}

}  // namespace

net::task<base::result<void>> hold_budgets(exchange& x, service& s, const pricing::bound& bound,
                                           governance::budget_claim& claim) {
    const auto now = [&] { return now_at_ms(x); };
    if (claim.hold_now(claim.moment())) co_return base::result<void>();
    net::signal decided(x.client.reactor());
    const auto wake = decided.notifier();
    verdict outcome = claim.advance(now(), wake);
    const std::int64_t deadline = x.client.reactor().now_ms() + s.who.rules.budget_wait.count();
    while (outcome == verdict::waiting) {
        const std::int64_t period_left = claim.ends() ? std::max<std::int64_t>(*claim.ends() - now(), 0) + 1 : never;
        const std::int64_t left = std::max<std::int64_t>(deadline - x.client.reactor().now_ms(), 0);
        x.client.timer().set_after(std::min(left, period_left));
        const net::wake why = co_await decided.wait(x.client.timer(), &x.client.stream());
        if (why == net::wake::hangup || why == net::wake::cancelled) {
            claim.give_up(now());
            co_return fail(why == net::wake::hangup ? errc::client_left : errc::shutting_down,
                           why == net::wake::hangup ? "" : "The gateway is shutting down.");
        }
        outcome = claim.advance(now(), wake);
        if (outcome == verdict::waiting && claim.ends() && now() >= *claim.ends()) {
            claim = governance::budget_claim(x.caller->budgets, claim.amount(), now());
            outcome = claim.advance(now(), wake);
        } else if (why == net::wake::timeout && x.client.reactor().now_ms() >= deadline) {
            break;
        }
    }
    if (outcome == verdict::held) co_return base::result<void>();
    auto why = refusal_of(x, *claim.refused_by(), bound, outcome, s.who.money.database_reachable());
    claim.give_up(now());
    co_return std::unexpected(std::move(why));
}

pricing::request_facts facts_of(const anthropic::request_view& view, const anthropic::content_features& found,
                                std::size_t body_bytes, std::int64_t now) {
    pricing::request_facts facts;
    facts.at_ms = now;
    facts.body_bytes = body_bytes;
    facts.images = found.images;
    facts.max_tokens = view.max_tokens;
    facts.has_max_tokens = view.has_max_tokens;
    facts.cache_writes = found.cache_control;
    facts.one_hour_writes = found.one_hour;
    facts.tools = view.has_tools;
    facts.unbounded_input = found.by_reference || found.pdf || found.server_tools || view.has_mcp || view.has_fallbacks;
    facts.web_searches_max = found.web_searches;
    facts.fast = view.fast;
    facts.us_only = view.us_only;
    facts.any_model = view.has_fallbacks || found.advisor;
    facts.iterations_max = view.has_fallbacks || found.advisor ? 4 : found.server_tools ? 2 : 1;
    return facts;
}

std::optional<base::error> unaccounted_refusal(const exchange& x) {
    const auto hard =
        std::ranges::find_if(x.caller->budgets, [](const auto& book) { return book && book->what().hard; });
    if (hard == x.caller->budgets.end()) return std::nullopt;
    const auto what = (*hard)->what();
    return base::error{
        errc::permission_denied,
        fmt::format("What this route costs is not accounted for, and the {} budget of {} {} is hard: use "
                    "/v1/messages, or a key without a hard budget.",
                    governance::name_of(what.every), governance::name_of(what.where), whose(x, what.where))};
}

base::error model_refusal(std::string_view model) {
    return {errc::model_not_allowed,
            fmt::format("The key may not use the model {}; its team's or its own patterns do not cover it.",
                        model.substr(0, 128))};
}

admission::~admission() {
    const std::int64_t now_us = x_.client.reactor().now_us();
    for (auto* const limit : limits_) limit->finish(input_estimate_, input_used, output_used, now_us);
    budgets.settle(cost, now_at_ms(x_));
}

net::task<base::result<void>> admit(exchange& x, service& s, const anthropic::request_view& view,
                                    const anthropic::content_features& found, std::size_t body_bytes, admission& into) {
    const governance::caller& caller = *x.caller;
    if (!caller.may_use_model(view.model)) {
        co_return std::unexpected(model_refusal(view.model));
    }

    // Rate limits: all that apply, or none.
    into.input_estimate_ = static_cast<std::int64_t>(body_bytes) / bytes_per_token_estimate;
    if (auto limits = limits_on(caller, view.model); !limits.empty()) {
        const auto begin = [&](std::int64_t now_us, governance::when_unsure unsure) {
            return governance::begin_all(limits, into.input_estimate_, now_us, unsure);
        };
        const std::int64_t now_us = x.client.reactor().now_us();
        // What was counted at the submit is given back, to be taken by `begin`: else a key that submits as fast as it
        // may would never be let in again.
        if (x.counted) std::ranges::for_each(limits, [&](auto* each) { each->return_request(now_us); });
        const auto refuse = [&](base::error why) {
            if (x.counted) std::ranges::for_each(limits, [&](auto* each) { each->charge_request(now_us); });
            return std::unexpected(std::move(why));
        };
        refusal refused = begin(now_us, governance::when_unsure::ask);
        if (refused && refused->why.pending) {
            if (auto asked = co_await ask_shared(x, begin, refused); !asked) co_return refuse(asked.error());
        }
        if (auto may = outcome_of(x, limits, view.model, refused, now_us); !may) co_return refuse(may.error());
        into.limits_ = std::move(limits);
    }

    // Budgets: what the request may cost at most is held until it is known what it did.
    into.facts = facts_of(view, found, body_bytes, now_at_ms(x));
    into.bound = s.who.prices.bound_of(view.model, into.facts);
    if (caller.budgets.empty()) co_return base::result<void>();
    into.budgets = governance::budget_claim(caller.budgets, into.bound.cost, into.facts.at_ms);
    if (x.money) {
        // What was held for the job when it was submitted has come with its claim.
        x.money->give_to(into.budgets);
        x.money.reset();
    }
    if (into.budgets.hold_now(into.facts.at_ms)) co_return base::result<void>();
    auto held = co_await hold_budgets(x, s, into.bound, into.budgets);
    if (!held) into.input_used = 0;  // nothing will be sent: the estimate goes back
    co_return held;
}

net::task<base::result<void>> admit_job(exchange& x, service& s, const anthropic::request_view& view,
                                        const anthropic::content_features& found, std::size_t body_bytes, bool batch,
                                        job_admission& into) {
    const governance::caller& caller = *x.caller;
    if (!caller.may_use_model(view.model)) co_return std::unexpected(model_refusal(view.model));
    if (auto may = co_await count_as_request(x, limits_on(caller, view.model), view.model); !may) co_return may;
    pricing::request_facts facts = facts_of(view, found, body_bytes, now_at_ms(x));
    facts.batch = batch;
    into.bound = s.who.prices.bound_of(view.model, facts);
    if (caller.budgets.empty()) co_return base::result<void>();
    into.budgets = governance::budget_claim(caller.budgets, into.bound.cost, facts.at_ms);
    co_return co_await hold_budgets(x, s, into.bound, into.budgets);
}

net::task<base::result<void>> admit_batch(exchange& x, service& s, const pricing::bound& bound,
                                          governance::budget_claim& claim) {
    // Its requests may be of any models, so what is limited for some of them does not count it.
    limiters limits;
    for (const auto& each : x.caller->limits) {
        if (each.live && each.model_class.empty()) limits.push_back(each.live.get());
    }
    if (auto may = co_await count_as_request(x, limits, {}); !may) co_return may;
    co_return co_await hold_budgets(x, s, bound, claim);
}

}  // namespace gateway
