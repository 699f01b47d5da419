#include "governance/rate_limit.hpp"

#include <algorithm>
#include <limits>

namespace governance {
namespace {

constexpr std::int64_t minute_ns = 60'000'000'000;
// The deepest debt. Far beyond any wait that somebody would sit out, and far from the end of the range.
constexpr std::int64_t debt_ns_max = 10LL * 365 * 24 * 60 * minute_ns;

// How long the bucket takes to refill so much. Rounded down, or the last request of a minute's worth would not fit; at
// least a nanosecond, or at 10^12 a minute small amounts would cost nothing. The same for give and take.
std::int64_t refill_ns(std::int64_t amount, std::int64_t per_minute) {
    if (amount < 0) return -refill_ns(-amount, per_minute);
    if (amount == 0) return 0;
    // A double holds every product below 2^53 exactly (150,000 requests), and no product overflows it.
    const double exact = static_cast<double>(amount) * double{minute_ns} / static_cast<double>(per_minute);
    if (exact >= double{debt_ns_max}) return debt_ns_max;
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(exact));
}

std::int64_t us_rounded_up(std::int64_t ns) { return (ns + 999) / 1'000; }

// The largest amount that `take` would give of what refills in `left` nanoseconds.
std::int64_t amount_in(std::int64_t left, std::int64_t per_minute) {
    if (left <= 0) return 0;
    const auto amount =
        static_cast<std::int64_t>(static_cast<double>(left) * static_cast<double>(per_minute) / double{minute_ns});
    // Costs are rounded, so the division may miss by one.
    return refill_ns(amount + 1, per_minute) <= left ? std::min(amount + 1, per_minute) : amount;
}

}  // namespace

void token_bucket::set_rate(std::int64_t per_minute) {
    per_minute_.store(std::max<std::int64_t>(0, per_minute), std::memory_order_relaxed);
}

std::int64_t token_bucket::missing_ns(std::int64_t now_us) const {
    return std::max<std::int64_t>(0, full_at_ns_.load(std::memory_order_relaxed) - now_us * 1'000);
}

void token_bucket::set_missing_ns(std::int64_t missing, std::int64_t now_us) {
    full_at_ns_.store(now_us * 1'000 + std::min(missing, debt_ns_max), std::memory_order_relaxed);
}

std::int64_t token_bucket::wait_us(std::int64_t amount, std::int64_t now_us, std::int64_t held) const {
    const auto rate = per_minute();
    if (rate == 0) return 0;
    const auto needed = refill_ns(std::min(amount, rate), rate) - refill_ns(held, rate);
    const auto wait = missing_ns(now_us) + needed - minute_ns;
    return wait > 0 ? us_rounded_up(wait) : 0;
}

std::int64_t token_bucket::take(std::int64_t amount, std::int64_t now_us) {
    const auto rate = per_minute();
    if (rate == 0) return 0;
    const auto now = now_us * 1'000;
    const auto cost = refill_ns(amount, rate);
    const auto needed = std::min(cost, minute_ns);
    auto full_at = full_at_ns_.load(std::memory_order_relaxed);
    for (;;) {
        const auto from = std::max(full_at, now);
        const auto wait = from - now + needed - minute_ns;
        if (wait > 0) return us_rounded_up(wait);
        if (full_at_ns_.compare_exchange_weak(full_at, from + cost, std::memory_order_relaxed)) return 0;
    }
}

void token_bucket::charge(std::int64_t amount, std::int64_t now_us) {
    const auto rate = per_minute();
    if (rate == 0 || amount == 0) return;
    const auto now = now_us * 1'000;
    const auto cost = refill_ns(amount, rate);
    auto full_at = full_at_ns_.load(std::memory_order_relaxed);
    for (;;) {
        const auto next = std::min(std::max(full_at, now) + cost, now + debt_ns_max);
        if (full_at_ns_.compare_exchange_weak(full_at, next, std::memory_order_relaxed)) return;
    }
}

std::int64_t token_bucket::remaining(std::int64_t now_us) const {
    const auto rate = per_minute();
    return rate == 0 ? 0 : amount_in(minute_ns - missing_ns(now_us), rate);
}

std::int64_t token_bucket::full_in_us(std::int64_t now_us) const {
    return per_minute() == 0 ? 0 : us_rounded_up(missing_ns(now_us));
}

bool longest_refusal::add(const limit_refusal& what) {
    const bool counts_more = !found || (found->pending && !what.pending) ||
                             (found->pending == what.pending && what.wait_us > found->wait_us);
    if (counts_more) found = what;
    return counts_more;
}

bool longest_refusal::add_wait(limit_refusal::kind what, std::int64_t wait_us, std::int64_t limit) {
    if (wait_us == 0) return false;
    return add({.what = what, .wait_us = std::max<std::int64_t>(0, wait_us), .limit = limit, .pending = wait_us < 0});
}

limiter::limiter(const limit& what) {
    id_.append(name_of(what.where)).append(":").append(what.scope_id).append(":").append(what.model_class);
    set(what.amounts);
}

void limiter::set(const rate_limits& amounts) {
    requests_.bucket.set_rate(amounts.requests_per_minute);
    input_.bucket.set_rate(amounts.input_tokens_per_minute);
    output_.bucket.set_rate(amounts.output_tokens_per_minute);
    concurrent_max_.store(std::max<std::int64_t>(0, amounts.concurrent_requests), std::memory_order_relaxed);
}

rate_limits limiter::amounts() const {
    return {.requests_per_minute = requests_.bucket.per_minute(),
            .input_tokens_per_minute = input_.bucket.per_minute(),
            .output_tokens_per_minute = output_.bucket.per_minute(),
            .concurrent_requests = concurrent_max_.load(std::memory_order_relaxed)};
}

std::optional<limit_refusal> limiter::begin(std::int64_t input_estimate, std::int64_t now_us, when_unsure unsure) {
    if (auto refused = check(input_estimate, now_us, unsure)) return refused;
    return take(input_estimate, now_us, unsure);
}

std::optional<limit_refusal> limiter::check(std::int64_t input_estimate, std::int64_t now_us, when_unsure unsure) {
    if (!source_if_available()) return check_alone(input_estimate, now_us);
    return check_shared(input_estimate, now_us, unsure == when_unsure::decide || source_->is_overdue(now_us));
}

std::optional<limit_refusal> limiter::take(std::int64_t input_estimate, std::int64_t now_us, when_unsure unsure) {
    if (!source_if_available()) return take_alone(input_estimate, now_us);
    return take_shared(input_estimate, now_us, unsure == when_unsure::decide || source_->is_overdue(now_us));
}

// Looking before taking costs some nanoseconds, and keeps those who are refused from taking and giving back what
// somebody else could have had.
std::optional<limit_refusal> limiter::check_alone(std::int64_t input_estimate, std::int64_t now_us) {
    using enum limit_refusal::kind;
    longest_refusal found;
    const auto places = concurrent_max_.load(std::memory_order_relaxed);
    if (places > 0 && running() >= places) found.add({.what = concurrent, .wait_us = 0, .limit = places});
    found.add_wait(requests, requests_.bucket.wait_us(1, now_us), requests_.bucket.per_minute());
    found.add_wait(input_tokens, input_.bucket.wait_us(input_estimate, now_us), input_.bucket.per_minute());
    found.add_wait(output_tokens, output_.bucket.debt_us(now_us), output_.bucket.per_minute());
    return found.found;
}

std::optional<limit_refusal> limiter::take_alone(std::int64_t input_estimate, std::int64_t now_us) {
    using enum limit_refusal::kind;
    longest_refusal found;
    if (!take_place(concurrent_max_)) {
        found.add({.what = concurrent, .wait_us = 0, .limit = concurrent_max_.load(std::memory_order_relaxed)});
        return found.found;
    }
    if (const auto wait = requests_.bucket.take(1, now_us)) {
        found.add_wait(requests, wait, requests_.bucket.per_minute());
    } else if (const auto tokens_wait = input_.bucket.take(input_estimate, now_us)) {
        requests_.bucket.charge(-1, now_us);
        found.add_wait(input_tokens, tokens_wait, input_.bucket.per_minute());
    }
    if (found.found) running_.fetch_sub(1);
    return found.found;
}

std::optional<limit_refusal> limiter::take_request(std::int64_t now_us, when_unsure unsure) {
    longest_refusal found;
    const auto refuse = [&](std::int64_t wait_us) {
        return found.add_wait(limit_refusal::kind::requests, wait_us, requests_.bucket.per_minute());
    };
    if (!source_if_available()) {
        refuse(requests_.bucket.take(1, now_us));
        return found.found;
    }
    const auto ticket = answers_.load();  // before looking: an answer that comes meanwhile must not be waited for
    const bool decide = unsure == when_unsure::decide || source_->is_overdue(now_us);
    refuse(take_credit(requests_, 1, now_us, decide));
    if (found.found && found.found->pending) {
        found.found->ticket = ticket;
        urge();
    } else {
        touch();
    }
    return found.found;
}

void limiter::undo(std::int64_t input_estimate, std::int64_t now_us) {
    running_.fetch_sub(1);
    charge(requests_, -1, now_us);
    charge(input_, -input_estimate, now_us);
}

void limiter::finish(std::int64_t input_estimate, std::optional<std::int64_t> input_used, std::int64_t output_used,
                     std::int64_t now_us) {
    running_.fetch_sub(1);
    if (input_used) charge(input_, *input_used - input_estimate, now_us);
    charge(output_, output_used, now_us);
    if (source_if_available() && concurrent_max_.load(std::memory_order_relaxed) > 0) place_is_free();
}

limiter::reading limiter::read(limit_refusal::kind what, std::int64_t now_us) const {
    if (what == limit_refusal::kind::concurrent) {
        const auto places = concurrent_max_.load(std::memory_order_relaxed);
        return {.limit = places, .remaining = std::max<std::int64_t>(0, places - running()), .full_in_us = 0};
    }
    const auto& at = what == limit_refusal::kind::requests       ? requests_
                     : what == limit_refusal::kind::input_tokens ? input_
                                                                 : output_;
    const auto limit = at.bucket.per_minute();
    if (limit == 0) return {};
    // What was granted here is missing in the shared bucket, but not used; what is owed is used, but not missing there.
    const auto granted = refill_ns(at.granted.credit.load(std::memory_order_relaxed), limit);
    const auto missing = std::max<std::int64_t>(0, at.bucket.missing_ns(now_us) - granted);
    return {.limit = limit, .remaining = amount_in(minute_ns - missing, limit), .full_in_us = us_rounded_up(missing)};
}

std::optional<refused_begin> begin_all(std::span<limiter* const> limiters, std::int64_t input_estimate,
                                       std::int64_t now_us, when_unsure unsure) {
    limiter* by = nullptr;
    longest_refusal worst;
    const auto add = [&](limiter* from, const std::optional<limit_refusal>& refused) {
        if (refused && worst.add(*refused)) by = from;
    };
    for (limiter* each : limiters) add(each, each->check(input_estimate, now_us, unsure));
    for (std::size_t taken = 0; !worst.found && taken < limiters.size(); ++taken) {
        add(limiters[taken], limiters[taken]->take(input_estimate, now_us, unsure));
        if (!worst.found) continue;
        while (taken > 0) limiters[--taken]->undo(input_estimate, now_us);
        break;
    }
    if (!worst.found) return {};
    return refused_begin{by, *worst.found};
}

std::optional<refused_begin> count_request(std::span<limiter* const> limiters, std::int64_t now_us,
                                           when_unsure unsure) {
    for (std::size_t taken = 0; taken < limiters.size(); ++taken) {
        auto refused = limiters[taken]->take_request(now_us, unsure);
        if (!refused) continue;
        auto* const by = limiters[taken];
        while (taken > 0) limiters[--taken]->return_request(now_us);
        return refused_begin{by, *refused};
    }
    return {};
}

}  // namespace governance
