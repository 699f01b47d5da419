#include "jobs/committer.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "jobs/group.hpp"

namespace jobs {
namespace {

using database::failure_kind;
using std::chrono::steady_clock;

constexpr std::size_t operations_a_transaction = 2'000;
constexpr std::size_t bytes_a_transaction = 8u << 20;  // one larger operation is a transaction of its own
constexpr std::size_t flush_bytes = 1u << 20;          // of events that wait: committed without waiting any longer
constexpr milliseconds busy_pause{2};
constexpr milliseconds pause_first{5};  // while the database is away; doubled
constexpr milliseconds pause_max{250};

}  // namespace

struct committer::state {
    options rules;
    std::string replica;
    const committer_hooks& hooks;
    std::unique_ptr<database::connection> on;

    std::mutex mutex{};
    std::condition_variable asked{};
    std::deque<operation> queue{};
    std::size_t pending = 0;  // asked for and not answered, in the queue or not
    std::uint64_t pending_bytes = 0;
    std::size_t queued_bytes = 0;
    std::size_t urgent = 0;                    // in the queue
    std::unordered_set<std::string> silent{};  // claimed here, without a piece of its log so far
    bool ending = false;

    bool reachable = true;
    std::vector<operation> unresolved{};  // submits that hold money, told `unavailable`, and perhaps there
    std::thread thread{};

