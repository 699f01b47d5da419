// Budgets on the request path: hold before the call, settle after it, in memory.
//
// An account is one budget in one period on this replica. It has a lease: what this replica may spend, taken from the
// database in slices (budget_keeper.hpp). Always: held + spent and not yet reported <= lease, and the database keeps
// spent + all leases <= limit, so that N replicas together never overshoot. Far from the limit a hold is one atomic
// addition. Where the lease does not cover it, the request waits in the order of arrival, for others to settle or for
// more lease, and is refused only when the truth would overshoot: spent and settled money alone leave no room for it.
// What is held for queued jobs and batches (job_holds.hpp) comes back late: who needs that waits a shorter time for it.
//
// Thread rule: any thread. Decisions only: no I/O, the time is an argument.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/money.hpp"
#include "governance/tenants.hpp"

namespace governance {

using base::pico_dollars;

enum class verdict : std::uint8_t {
    held,
    waiting,
    never,      // it does not fit any more
    crowded,    // too many wait already
    set_aside,  // queued jobs and batches hold what it needs, and nothing of that came back for a time
};

// A request in the queue of an account. `decided` is called once, on the thread that decides, when `outcome` is final;
// it must not call back into the account.
struct budget_waiter {
    pico_dollars amount = 0;
    std::function<void()> decided;
    verdict outcome = verdict::waiting;  // read it through budget_account::outcome_of

private:
    friend class budget_account;
    bool queued = false;
    time_ms since = 0;
    std::list<std::shared_ptr<budget_waiter>>::iterator place;
};

// What an account looks like from outside; for the keeper, metrics and refusals.
struct budget_view {
    pico_dollars limit = 0;
    pico_dollars spent = 0;         // all replicas, as far as the database knows, and this one's settled money
    pico_dollars held = 0;          // of this replica
    pico_dollars unreported = 0;    // settled here, not in the database yet
    pico_dollars acknowledged = 0;  // settled here and in the database, since the account was made
    pico_dollars lease = 0;         // room for held + unreported
    pico_dollars set_aside = 0;     // held for queued jobs and batches, which belong to no replica
    pico_dollars wanted = 0;        // sum of what waits
    pico_dollars wanted_first = 0;
    std::uint32_t waiting = 0;
    std::int64_t holds = 0;  // requests that hold
    bool hard = true;
    bool known = false;  // the database was asked at least once

    // Whether that much would not fit even if every request under way cost nothing.
    bool is_set_aside(pico_dollars amount) const {
        return known && base::add_saturated(base::add_saturated(spent, set_aside), amount) > limit;
    }
};

class budget_account {
public:
    struct identity {
        std::uint32_t number = 0;  // ledger::account_id
        std::string budget_id;
        scope where = scope::root;
        std::string scope_id;
        period every = period::total;
        time_ms begins = 0;
        std::optional<time_ms> ends;
    };

    budget_account(identity who, std::uint32_t waiters_max) : who_(std::move(who)), waiters_max_(waiters_max) {}

    const identity& who() const { return who_; }

    // True: held, `settle` must follow. Soft budgets hold whatever comes. False: ask `hold_later`.
    bool hold_now(pico_dollars amount, time_ms now);
    // held: `settle` must follow. waiting: `later` is in the queue; give it up with `leave`.
    verdict hold_later(pico_dollars amount, time_ms now, const std::shared_ptr<budget_waiter>& later);
    verdict outcome_of(const budget_waiter& waiter) const;
    // The request will not wait any more. True: it was decided in the meantime and is held.
    bool leave(const std::shared_ptr<budget_waiter>& waiter, time_ms now);
    // The hold becomes a charge; `cost` may be 0 (nothing was billed), and more than was held (metrics tell).
    void settle(pico_dollars held, pico_dollars cost, time_ms now);

