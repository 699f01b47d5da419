#include "governance/budget.hpp"

#include <algorithm>

namespace governance {

void budget_account::take(pico_dollars amount) {
    used_.fetch_add(amount);
    holds_.fetch_add(1, std::memory_order_relaxed);
}

bool budget_account::try_take(pico_dollars amount, time_ms now) {
    if (now >= valid_until_.load(std::memory_order_relaxed)) return false;
    // Never a sum that is larger than the lease: what a caller asks for may be as large as the type.
    pico_dollars used = used_.load();
    do {
        if (amount > lease_.load() - used) return false;
    } while (!used_.compare_exchange_weak(used, used + amount));
    // Whoever makes the lease smaller writes it first and looks at the holds then: one of us sees the other.
    const pico_dollars room = lease_.load() - used - amount;
    if (room < 0) {
        used_.fetch_sub(amount);
        return false;
    }
    if (room < low_.load(std::memory_order_relaxed)) wish();
    holds_.fetch_add(1, std::memory_order_relaxed);
    return true;
}

// Spent and settled money only grow (a budget that is raised is told by `renew`): what does not fit now never will.
bool budget_account::impossible(pico_dollars amount) const {
    return known_ && base::add_saturated(base::add_saturated(spent_, unreported_.load()), amount) > limit_;
}

// What is set aside may come back at any moment, and may stay for hours: nobody waits long for it while none of it
// does.
bool budget_account::hopeless(const budget_waiter& waiter) const {
    const pico_dollars gone = base::add_saturated(base::add_saturated(spent_, unreported_.load()), set_aside_);
    return waiter.since <= hopeless_since_ && known_ && base::add_saturated(gone, waiter.amount) > limit_;
}

void budget_account::wish() {
    if (!wish_.load(std::memory_order_relaxed) && !wish_.exchange(true) && on_wish) on_wish();
}

bool budget_account::hold_now(pico_dollars amount, time_ms now) {
    // Who comes while others wait stands in line: else small requests could keep a large one out for ever.
    if (hard_.load(std::memory_order_relaxed)) return waiting_.load() == 0 && try_take(amount, now);
    take(amount);
    if (resting_.load(std::memory_order_relaxed)) wish();
    return true;
}

verdict budget_account::hold_later(pico_dollars amount, time_ms now, const std::shared_ptr<budget_waiter>& later) {
    const std::lock_guard lock(mutex_);
    if (impossible(amount)) return verdict::never;
    if (queue_.size() >= waiters_max_) return verdict::crowded;
    later->amount = amount;
    later->outcome = verdict::waiting;
    later->queued = true;
    later->since = now;
    queue_.push_back(later);
    later->place = std::prev(queue_.end());
    wanted_ = base::add_saturated(wanted_, amount);
    waiting_.fetch_add(1);
    // Whoever settled before it could see us in line is seen here. Nobody is told what it learns at once.
    const auto decided = std::move(later->decided);
    later->decided = nullptr;
    serve_queue(now);
    if (later->outcome == verdict::waiting) {
        later->decided = decided;
        wish();
    }
    return later->outcome;
}

void budget_account::serve_queue(time_ms now) {
    while (!queue_.empty()) {
        const std::shared_ptr<budget_waiter> first = queue_.front();
        if (impossible(first->amount)) {
            first->outcome = verdict::never;
        } else if (!hard_.load(std::memory_order_relaxed)) {
            take(first->amount);
            first->outcome = verdict::held;
        } else if (try_take(first->amount, now)) {
            first->outcome = verdict::held;
        } else if (hopeless(*first)) {
            first->outcome = verdict::set_aside;
        } else {
            return;
        }
        queue_.pop_front();
        first->queued = false;
        wanted_ = queue_.empty() ? 0 : wanted_ - first->amount;
        waiting_.fetch_sub(1);
        if (first->decided) first->decided();
    }
}

verdict budget_account::outcome_of(const budget_waiter& waiter) const {
    const std::lock_guard lock(mutex_);
    return waiter.outcome;
}

bool budget_account::leave(const std::shared_ptr<budget_waiter>& waiter, time_ms now) {
    const std::lock_guard lock(mutex_);
    waiter->decided = nullptr;
    if (!waiter->queued) return waiter->outcome == verdict::held;
    queue_.erase(waiter->place);
    waiter->queued = false;
    wanted_ = queue_.empty() ? 0 : wanted_ - waiter->amount;
    waiting_.fetch_sub(1);
    serve_queue(now);  // the next one may be smaller
    return false;
}

void budget_account::settle(pico_dollars held, pico_dollars cost, time_ms now) {
    holds_.fetch_sub(1, std::memory_order_relaxed);
    unreported_.fetch_add(cost);
    used_.fetch_add(cost - held);
    if (waiting_.load() == 0) return;
    const std::lock_guard lock(mutex_);
    serve_queue(now);
    if (!queue_.empty()) wish();
}

void budget_account::expect(pico_dollars amount) {
    take(amount);
    wish();
}

void budget_account::lower_hold(pico_dollars by, time_ms now) {
    if (by == 0) return;
    holds_.fetch_add(1, std::memory_order_relaxed);
    settle(by, 0, now);
}

void budget_account::hand_over(pico_dollars held) {
    const std::lock_guard lock(mutex_);
    holds_.fetch_sub(1, std::memory_order_relaxed);
    acknowledged_.fetch_add(held);
    if (hard_.load(std::memory_order_relaxed)) lease_.fetch_sub(held);  // first: room must not appear in between
    used_.fetch_sub(held);
}

void budget_account::acknowledged(pico_dollars amount) {
    const std::lock_guard lock(mutex_);
    acknowledged_.fetch_add(amount);
    spent_ = base::add_saturated(spent_, amount);
    unreported_.fetch_sub(amount);
    if (hard_.load(std::memory_order_relaxed)) lease_.fetch_sub(amount);  // first: room must not appear in between
    used_.fetch_sub(amount);
}

void budget_account::renew(const lease_news& news, time_ms now) {
    const std::lock_guard lock(mutex_);
    const pico_dollars acknowledged = acknowledged_.load();
    limit_ = news.limit;
    hard_ = news.hard;
    known_ = true;
    // What the database has consumed of our lease and we were not told yet is in `unreported_` still.
    spent_ = news.spent - (news.consumed - acknowledged);
    lease_ = news.granted - acknowledged;
    low_ = news.low;
    valid_until_ = news.valid_until;
    if (news.set_aside < set_aside_) set_aside_fell_at_ = news.asked_at;
    set_aside_ = news.set_aside;
    const time_ms waited_enough = news.asked_at - news.set_aside_wait;
    hopeless_since_ = set_aside_fell_at_ <= waited_enough ? waited_enough : 0;
    serve_queue(now);
    if (!queue_.empty()) wish();
}

pico_dollars budget_account::shrink(pico_dollars amount) {
    const std::lock_guard lock(mutex_);
    const pico_dollars before = lease_.load();
    pico_dollars after = std::max(before - amount, used_.load());
    if (after >= before) return 0;
    lease_ = after;
    // A hold that came in between has seen the old lease; one that comes from now on sees the new one.
    if (const pico_dollars used = used_.load(); used > after) {
        after = std::min(used, before);
        lease_ = after;
    }
    return before - after;
}

budget_view budget_account::view() const {
    const std::lock_guard lock(mutex_);
    budget_view made;
    made.limit = limit_;
    made.unreported = unreported_.load();
    made.acknowledged = acknowledged_.load();
    made.spent = base::add_saturated(spent_, made.unreported);
    made.held = used_.load() - made.unreported;
    made.lease = lease_.load();
    made.set_aside = set_aside_;
    made.wanted = wanted_;
    made.wanted_first = queue_.empty() ? 0 : queue_.front()->amount;
    made.waiting = waiting_.load();
    made.holds = holds_.load();
    made.hard = hard_.load();
    made.known = known_;
    return made;
}

namespace {

bool lies_in(const budget_account::identity& period, time_ms moment) {
    return moment >= period.begins && (!period.ends || moment < *period.ends);
}

}  // namespace

budget_account& budget_book::account_at(time_ms now) {
    budget_account* found = current_.load(std::memory_order_acquire);
    if (found && lies_in(found->who(), now)) return *found;
    const std::lock_guard lock(mutex_);
    // There is one account a period, whoever comes late: it stands for one row of leases.
    const auto known = std::ranges::find_if(made_, [&](const budget_account* each) {
        return each->who().every == what_.every && lies_in(each->who(), now);
    });
    if (known != made_.end()) {
        found = *known;
    } else {
        found = &owner_.make_account({.number = 0,
                                      .budget_id = what_.id,
                                      .where = what_.where,
                                      .scope_id = what_.scope_id,
                                      .every = what_.every,
                                      .begins = period_start(what_.every, now),
                                      .ends = period_end(what_.every, now)});
        made_.push_back(found);
    }
    const budget_account* const current = current_.load(std::memory_order_relaxed);
    if (!current || current->who().begins < found->who().begins) current_.store(found, std::memory_order_release);
    return *found;
}

budget budget_book::what() const {
    const std::lock_guard lock(mutex_);
    return what_;
}

void budget_book::set(const budget& what) {
    const std::lock_guard lock(mutex_);
    const bool changed = what.limit_pico != what_.limit_pico || what.hard != what_.hard;
    what_ = what;
    if (budget_account* const now = current_.load(); changed && now != nullptr) now->look_again();
}

std::shared_ptr<budget_book> budget_registry::book_for(const budget& what) {
    std::shared_ptr<budget_book> known;
    {
        const std::lock_guard lock(mutex_);
        auto& book = books_[what.id];
        if (!book) return book = std::make_shared<budget_book>(*this, what);
        known = book;
    }
    known->set(what);  // without our lock: a book takes it while it holds its own, to make an account
    return known;
}

budget_account& budget_registry::make_account(budget_account::identity who) {
    const std::lock_guard lock(mutex_);
    who.number = static_cast<std::uint32_t>(accounts_.size() + 1);
    budget_account& made = accounts_.emplace_back(std::move(who), waiters_max_);
    made.on_wish = on_wish_;
    return made;
}

budget_account* budget_registry::find(std::uint32_t number) const {
    const std::lock_guard lock(mutex_);
    if (number == 0 || number > accounts_.size()) return nullptr;
    return const_cast<budget_account*>(&accounts_[number - 1]);
}

budget_account* budget_registry::find(const std::string& budget_id, time_ms begins, time_ms now) const {
    std::shared_ptr<budget_book> book;
    {
        const std::lock_guard lock(mutex_);
        const auto found = books_.find(budget_id);
        if (found == books_.end()) return nullptr;
        book = found->second;
    }
    budget_account& account = book->account_at(now);  // without our lock: as in book_for
    return account.who().begins == begins ? &account : nullptr;
}

std::vector<budget_account*> budget_registry::accounts() const {
    const std::lock_guard lock(mutex_);
    std::vector<budget_account*> all;
    all.reserve(accounts_.size());
    for (const auto& account : accounts_) all.push_back(const_cast<budget_account*>(&account));
    return all;
}

budget_claim::budget_claim(std::span<const std::shared_ptr<budget_book>> budgets, pico_dollars amount, time_ms now)
    : amount_(amount), moment_(now), now_(now) {
    accounts_.reserve(budgets.size());
    for (const auto& book : budgets) accounts_.push_back(&book->account_at(now));
}

budget_claim::~budget_claim() {
    if (!accounts_.empty()) give_up(now_);
}

budget_claim& budget_claim::operator=(budget_claim&& other) noexcept {
    if (this == &other) return *this;
    if (!accounts_.empty()) give_up(now_);
    accounts_ = std::move(other.accounts_);
    brought_ = std::move(other.brought_);
    amount_ = other.amount_;
    moment_ = other.moment_;
    now_ = other.now_;
    held_ = other.held_;
    waiter_ = std::move(other.waiter_);
    stuck_ = other.stuck_;
    return *this;
}

std::optional<time_ms> budget_claim::ends() const {
    std::optional<time_ms> first;
    for (const auto* account : accounts_) {
        if (const auto ends = account->who().ends; ends && (!first || *ends < *first)) first = ends;
    }
    return first;
}

bool budget_claim::hold_now(time_ms now) {
    now_ = now;
    while (held_ < accounts_.size() && take_now(held_, now)) ++held_;
    return held_ == accounts_.size();
}

bool budget_claim::bring(const budget_account* to, pico_dollars amount) {
    const auto found = std::ranges::find(accounts_, to);
    if (found == accounts_.end() || held_ > 0) return false;
    brought_.resize(accounts_.size());
    brought_[static_cast<std::size_t>(found - accounts_.begin())] += amount;
    return true;
}

bool budget_claim::take_now(std::size_t i, time_ms now) {
    // A hold of nothing is one, too.
    const bool is_asked = missing(i) > 0 || brought(i) == 0;
    if (is_asked && !accounts_[i]->hold_now(missing(i), now)) return false;
    taken(i, now);
    return true;
}

void budget_claim::taken(std::size_t i, time_ms now) {
    if (brought(i) == 0) return;
    if (missing(i) > 0) accounts_[i]->join_holds();
    accounts_[i]->lower_hold(brought_[i] + missing(i) - amount_, now);
    brought_[i] = 0;
}

verdict budget_claim::advance(time_ms now, const std::function<void()>& decided) {
    now_ = now;
    if (waiter_) {
        const verdict outcome = stuck_->outcome_of(*waiter_);
        if (outcome == verdict::waiting) return outcome;
        waiter_.reset();
        if (outcome != verdict::held) return outcome;
        taken(held_, now);
        ++held_;
    }
    for (; held_ < accounts_.size(); ++held_) {
        stuck_ = accounts_[held_];
        if (take_now(held_, now)) continue;
        auto waiter = std::make_shared<budget_waiter>();
        waiter->decided = decided;
        const verdict outcome = stuck_->hold_later(missing(held_), now, waiter);
        if (outcome == verdict::waiting) waiter_ = std::move(waiter);
        if (outcome != verdict::held) return outcome;
        taken(held_, now);
    }
    stuck_ = nullptr;
    return verdict::held;
}

void budget_claim::give_up(time_ms now) {
    if (waiter_) {
        if (stuck_->leave(waiter_, now)) {
            taken(held_, now);
            ++held_;
        }
        waiter_.reset();
    }
    settle(0, now);
}

void budget_claim::settle(pico_dollars cost, time_ms now) {
    for (std::size_t i = 0; i < held_; ++i) accounts_[i]->settle(amount_, cost, now);
    for (std::size_t i = held_; i < accounts_.size(); ++i) {
        if (brought(i) > 0) accounts_[i]->settle(brought_[i], 0, now);
    }
    held_ = 0;
    accounts_.clear();
}

bool budget_claim::raise(pico_dollars by, time_ms now) {
    for (std::size_t i = 0; i < held_; ++i) {
        if (accounts_[i]->hold_now(by, now)) {
            accounts_[i]->join_holds();
            continue;
        }
        while (i > 0) accounts_[--i]->lower_hold(by, now);
        return false;
    }
    amount_ += by;
    return true;
}

void budget_claim::hand_over(std::span<budget_account* const> those, time_ms now) {
    for (budget_account* const account : accounts_held()) {
        if (std::ranges::find(those, account) != those.end()) {
            account->hand_over(amount_);
        } else {
            account->settle(amount_, 0, now);
        }
    }
    held_ = 0;
    accounts_.clear();
}

std::size_t budget_claim::account_numbers(std::span<std::uint32_t> into) const {
    const std::size_t count = std::min(held_, into.size());
    for (std::size_t i = 0; i < count; ++i) into[i] = accounts_[i]->who().number;
    return count;
}

}  // namespace governance