    using work = std::function<void(group&, std::span<operation* const>)>;
    bool is_urgent(const operation& of);
    bool has_work() const;
    void run();
    std::vector<operation> take();
    void commit(std::vector<operation>& operations);
    void carry_out(std::vector<operation*> operations, const work& how);
    bool attempt(std::span<operation* const> operations, const work& how);
    void tell(operation& one, outcome how);
    void away(const std::string& why);
    void answers();
    void pause(milliseconds how_long);
    void give_up_overdue();
    void resolve();
};

// What is small and waits for nobody may wait for company.
bool committer::state::is_urgent(const operation& of) {
    if (const auto* const one = std::get_if<append_operation>(&of.what)) return silent.erase(one->id) > 0;
    if (const auto* const one = std::get_if<finish_operation>(&of.what)) silent.erase(one->how.id);
    return !std::holds_alternative<announced_operation>(of.what);
}

bool committer::state::has_work() const {
    if (queue.empty()) return false;
    return ending || urgent > 0 || queued_bytes >= flush_bytes ||
           steady_clock::now() >= queue.front().asked_at + rules.flush_every;
}

void committer::state::run() {
    std::unique_lock lock(mutex);
    for (;;) {
        while (!has_work()) {
            if (ending && queue.empty()) return;
            if (!queue.empty()) {
                asked.wait_until(lock, queue.front().asked_at + rules.flush_every);
            } else if (!unresolved.empty()) {
                if (asked.wait_for(lock, pause_max) == std::cv_status::timeout) break;
            } else {
                asked.wait(lock);
            }
        }
        auto operations = take();
        lock.unlock();
        commit(operations);
        if (!unresolved.empty()) resolve();
        operations.clear();
        lock.lock();
    }
}

std::vector<operation> committer::state::take() {
    std::vector<operation> taken;
    std::size_t bytes = 0;
    while (!queue.empty() && taken.size() < operations_a_transaction &&
           (taken.empty() || bytes + queue.front().bytes <= bytes_a_transaction)) {
        bytes += queue.front().bytes;
        taken.push_back(std::move(queue.front()));
        queue.pop_front();
        urgent -= taken.back().is_urgent ? 1 : 0;
    }
    queued_bytes -= bytes;
    return taken;
}

void committer::state::commit(std::vector<operation>& operations) {
    std::vector<operation*> plain, claims, sweeps;
    for (auto& each : operations) {
        const bool is_claim = std::holds_alternative<claim_operation>(each.what);
        const bool is_sweep = std::holds_alternative<sweep_operation>(each.what);
        (is_claim ? claims : is_sweep ? sweeps : plain).push_back(&each);
    }
    carry_out(std::move(plain), [](group& in, std::span<operation* const> which) { in.run(which); });
    // A claim is a transaction of its own: its lock over all replicas must not be waited for with rows locked.
    for (operation* const each : claims) {
        carry_out({each}, [](group& in, std::span<operation* const> which) {
            in.claim(std::get<claim_operation>(which[0]->what));
        });
    }
    for (operation* const each : sweeps) {
        carry_out({each}, [](group& in, std::span<operation* const> which) {
            in.sweep(std::get<sweep_operation>(which[0]->what));
        });
    }
}

// One transaction. False: it may be tried again; throws when it may not.
bool committer::state::attempt(std::span<operation* const> operations, const work& how) {
    bool committing = false;
    std::vector<change> changes;
    try {
        database::transaction together(*on);
        group in(*on, rules, replica, hooks.now(), hooks.budgets);
        how(in, operations);
        in.write();
        committing = true;
        together.commit();
        changes = std::move(in.changes);
    } catch (const database::failure& problem) {
        if (problem.kind != failure_kind::busy && problem.kind != failure_kind::unavailable) throw;
        if (problem.kind == failure_kind::unavailable) {
            for (operation* const each : operations) each->may_have_happened |= committing;
            away(problem.what());
        }
        return false;
    }
    answers();
    // The listener first: who hears of the end of a call may look for what it changed.
    if (hooks.changed) {
        for (const auto& each : changes) hooks.changed(each);
    }
    return true;
}

void committer::state::carry_out(std::vector<operation*> operations, const work& how) {
    auto wait = pause_first;
    while (!operations.empty()) {
        try {
            if (attempt(operations, how)) {
                for (operation* const each : operations) tell(*each, outcome::done);
                return;
            }
        } catch (const database::failure& problem) {
            if (operations.size() > 1) {
                // One of them is to blame. The others must not suffer for it.
                for (operation* const each : operations) carry_out({each}, how);
                return;
            }
            answers();
            if (hooks.refused) hooks.refused(problem.what());
            tell(*operations[0], outcome::refused);
            return;
        }
        const auto now = steady_clock::now();
        std::erase_if(operations, [&](operation* const each) {
            if (now < each->asked_at + rules.write_patience) return false;
            tell(*each, outcome::unavailable);
            return true;
        });
        give_up_overdue();
        if (operations.empty()) return;
        pause(reachable ? busy_pause : wait);
        if (!reachable) wait = std::min(wait * 2, pause_max);
    }
}

void committer::state::tell(operation& one, outcome how) {
    if (const auto* const claim = std::get_if<claim_operation>(&one.what); claim != nullptr && how == outcome::done) {
        // Before the claimer hears of them and appends.
        const std::lock_guard lock(mutex);
        for (const auto& job : claim->answer) silent.insert(job.about.id);
    }
    one.tell(how);
    const std::lock_guard lock(mutex);
    --pending;
    pending_bytes -= one.bytes;
    auto* const submit = std::get_if<submit_operation>(&one.what);
    if (submit != nullptr && submit->holds_fate) {
        submit->what.request.clear();
        unresolved.push_back(std::move(one));
    }
}

void committer::state::away(const std::string& why) {
    if (std::exchange(reachable, false) && hooks.database) hooks.database(false, why);
}

void committer::state::answers() {
    if (!std::exchange(reachable, true) && hooks.database) hooks.database(true, "");
}

void committer::state::pause(milliseconds how_long) {
    std::unique_lock lock(mutex);
    // Not ended by whoever asks for something: the database will not be back sooner.
    const auto until = steady_clock::now() + how_long;
    while (asked.wait_until(lock, until) == std::cv_status::no_timeout) {
    }
}

// Of what waits behind the operations that are being tried, nothing has happened.
void committer::state::give_up_overdue() {
    std::vector<operation> overdue;
    {
        const std::lock_guard lock(mutex);
        while (!queue.empty() && steady_clock::now() >= queue.front().asked_at + rules.write_patience) {
            queued_bytes -= queue.front().bytes;
            urgent -= queue.front().is_urgent ? 1 : 0;
            overdue.push_back(std::move(queue.front()));
            queue.pop_front();
        }
    }
    for (auto& each : overdue) tell(each, outcome::unavailable);
}

// Whether submits whose commit was not answered are there. They are inserted again, in a transaction that is rolled
// back: unlike a look, that waits for a transaction of ours that the server has not finished yet.
void committer::state::resolve() {
    std::vector<const submission*> what;
    for (const auto& each : unresolved) what.push_back(&std::get<submit_operation>(each.what).what);
    std::vector<std::string> missing;
    try {
        const database::transaction never_committed(*on);
        missing = insert_rows(*on, what, rules.ageing);
        // What was not inserted is there, or another one has its idempotency key.
        std::ranges::sort(missing);
        for (const auto* const each : what) {
            if (std::ranges::binary_search(missing, each->id)) continue;
            if (on->query("SELECT 1 FROM claude_proxy.jobs WHERE id = $1", {each->id}).empty()) {
                missing.insert(std::ranges::upper_bound(missing, each->id), each->id);
            }
        }
    } catch (const database::failure&) {
        return;  // later
    }
    for (auto& each : std::exchange(unresolved, {})) {
        auto& submit = std::get<submit_operation>(each.what);
        submit.holds_fate(!std::ranges::binary_search(missing, submit.what.id));
    }
}

committer::committer(std::unique_ptr<database::connection> on, const options& rules, std::string replica)
    : state_(new state{.rules = rules, .replica = std::move(replica), .hooks = hooks, .on = std::move(on)}) {
    state_->thread = std::thread([state = state_.get()] {
        pthread_setname_np(pthread_self(), "jobs");
        state->run();
    });
}

committer::~committer() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->ending = true;
    }
    state_->asked.notify_all();
    state_->thread.join();
}

void committer::ask(operation what) {
    what.asked_at = steady_clock::now();
    {
        const std::lock_guard lock(state_->mutex);
        const auto& rules = state_->rules;
        if (!state_->ending && state_->pending < rules.operations_max &&
            state_->pending_bytes + what.bytes <= rules.pending_bytes_max) {
            what.is_urgent = state_->is_urgent(what);
            ++state_->pending;
            state_->pending_bytes += what.bytes;
            state_->queued_bytes += what.bytes;
            state_->urgent += what.is_urgent ? 1 : 0;
            state_->queue.push_back(std::move(what));
            state_->asked.notify_one();
            return;
        }
    }
    what.tell(outcome::unavailable);
}

}  // namespace jobs
