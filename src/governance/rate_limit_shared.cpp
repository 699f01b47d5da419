// The half of a limiter that works on a share: the request path first, then the rounds with the shared state.
#include "governance/rate_limit_shared.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "governance/rate_limit.hpp"

namespace governance {
namespace {

// Rounds: the time between two of them when somebody is refused or contends, and when shares are merely used.
constexpr std::int64_t hurried_round_us = 20'000;
constexpr std::int64_t round_us = 50'000;
// A refusal needs an answer so young, admission without a grant (output tokens in debt?) one so young.
constexpr std::int64_t refuses_for_us = 50'000;
constexpr std::int64_t known_for_us = 250'000;
// What was granted is kept at least so long: who waited for it may be on his way.
constexpr std::int64_t kept_for_us = 50'000;
// A share lasts for two rounds at the present pace, so that nobody waits while the limit is far. Who comes less often
// than that asks each time: it costs him one round trip, and nobody has to give anything back.
constexpr double share_seconds = 0.1;
// The pace forgets half of itself in this time...
constexpr double pace_half_life_us = 100'000;
// ...but so many requests between two rounds are a pace at once.
constexpr std::int64_t takes_of_a_pace = 8;
// Between two rounds that would only tell of places without a request, unless somebody else may want them.
constexpr std::int64_t spare_round_us = 250'000;
constexpr std::int64_t minute_us = 60'000'000;

constexpr std::int64_t pending = -1;

}  // namespace

// 0: there is enough; microseconds until there is; or pending.
std::int64_t limiter::look(const meter& at, std::int64_t amount, std::int64_t now_us, bool decide) const {
    const auto limit = at.bucket.per_minute();
    if (limit == 0) return 0;
    const auto credit = at.granted.credit.load(std::memory_order_relaxed);
    const auto needed = std::min(amount, limit);
    if (needed > 0 && credit >= needed) return 0;
    const auto wait = at.bucket.wait_us(amount, now_us, credit);
    const auto age = now_us - answered_at_us_.load(std::memory_order_relaxed);
    if (decide || (wait > 0 && age < refuses_for_us)) return wait;
    if (wait == 0 && needed <= 0 && age < known_for_us) return 0;
    return pending;
}

// Leaves word for the next round.
void limiter::want(meter& at, std::int64_t amount) {
    const auto needed = std::min(amount, at.bucket.per_minute());
    if (needed <= 0) return;
    at.granted.wanted.fetch_add(needed, std::memory_order_relaxed);
    auto smallest = at.granted.needed.load(std::memory_order_relaxed);
    while (needed < smallest && !at.granted.needed.compare_exchange_weak(smallest, needed, std::memory_order_relaxed)) {
    }
}

std::optional<limit_refusal> limiter::check_shared(std::int64_t input_estimate, std::int64_t now_us, bool decide) {
    using enum limit_refusal::kind;
    const auto ticket = answers_.load();  // before looking: an answer that comes meanwhile must not be waited for
    longest_refusal found;
    bool wants_place = false;
    const auto places = concurrent_max_.load(std::memory_order_relaxed);
    if (places > 0 &&
        running() >= (decide ? places_on_trust(now_us) : places_.leased.load(std::memory_order_relaxed))) {
        const auto age = now_us - answered_at_us_.load(std::memory_order_relaxed);
        wants_place = !decide && (places_.free.load(std::memory_order_relaxed) > 0 || age >= refuses_for_us);
        found.add({.what = concurrent, .wait_us = 0, .limit = places, .pending = wants_place});
    }
    const auto request_wait = look(requests_, 1, now_us, decide);
    const auto input_wait = look(input_, input_estimate, now_us, decide);
    found.add_wait(requests, request_wait, requests_.bucket.per_minute());
    found.add_wait(input_tokens, input_wait, input_.bucket.per_minute());
    found.add_wait(output_tokens, look(output_, 0, now_us, decide), output_.bucket.per_minute());
    if (!found.found) return {};
    if (!found.found->pending) {
        hurry();
        return found.found;
    }
    // Only now: what is wanted for a request that is refused would be granted for nothing.
    if (wants_place) places_.wanted.fetch_add(1, std::memory_order_relaxed);
    if (request_wait == pending) want(requests_, 1);
    if (input_wait == pending) want(input_, input_estimate);
    found.found->ticket = ticket;
    urge();
    return found.found;
}

// 0: taken; else as `look`.
std::int64_t limiter::take_credit(meter& at, std::int64_t amount, std::int64_t now_us, bool decide) {
    const auto limit = at.bucket.per_minute();
    if (limit == 0 || amount <= 0) return 0;
    const auto needed = std::min(amount, limit);
    auto& credit = at.granted.credit;
    auto held = credit.load();
    for (;;) {
        if (held < needed) {
            const auto wait = look(at, amount, now_us, decide);
            if (wait == pending) want(at, amount);
            if (wait != 0) return wait;
            if (!decide) {  // granted in this moment
                held = credit.load();
                continue;
            }
            // Taken on trust: owed to the shared bucket, and told to it in the next round.
        }
        if (credit.compare_exchange_weak(held, held - amount)) break;
    }
    // Not exact between threads: it only says whether somebody comes often.
    at.granted.takes.store(at.granted.takes.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (held - amount < at.granted.low.load(std::memory_order_relaxed)) urge();
    return 0;
}

std::optional<limit_refusal> limiter::take_shared(std::int64_t input_estimate, std::int64_t now_us, bool decide) {
    using enum limit_refusal::kind;
    const auto ticket = answers_.load();
    longest_refusal found;
    const auto places = concurrent_max_.load(std::memory_order_relaxed);
    const std::atomic<std::int64_t> trusted{decide ? places_on_trust(now_us) : 0};
    if (!take_place(decide ? trusted : places_.leased)) {
        if (!decide) places_.wanted.fetch_add(1, std::memory_order_relaxed);
        found.add({.what = concurrent, .wait_us = 0, .limit = places, .pending = !decide});
    } else {
        if (const auto wait = take_credit(requests_, 1, now_us, decide)) {
            found.add_wait(requests, wait, requests_.bucket.per_minute());
        } else if (const auto tokens_wait = take_credit(input_, input_estimate, now_us, decide)) {
            charge(requests_, -1, now_us);
            found.add_wait(input_tokens, tokens_wait, input_.bucket.per_minute());
        }
        if (found.found) running_.fetch_sub(1);
    }
    if (decide && !found.found) {
        const bool without_grant = requests_.granted.credit.load() < 0 || input_.granted.credit.load() < 0 ||
                                   (places > 0 && running() > places_.leased.load());
        if (without_grant) source_->count_passed_on_trust();
    }
    if (found.found && found.found->pending) {
        found.found->ticket = ticket;
        urge();
    } else {
        touch();
    }
    return found.found;
}

// How many may run here when the shared state does not answer: what was free for anybody, if that was said of late.
std::int64_t limiter::places_on_trust(std::int64_t now_us) const {
    const auto places = concurrent_max_.load(std::memory_order_relaxed);
    if (now_us - answered_at_us_.load(std::memory_order_relaxed) >= known_for_us) return places;
    return std::min(places, places_.leased.load() + std::max<std::int64_t>(0, places_.free.load()));
}

// Never more than `places` run, not even for a moment: who is refused takes nothing.
bool limiter::take_place(const std::atomic<std::int64_t>& places) {
    const bool bounded = concurrent_max_.load(std::memory_order_relaxed) > 0;
    auto now_running = running_.load(std::memory_order_relaxed);
    do {
        if (bounded && now_running >= places.load()) return false;
    } while (!running_.compare_exchange_weak(now_running, now_running + 1));
    // The source's thread lowers the lease and then looks who runs; here it is the other way round.
    if (bounded && now_running >= places.load()) {
        running_.fetch_sub(1);
        return false;
    }
    if (bounded) {  // not exact between threads, as `takes` of a share
        places_.takes.store(places_.takes.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        if (now_running >= places_.peak.load(std::memory_order_relaxed))
            places_.peak.store(now_running + 1, std::memory_order_relaxed);
    }
    return true;
}

void limiter::charge(meter& at, std::int64_t amount, std::int64_t now_us) {
    if (amount == 0 || at.bucket.per_minute() == 0) return;
    if (!source_if_available()) return at.bucket.charge(amount, now_us);
    at.granted.credit.fetch_sub(amount);
    touch();
}

// Somebody elsewhere may be waiting for it when no place is free.
void limiter::place_is_free() {
    if (places_.free.load(std::memory_order_relaxed) <= 0) hurry();
    touch();
}

void limiter::touch() {
    if (listed_.load() || listed_.exchange(true)) return;
    source_->enlist(shared_from_this(), shared_source::haste::soon);
}

void limiter::hurry() {
    if (!hurried_.load(std::memory_order_relaxed)) hurried_.store(true, std::memory_order_relaxed);
    touch();
}

void limiter::urge() {
    if (urgent_.load() || urgent_.exchange(true)) return;
    listed_.store(true);
    source_->enlist(shared_from_this(), shared_source::haste::now);
}

bool limiter::when_answered(std::uint64_t ticket, std::function<void()> then) {
    const std::lock_guard lock(waiting_mutex_);
    if (answers_.load() != ticket || !source_if_available()) return false;
    waiting_.push_back(std::move(then));
    return true;
}

void limiter::wake_waiting() {
    std::vector<std::function<void()>> woken;
    {
        const std::lock_guard lock(waiting_mutex_);
        answers_.fetch_add(1);
        woken.swap(waiting_);
    }
    for (const auto& then : woken) then();
}

bool limiter::is_due(std::int64_t now_us) const {
    const auto since = now_us - round_.asked_at_us;
    if (urgent_.load(std::memory_order_relaxed)) return true;
    if (since < hurried_round_us) return false;
    if (hurried_.load(std::memory_order_relaxed)) return true;
    if (since < round_us) return false;
    for (const meter* at : {&requests_, &input_, &output_})
        if (at->granted.credit.load(std::memory_order_relaxed) != 0) return true;
    const auto leased = places_.leased.load(std::memory_order_relaxed);
    const auto now_running = concurrent_max_.load(std::memory_order_relaxed) > 0 ? running() : 0;
    if (leased < now_running || (leased > 0 && now_running == 0)) return true;
    const bool contended = places_.free.load(std::memory_order_relaxed) <= 0;
    if (leased > now_running && (contended || since > spare_round_us)) return true;
    return leased > 0 && since > round_.lease_us / 3;
}

shared_request limiter::ask(std::int64_t now_us, std::uint64_t session, std::int64_t lease_us) {
    // Before reading what is wanted: who wants something later asks for another round.
    urgent_.store(false);
    hurried_.store(false);
    const auto elapsed = std::clamp<std::int64_t>(now_us - round_.asked_at_us, 1'000, 1'000'000);
    const bool compares = std::exchange(round_.session, session) != session;
    const bool may_return = now_us - round_.granted_at_us >= kept_for_us;
    round_.asked_at_us = now_us;
    round_.lease_us = lease_us;
    shared_request asked;
    meter* const meters[] = {&requests_, &input_, &output_};
    for (std::size_t i = 0; i < asked.buckets.size(); ++i) {
        asked.buckets[i] = ask_for(*meters[i], elapsed, may_return);
        if (compares)
            asked.buckets[i].missing_us_min = std::min(meters[i]->bucket.missing_ns(now_us) / 1'000, minute_us);
    }
    ask_for_places(asked, may_return);
    return asked;
}

shared_request::bucket limiter::ask_for(meter& at, std::int64_t elapsed_us, bool may_return) {
    auto& granted = at.granted;
    shared_request::bucket asked;
    asked.per_minute = at.bucket.per_minute();
    const auto waiting = granted.wanted.exchange(0);
    const auto smallest = granted.needed.exchange(share::nobody);
    granted.told = 0;
    if (asked.per_minute == 0) {
        granted.credit_after = 0;
        granted.credit.store(0);
        return asked;
    }
    auto credit = granted.credit.load();
    const auto used = static_cast<double>(std::max<std::int64_t>(0, granted.credit_after - credit));
    const auto takes = granted.takes.exchange(0);
    const auto forget = std::exp2(-static_cast<double>(elapsed_us) / pace_half_life_us);
    const auto per_second = std::numbers::ln2 * 1e6 / pace_half_life_us;
    granted.pace = granted.pace * forget + used * per_second;
    granted.takes_pace = granted.takes_pace * forget + static_cast<double>(takes) * per_second;
    if (takes >= takes_of_a_pace) {
        granted.pace = std::max(granted.pace, used * 1e6 / static_cast<double>(elapsed_us));
        granted.takes_pace =
            std::max(granted.takes_pace, static_cast<double>(takes) * 1e6 / static_cast<double>(elapsed_us));
    }
    // Output tokens are never taken, only charged: of them nothing is granted.
    const bool comes_often = granted.takes_pace * share_seconds >= 1;
    const auto target =
        comes_often ? std::min(static_cast<std::int64_t>(granted.pace * share_seconds), asked.per_minute) : 0;
    const auto goal = waiting + target;
    if (credit < 0) {
        asked.charge = granted.told = -credit;
    } else if (may_return && credit > 2 * goal) {
        const auto surplus = credit - goal;
        while (credit >= surplus && !granted.credit.compare_exchange_weak(credit, credit - surplus)) {
        }
        if (credit >= surplus) {
            asked.charge = -surplus;
            credit -= surplus;
        }
    }
    const auto held = std::max<std::int64_t>(0, credit);
    asked.want = std::max<std::int64_t>(0, waiting - held);
    if (asked.want > 0) asked.need = smallest > held ? smallest - held : std::min(asked.want, smallest);
    asked.ahead = std::max<std::int64_t>(0, goal - held - asked.want);
    granted.credit_after = credit;
    granted.target = target;
    return asked;
}

void limiter::ask_for_places(shared_request& asked, bool may_return) {
    asked.places_max = concurrent_max_.load(std::memory_order_relaxed);
    const auto waiting = places_.wanted.exchange(0);
    const auto now_running = running_.load();
    // Who comes often keeps the places that he needed lately, or half of them when others may want them.
    const auto peak = places_.takes.exchange(0) > 1 ? places_.peak.load() : 0;
    places_.peak.store(now_running);
    const auto busiest = std::max(places_.free.load() > 0 ? peak : peak / 2, now_running);
    if (asked.places_max == 0) {
        places_.leased.store(0);
        return;
    }
    const auto spare = places_.free.load() > 0 ? busiest / 8 : 0;
    const auto goal = busiest + spare + waiting;
    auto leased = places_.leased.load();
    if (may_return && leased > goal) places_.leased.store(leased = goal);
    // Read after that (see take_place). More may run than were leased: from before an outage, or on trust.
    leased = std::max(leased, running_.load());
    asked.places_held = leased;
    asked.places_want = std::max<std::int64_t>(0, waiting - (leased - now_running));
    asked.places_ahead = std::max<std::int64_t>(0, goal - leased - asked.places_want);
    places_.told = leased;
}

void limiter::answer(const shared_answer& said, std::int64_t now_us) {
    meter* const meters[] = {&requests_, &input_, &output_};
    bool granted_any = said.places_granted > 0;
    for (std::size_t i = 0; i < said.buckets.size(); ++i) {
        auto& at = *meters[i];
        if (at.bucket.per_minute() == 0) continue;
        const auto added = said.buckets[i].granted + at.granted.told;
        granted_any = granted_any || said.buckets[i].granted > 0;
        at.bucket.set_missing_ns(said.buckets[i].missing_ns, now_us);
        at.granted.credit.fetch_add(added);
        at.granted.credit_after += added;
        // Near the limit a share stays below its target; asking at half of it again and again would bring nothing.
        const auto full_share = std::min(at.granted.target, std::max<std::int64_t>(0, at.granted.credit_after));
        at.granted.low.store(full_share / 2, std::memory_order_relaxed);
    }
    places_.free.store(said.places_free);
    // When more are held than there are, every replica lets some of its own end without a successor.
    const auto over = static_cast<double>(std::max<std::int64_t>(0, -said.places_free));
    const auto places = static_cast<double>(concurrent_max_.load(std::memory_order_relaxed));
    const auto told = places_.told;
    const auto shed = over > 0 ? std::llround(std::ceil(over * static_cast<double>(told) / (places + over))) : 0;
    places_.leased.store(std::max<std::int64_t>(0, told + said.places_granted - shed));
    if (granted_any) round_.granted_at_us = now_us;
    answered_at_us_.store(now_us, std::memory_order_relaxed);
}

void limiter::work_alone(std::int64_t now_us) {
    for (meter* at : {&requests_, &input_, &output_}) {
        if (const auto credit = at->granted.credit.exchange(0)) at->bucket.charge(-credit, now_us);
        at->granted.credit_after = 0;
        at->granted.pace = 0;
        at->granted.takes_pace = 0;
        at->granted.low.store(0, std::memory_order_relaxed);
    }
    places_.leased.store(0);
    round_ = {};
    answered_at_us_.store(never_answered, std::memory_order_relaxed);
    urgent_.store(false);
}

bool limiter::try_rest(std::int64_t now_us) {
    const auto has_nothing = [&] {
        for (const meter* at : {&requests_, &input_, &output_})
            if (at->granted.credit.load() != 0) return false;
        const bool may_hold_places = concurrent_max_.load(std::memory_order_relaxed) > 0 && running_.load() > 0;
        return !urgent_.load() && !may_hold_places && places_.leased.load() == 0;
    };
    if (now_us - round_.asked_at_us < round_us || !has_nothing()) return false;
    // Whoever uses it after this enlists it; who did so just before is seen by looking again.
    listed_.store(false);
    if (has_nothing()) return true;
    listed_.store(true);
    return false;
}

shared_request limiter::leave() {
    shared_request asked;
    meter* const meters[] = {&requests_, &input_, &output_};
    for (std::size_t i = 0; i < asked.buckets.size(); ++i) {
        asked.buckets[i].per_minute = meters[i]->bucket.per_minute();
        asked.buckets[i].charge = -meters[i]->granted.credit.exchange(0);
    }
    asked.places_max = concurrent_max_.load(std::memory_order_relaxed);
    return asked;
}

}  // namespace governance