    // Money that comes to this replica with a job that it claims: it is held from now on, outside of the line, and its
    // lease is seen at the keeper's next look. `settle` must follow, or a budget_claim that it is brought to.
    void expect(pico_dollars amount);
    // A hold becomes smaller.
    void lower_hold(pico_dollars by, time_ms now);
    // Two holds are one.
    void join_holds() { holds_.fetch_sub(1, std::memory_order_relaxed); }
    // The hold, and the lease under it, belong to somebody else now; the database knows (job_holds.hpp).
    void hand_over(pico_dollars held);

    // The ledger's writer: so much of what was settled here is in the database now.
    void acknowledged(pico_dollars amount);

    // The keeper: what the database says. `granted`, `consumed`: of our lease, in total; `spent`: everybody's.
    struct lease_news {
        pico_dollars limit = 0;
        bool hard = true;
        pico_dollars spent = 0;
        pico_dollars granted = 0;
        pico_dollars consumed = 0;
        pico_dollars low = 0;  // room below which the keeper wants to be woken
        time_ms valid_until = 0;
        pico_dollars set_aside = 0;
        time_ms set_aside_wait = 0;  // options::budget_set_aside_wait
        time_ms asked_at = 0;        // when the database was about to be asked for all of this
    };
    void renew(const lease_news& news, time_ms now);
    // Before the keeper gives lease back: takes away up to `amount` of the unused part; how much it was.
    pico_dollars shrink(pico_dollars amount);
    // The keeper will not look any more before there is a wish.
    void rest(bool resting) { resting_.store(resting); }

    budget_view view() const;
    // Set when the account needs the keeper before its next round; cleared by the read.
    bool take_wish() { return wish_.exchange(false); }
    // The budget was changed: the keeper should look.
    void look_again() { wish(); }
    bool wishes() const { return wish_.load(std::memory_order_relaxed); }
    std::function<void()> on_wish;  // set once, before use; any thread

private:
    void take(pico_dollars amount);
    bool try_take(pico_dollars amount, time_ms now);
    bool impossible(pico_dollars amount) const;
    bool hopeless(const budget_waiter& waiter) const;
    void serve_queue(time_ms now);
    void wish();

    const identity who_;
    const std::uint32_t waiters_max_;
    std::atomic<pico_dollars> lease_{0};
    std::atomic<pico_dollars> low_{0};
    std::atomic<pico_dollars> used_{0};  // held + unreported
    std::atomic<pico_dollars> unreported_{0};
    std::atomic<pico_dollars> acknowledged_{0};
    std::atomic<std::int64_t> holds_{0};
    std::atomic<time_ms> valid_until_{0};
    std::atomic<std::uint32_t> waiting_{0};
    std::atomic<bool> hard_{true};
    std::atomic<bool> wish_{false};
    std::atomic<bool> resting_{false};

    mutable std::mutex mutex_;  // everything below; and whatever changes lease_ and used_ together
    std::list<std::shared_ptr<budget_waiter>> queue_;
    pico_dollars wanted_ = 0;
    pico_dollars limit_ = 0;
    pico_dollars spent_ = 0;  // in the database, without what we settled and do not know to be there
    bool known_ = false;
    pico_dollars set_aside_ = 0;
    time_ms set_aside_fell_at_ = 0;
    time_ms hopeless_since_ = 0;  // who has waited since then or longer, for what is set aside, has waited enough
};

// The live side of one budget: finds the account of the period that a moment lies in.
class budget_registry;
class budget_book {
public:
    budget_book(budget_registry& owner, const budget& what) : owner_(owner), what_(what) {}

    budget_account& account_at(time_ms now);
    budget what() const;
    void set(const budget& what);  // a changed limit is asked of the database at once

private:
    budget_registry& owner_;
    mutable std::mutex mutex_;
    budget what_;
    std::vector<budget_account*> made_;              // one a period
    std::atomic<budget_account*> current_{nullptr};  // of the latest
};

// All accounts of the process. Accounts are never freed: a day's budget makes 365 a year.
class budget_registry {
public:
    // `on_wish` is called when some account needs the keeper; any thread.
    budget_registry(std::uint32_t waiters_max, std::function<void()> on_wish)
        : waiters_max_(waiters_max), on_wish_(std::move(on_wish)) {}

