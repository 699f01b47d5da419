#include "governance/budget_keeper.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

namespace governance {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds contended_every{50};
constexpr std::chrono::milliseconds pause_min{5};       // between two looks at one account
constexpr std::chrono::milliseconds others_every{100};  // how often we ask whether another replica waits
constexpr std::chrono::milliseconds look_every{5'000};  // at most; a third of the lease when that is shorter
constexpr std::chrono::milliseconds retry_every{250};   // while the database cannot be reached
constexpr time_ms want_ms = 1'000;                      // how long a wish stands without being renewed
constexpr int busy_tries_max = 5;
constexpr std::chrono::milliseconds after_end{1'000};  // of a period: then its row is taken away

// Acknowledged, held and unreported money together: it changes with everything that happens to an account.
pico_dollars activity_of(const budget_view& view) {
    return base::add_saturated(view.acknowledged, view.held + view.unreported);
}

}  // namespace

struct budget_keeper::state {
    // What is remembered of an account between two looks.
    struct memory {
        steady_clock::time_point next{};
        steady_clock::time_point looked{};
        pico_dollars seen = -1;  // activity_of at the last look: has anything happened?
        bool leased = false;
    };

    std::unique_ptr<database::connection> on;
    budget_registry& accounts;
    std::string replica;
    options settings;
    budget_keeper_hooks hooks;
    std::unordered_map<std::uint32_t, memory> memories{};
    steady_clock::time_point others_next{};

    std::mutex mutex{};
    std::condition_variable changed{};
    bool woken = false;
    bool stopping = false;
    std::atomic<bool> reachable{true};
    std::thread thread{};

    std::chrono::milliseconds interval() const { return std::min(look_every, settings.budget_lease / 3); }

    void look_at(budget_account& account, memory& of);
    void rest(budget_account& account, memory& of, time_ms now);
    void look_repeatedly(budget_account& account, memory& of);
    void raise_alerts(const budget_account& account, const lease_state& now);
    std::chrono::milliseconds round(bool everything);
    void run();
    void give_back();
    void end();
};

// The plan is made and carried out in one transaction. Lease that is given back is taken from the account first, lease
// that is granted is put into it last: at every moment the account has no more than the database says.
void budget_keeper::state::look_at(budget_account& account, memory& of) {
    const time_ms now = hooks.now();
    const auto& who = account.who();
    const budget_view before = account.view();
    if (who.ends && now >= *who.ends && before.held == 0 && before.unreported == 0 && before.waiting == 0) {
        if (of.leased) {
            on->execute(
                "DELETE FROM claude_proxy.budget_leases WHERE budget_id = $1 AND period_start = $2 AND replica = $3",
                {who.budget_id, who.begins, replica});
        }
        of.leased = false;
        of.seen = activity_of(before);
        rest(account, of, now);
        return;
    }
    database::transaction work(*on);
    const lease_state state = read_lease(*on, who, replica, now);
    const budget_view view = account.view();
    const pico_dollars acknowledged = view.acknowledged;
    const pico_dollars activity = activity_of(view);
    const bool idle = of.seen == activity && view.waiting == 0;
    of.seen = activity;

    const time_ms expires = now + settings.budget_lease.count();
    budget_account::lease_news news;
    news.limit = state.limit;
    news.hard = state.hard && state.exists;
    news.spent = state.spent;
    news.set_aside = state.set_aside;
    news.set_aside_wait = settings.budget_set_aside_wait.count();
    news.asked_at = now;
    // A row that is new to the database: what was acknowledged before it is in `spent`, and consumed of nothing.
    const bool is_new = state.granted == 0 && state.consumed == 0;
    news.consumed = is_new ? acknowledged : state.consumed;
    news.valid_until = expires - settings.budget_lease.count() / 10;  // clocks of replicas differ
    lease_state planned = state;
    planned.consumed = news.consumed;
    if (is_new) planned.granted = news.consumed;

    pico_dollars amount = 0;
    bool wants_more = false;
    if (news.hard) {
        const lease_wish wish{.used = view.held + view.unreported,
                              .waiting = view.wanted,
                              .waiting_first = view.wanted_first,
                              .acknowledged = acknowledged,
                              .idle = idle};
        const lease_plan plan = plan_lease(planned, wish);
        amount = plan.amount;
        wants_more = plan.wants_more;
        news.low = plan.low;
        const pico_dollars has = view.lease - (news.consumed - acknowledged);
        if (!planned.expired && amount < has) amount = has - account.shrink(has - amount);
    }
    news.granted = news.consumed + amount;
    write_lease(*on, who, replica, news.granted, news.consumed, wants_more ? now + want_ms : 0, expires);
    raise_alerts(account, state);
    work.commit();
    of.leased = true;
    account.renew(news, hooks.now());
    const bool waiting = account.view().waiting > 0;
    of.looked = steady_clock::now();
    of.next = steady_clock::now() + (waiting ? contended_every : interval());
    // Nobody uses it and nothing is leased. Its row stays, since the ledger's writer counts in it.
    if (idle && !waiting && amount == 0 && view.held == 0 && view.unreported == 0) rest(account, of, now);
}

// Until somebody wishes, or the period ends. Who took something before it could see that we rest is seen here.
void budget_keeper::state::rest(budget_account& account, memory& of, time_ms now) {
    account.rest(true);
    const auto& ends = account.who().ends;
    of.next = ends && now < *ends ? steady_clock::now() + std::chrono::milliseconds(*ends - now) + after_end
                                  : steady_clock::time_point::max();
    if (activity_of(account.view()) != of.seen) account.look_again();
}

void budget_keeper::state::raise_alerts(const budget_account& account, const lease_state& now) {
    if (!now.exists || now.limit <= 0) return;
    for (const int percent : now.alerts) {
        if (static_cast<__int128>(now.spent) * 100 < static_cast<__int128>(now.limit) * percent) continue;
        const auto& who = account.who();
        const auto first = on->query(
            "INSERT INTO claude_proxy.budget_alerts (budget_id, period_start, percent, at) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (budget_id, period_start, percent) DO NOTHING RETURNING percent",
            {who.budget_id, who.begins, static_cast<std::int64_t>(percent), hooks.now()});
        if (first.empty() || !hooks.alert) continue;
        hooks.alert({who.budget_id, who.where, who.scope_id, who.every, percent, now.spent, now.limit});
    }
}

// Looks at what is due; how long nothing will be.
std::chrono::milliseconds budget_keeper::state::round(bool everything) {
    const auto all = accounts.accounts();
    std::vector<std::string> wanted;
    if (!all.empty() && (everything || steady_clock::now() >= others_next)) {
        others_next = steady_clock::now() + others_every;
        wanted = wanted_by_others(*on, replica, hooks.now());
    }
    auto next = all.empty() ? steady_clock::now() + interval() : others_next;
    const auto look_if_due = [&](budget_account& account, memory& of) {
        if (!everything && steady_clock::now() < of.next) return;
        account.rest(false);
        account.take_wish();
        look_repeatedly(account, of);
    };
    // Those first for which somebody waits, here or on another replica.
    for (budget_account* account : all) {
        memory& of = memories[account->who().number];
        const bool is_wanted = of.leased && std::ranges::find(wanted, account->who().budget_id) != wanted.end();
        if (!account->wishes() && !is_wanted) continue;
        of.next = std::min(of.next, of.looked + pause_min);
        look_if_due(*account, of);
    }
    for (budget_account* account : all) {
        memory& of = memories[account->who().number];
        look_if_due(*account, of);
        next = std::min(next, of.next);
    }
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(next - steady_clock::now());
    return std::max(wait, std::chrono::milliseconds(1));
}

// Another replica may be at the same budget: then the transaction is repeated.
void budget_keeper::state::look_repeatedly(budget_account& account, memory& of) {
    for (int tried = 1;; ++tried) {
        try {
            look_at(account, of);
            return;
        } catch (const database::failure& problem) {
            if (problem.kind == database::failure_kind::busy && tried < busy_tries_max) continue;
            of.next = steady_clock::now() + retry_every;
            throw;
        }
    }
}

void budget_keeper::state::run() {
    std::chrono::milliseconds wait{0};
    for (;;) {
        {
            std::unique_lock lock(mutex);
            changed.wait_for(lock, wait, [this] { return woken || stopping; });
            if (stopping) return;
            woken = false;
        }
        try {
            wait = round(false);
            if (!reachable.exchange(true) && hooks.database) hooks.database(true, "");
        } catch (const database::failure& problem) {
            wait = retry_every;
            if (reachable.exchange(false) && hooks.database) hooks.database(false, problem.what());
            std::unique_lock lock(mutex);  // wishes do not hurry a database that is not there
            changed.wait_for(lock, wait, [this] { return stopping; });
        }
    }
}

void budget_keeper::state::give_back() {
    try {
        // Only what was taken and not used: money that has not reached the database yet keeps its lease until it
        // expires.
        for (budget_account* account : accounts.accounts()) {
            const budget_view view = account->view();
            if (memories[account->who().number].leased && view.held == 0 && view.unreported == 0) {
                on->execute(
                    "DELETE FROM claude_proxy.budget_leases WHERE budget_id = $1 AND period_start = $2 AND replica = "
                    "$3",
                    {account->who().budget_id, account->who().begins, replica});
            }
        }
    } catch (const database::failure&) {
        // They expire by themselves.
    }
}

budget_keeper::budget_keeper(std::unique_ptr<database::connection> on, budget_registry& accounts, std::string replica,
                             const options& settings, budget_keeper_hooks hooks)
    : state_(new state{.on = std::move(on),
                       .accounts = accounts,
                       .replica = std::move(replica),
                       .settings = settings,
                       .hooks = std::move(hooks)}) {}

budget_keeper::~budget_keeper() { state_->end(); }

void budget_keeper::state::end() {
    if (!thread.joinable()) return;
    {
        const std::lock_guard lock(mutex);
        stopping = true;
    }
    changed.notify_all();
    thread.join();
}

void budget_keeper::stop() {
    state_->end();
    state_->give_back();
}

void budget_keeper::start() {
    state_->thread = std::thread([state = state_.get()] {
        pthread_setname_np(pthread_self(), "budgets");
        state->run();
    });
}

void budget_keeper::wake() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->woken = true;
    }
    state_->changed.notify_one();
}

void budget_keeper::look() { state_->round(true); }

bool budget_keeper::database_reachable() const { return state_->reachable.load(); }

}  // namespace governance
