#include "worker/webhook_book.hpp"

#include <algorithm>

namespace worker {

bool webhook_book::may_begin(const entry& known, std::int64_t now) const {
    if (known.open_for == 0) return known.under_way < options_.endpoint_concurrency;
    return now >= known.open_until && known.under_way == 0;  // one at a time, to try
}

bool webhook_book::begin(const jobs::destination& to, std::int64_t now) {
    if (under_way_ >= options_.concurrency) return false;
    if (entries_.size() >= destinations_max && !entries_.contains(to))
        std::erase_if(entries_, [](const auto& each) { return each.second.under_way == 0; });
    entry& known = entries_[to];
    known.seen = now;
    if (!may_begin(known, now)) return false;
    ++known.under_way;
    ++under_way_;
    return true;
}

webhook_book::change webhook_book::end(const jobs::destination& to, outcome how, std::int64_t now) {
    entry& known = entries_[to];
    if (known.under_way > 0) {
        --known.under_way;
        --under_way_;
    }
    known.seen = now;
    const bool was_open = known.open_for > 0;
    change told = change::none;
    if (how == outcome::well) {
        known.failures = 0;
        known.open_for = 0;
        if (was_open) told = change::closed;
    } else if (how == outcome::trouble) {
        ++known.failures;
        // Requests that began before it opened may fail after that: they say nothing new.
        const bool is_new = !was_open || now >= known.open_until;
        if (known.failures >= options_.breaker_failures && is_new) {
            known.open_for = was_open ? std::min(known.open_for * 2, std::int64_t{options_.breaker_open_max.count()})
                                      : std::int64_t{options_.breaker_open_first.count()};
            known.open_until = now + known.open_for;
            if (!was_open) told = change::opened;
        }
    }
    if (known.under_way == 0 && known.failures == 0 && known.open_for == 0) entries_.erase(to);
    return told;
}

std::vector<jobs::destination> webhook_book::closed_to(std::int64_t now) const {
    std::vector<jobs::destination> found;
    for (const auto& [to, known] : entries_)
        if (!may_begin(known, now) || known.under_way * 2 > options_.endpoint_concurrency) found.push_back(to);
    return found;
}

std::size_t webhook_book::open_breakers() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(entries_, [](const auto& each) { return each.second.open_for > 0; }));
}

void webhook_book::forget(std::int64_t now) {
    const std::int64_t after = options_.breaker_open_max.count();
    std::erase_if(entries_, [&](const auto& each) {
        const entry& known = each.second;
        return known.under_way == 0 && now >= std::max(known.open_until, known.seen) + after;
    });
}

}  // namespace worker