    std::shared_ptr<budget_book> book_for(const budget& what);
    budget_account& make_account(budget_account::identity who);  // the number is given here
    budget_account* find(std::uint32_t number) const;            // nullptr: no such account
    // The account of the period that is now; nullptr when that is not the one that begins then, or nobody has asked for
    // the budget yet.
    budget_account* find(const std::string& budget_id, time_ms begins, time_ms now) const;
    std::vector<budget_account*> accounts() const;

private:
    const std::uint32_t waiters_max_;
    std::function<void()> on_wish_;
    mutable std::mutex mutex_;
    std::deque<budget_account> accounts_;
    std::unordered_map<std::string, std::shared_ptr<budget_book>> books_;  // by budget id
};

// One request's holds on every budget that applies to it, taken one after the other in the order given (root, team,
// key: the same for everybody, so that two requests never wait for each other). Settles with cost 0 unless `settle` was
// called. Thread rule: one thread; `decided` comes on any.
class budget_claim {
public:
    budget_claim() = default;
    budget_claim(std::span<const std::shared_ptr<budget_book>> budgets, pico_dollars amount, time_ms now);
    budget_claim(budget_claim&&) = default;
    budget_claim& operator=(budget_claim&& other) noexcept;
    ~budget_claim();

    // The moment whose periods it is for, and when the first of these ends (nothing: never). What it pays for belongs
    // there, even when it happens later; a claim that still waits then is for a period that is over.
    time_ms moment() const { return moment_; }
    std::optional<time_ms> ends() const;

    // Before anything is held: money that is expected on an account of this claim (budget_account::expect) is what its
    // hold there is made of; only what is missing is asked for. False: not one of its accounts.
    bool bring(const budget_account* to, pico_dollars amount);
    // All that can be held at once, without waiting; true: everything is held. Else `advance` goes on.
    bool hold_now(time_ms now);
    // Goes on from where it stands. waiting: call again after `decided` was called (set anew at every call).
    verdict advance(time_ms now, const std::function<void()>& decided);
    // Gives up waiting and all holds. Why it could not be had: the account that refused or kept it waiting.
    void give_up(time_ms now);
    const budget_account* refused_by() const { return stuck_; }

    void settle(pico_dollars cost, time_ms now);
    // Holds so much more on every account, without waiting. False: it does not fit, and nothing has changed.
    bool raise(pico_dollars by, time_ms now);
    // Hands over the holds on `those`, and gives up the others (job_holds.hpp).
    void hand_over(std::span<budget_account* const> those, time_ms now);
    std::span<budget_account* const> accounts_held() const { return std::span(accounts_).first(held_); }
    pico_dollars amount() const { return amount_; }
    // Writes the numbers of the accounts held into `into`; how many.
    std::size_t account_numbers(std::span<std::uint32_t> into) const;
    bool empty() const { return accounts_.empty(); }

private:
    // What is to be taken on account `i` for its hold, and what follows when that is done.
    pico_dollars brought(std::size_t i) const { return brought_.empty() ? 0 : brought_[i]; }
    pico_dollars missing(std::size_t i) const { return std::max<pico_dollars>(amount_ - brought(i), 0); }
    bool take_now(std::size_t i, time_ms now);
    void taken(std::size_t i, time_ms now);

    std::vector<budget_account*> accounts_;
    std::vector<pico_dollars> brought_;  // for those that are not held yet; empty: nothing was
    pico_dollars amount_ = 0;
    time_ms moment_ = 0;
    time_ms now_ = 0;       // of the last call
    std::size_t held_ = 0;  // accounts held, from the front
    std::shared_ptr<budget_waiter> waiter_;
    budget_account* stuck_ = nullptr;
};

}  // namespace governance
