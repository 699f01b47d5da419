// The money of queued jobs, on real budgets with their keepers: it is held from the submit on, goes over to whoever
// runs the job, comes back when nobody does, and budgets are never overdrawn.
#include <condition_variable>
#include <random>

#include "governance/budget_keeper.hpp"
#include "governance/job_holds.hpp"
#include "jobs_suite.hpp"

namespace jobs {
namespace {

using governance::budget_account;
using governance::pico_dollars;
using governance::verdict;
using std::chrono::seconds;

governance::budget total_of(pico_dollars limit) {
    governance::budget made;
    made.id = "bud_1";
    made.where = governance::scope::team;
    made.scope_id = "team_1";
    made.every = governance::period::total;
    made.limit_pico = limit;
    return made;
}

time_ms real_now() {
    return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// One replica: its budgets, their keeper, its store, and a reporter in the place of the ledger's writer.
class replica {
public:
    replica(std::unique_ptr<database::connection> keeper_on, std::unique_ptr<database::connection> report_on,
            std::unique_ptr<database::connection> writes, const database::options& reads, const options& rules,
            const std::string& name, const governance::budget& what, milliseconds set_aside_wait)
        : name_(name),
          settings_{.budget_set_aside_wait = set_aside_wait},
          budgets_(10'000, [this] { keeper_->wake(); }),
          on_(std::move(report_on)),
          store(std::move(writes), reads, rules, name, real_now) {
        governance::budget_keeper_hooks hooks;
        hooks.now = real_now;
        keeper_ = std::make_unique<governance::budget_keeper>(std::move(keeper_on), budgets_, name, settings_, hooks);
        book_ = budgets_.book_for(what);
        store.itself().hold_claims_on(budgets_);
        keeper_->start();
    }
    ~replica() { keeper_->stop(); }

    budget_account& account() { return book_->account_at(real_now()); }
    const std::shared_ptr<governance::budget_book>& book() const { return book_; }

    // Waits as a request would; empty: refused, or not within a time in which it could have been decided.
    std::optional<governance::budget_claim> hold(pico_dollars amount, const claimed* job = nullptr) {
        std::mutex mutex;
        std::condition_variable told;
        bool woken = false;
        const std::vector books{book_};
        governance::budget_claim claim(books, amount, real_now());
        if (job != nullptr) job->money->give_to(claim);
        const auto wake = [&] {
            const std::lock_guard lock(mutex);
            woken = true;
            told.notify_one();
        };
        auto outcome = claim.advance(real_now(), wake);
        while (outcome == verdict::waiting) {
            std::unique_lock lock(mutex);
            const bool is_decided = told.wait_for(lock, seconds(20) * contract::time_scale(), [&] { return woken; });
            woken = false;
            lock.unlock();
            if (!is_decided) break;
            outcome = claim.advance(real_now(), wake);
        }
        if (outcome == verdict::held) return claim;
        claim.give_up(real_now());
        return {};
    }
    // As the gateway submits.
    bool submit(submission what, pico_dollars bound) {
        auto held = hold(bound);
        if (!held) return false;
        auto money = std::make_shared<governance::job_claim>(std::move(*held));
        what.holds = money->holds();
        const auto told = store.submit(std::move(what), [money](bool moved) {
            moved ? money->committed(real_now()) : money->abandoned(real_now());
        });
        return told.how == outcome::done;
    }
    // As the ledger's writer.
    void report(pico_dollars cost) {
        const std::lock_guard lock(reporting_);
        const std::vector<governance::consumption> sums{{account().who().number, cost}};
        contract::until_not_busy([&] {
            database::transaction work(*on_);
            on_->execute(
                "INSERT INTO claude_proxy.spend_daily (scope, scope_id, day, spent_pico) VALUES ('team', 'team_1',"
                " $1, $2) ON CONFLICT (scope, scope_id, day) DO UPDATE SET spent_pico = spend_daily.spent_pico + $2",
                {real_now() / 86'400'000 * 86'400'000, cost});
            governance::consume_leases(*on_, budgets_, name_, sums, real_now() + settings_.budget_lease.count());
            work.commit();
        });
        account().acknowledged(cost);
    }

private:
    const std::string name_;
    const governance::options settings_;
    governance::budget_registry budgets_;
    std::unique_ptr<database::connection> on_;
    std::mutex reporting_;
    std::unique_ptr<governance::budget_keeper> keeper_;
    std::shared_ptr<governance::budget_book> book_;

public:
    waiting_store store;
};

class jobs_money : public jobs_suite {
protected:
    std::unique_ptr<replica> join(const std::string& name, milliseconds set_aside_wait = seconds(300)) {
        return std::make_unique<replica>(connect(), connect(), connect(), where(), rules, name, total_of(limit),
                                         set_aside_wait);
    }
    void set_up_budget(pico_dollars of) {
        limit = of;
        on().execute(
            "INSERT INTO claude_proxy.budgets (id, scope, scope_id, period, limit_pico, hard, alerts, created_at,"
            " updated_at) VALUES ('bud_1', 'team', 'team_1', 'total', $1, 1, '[]', 0, 0)",
            {limit});
    }
    static submission job() {
        auto made = job_of("team_1");
        made.created_at = real_now();
        made.expires_at = real_now() + 86'400'000;
        made.attempts_max = 1'000;
        return made;
    }
    std::int64_t held_for_jobs() {
        return number("SELECT COALESCE(SUM(granted_pico), 0) FROM claude_proxy.budget_leases WHERE replica = 'jobs'");
    }
    // In one statement: what is spent, and every lease.
    std::int64_t promised() {
        return number(
            "SELECT (SELECT COALESCE(SUM(spent_pico), 0) FROM claude_proxy.spend_daily)"
            " + COALESCE(SUM(granted_pico - consumed_pico), 0) FROM claude_proxy.budget_leases");
    }
    pico_dollars limit = 0;
};
RUN_ON_EVERY_DATABASE(jobs_money);

TEST_P(jobs_money, a_queued_job_holds_and_a_cancelled_one_does_not) {
    set_up_budget(100);
    const auto here = join("replica_1"), there = join("replica_2");
    auto first = job(), second = job();
    ASSERT_TRUE(here->submit(first, 60));
    EXPECT_EQ(held_for_jobs(), 60);
    EXPECT_EQ(here->account().view().held, 0);
    EXPECT_EQ(here->account().view().unreported, 0);
    // It is held, not spent: who does not fit waits.
    std::atomic<bool> was_held = false;
    std::thread waits([&] {
        auto claim = there->hold(50);
        was_held = claim.has_value();
    });
    while (there->account().view().waiting == 0) std::this_thread::yield();
    ASSERT_TRUE(here->hold(40)) << "what is left";
    EXPECT_FALSE(was_held);
    EXPECT_EQ(here->store.cancel(first.id), outcome::done);
    EXPECT_EQ(held_for_jobs(), 0);
    waits.join();
    EXPECT_TRUE(was_held);
    EXPECT_FALSE(here->hold(101)) << "that never fits";
    EXPECT_LE(promised(), limit);
}

TEST_P(jobs_money, who_needs_what_queued_jobs_hold_is_told_soon_and_gets_it_when_it_is_back) {
    set_up_budget(100);
    const auto here = join("replica_1"), there = join("replica_2", milliseconds(300));
    auto what = job();
    ASSERT_TRUE(here->submit(what, 80));
    const std::vector books{there->book()};
    governance::budget_claim claim(books, 30, real_now());
    std::promise<void> decided;
    ASSERT_EQ(claim.advance(real_now(), [&] { decided.set_value(); }), verdict::waiting);
    ASSERT_EQ(decided.get_future().wait_for(seconds(20) * contract::time_scale()), std::future_status::ready);
    EXPECT_EQ(claim.advance(real_now(), [] {}), verdict::set_aside);
    EXPECT_EQ(there->account().view().set_aside, 80);
    claim.give_up(real_now());
    EXPECT_TRUE(there->hold(20)) << "what is free is not waited for";
    EXPECT_EQ(here->store.cancel(what.id), outcome::done);
    EXPECT_TRUE(there->hold(30));
    EXPECT_LE(promised(), limit);
}

TEST_P(jobs_money, a_claimed_job_keeps_its_money_though_others_wait_for_it) {
    set_up_budget(100);
    const auto here = join("replica_1"), there = join("replica_2"), worker = join("replica_3");
    for (int round = 0; round < 5; ++round) {
        auto what = job();
        ASSERT_TRUE(here->submit(what, 80 - 10 * round)) << round;
        std::atomic<bool> was_held = false;
        std::thread waits([&] { was_held = there->hold(90 - 10 * round).has_value(); });
        while (there->account().view().waiting == 0) std::this_thread::yield();
        const auto jobs = worker->store.claim(1);
        EXPECT_EQ(jobs.size(), 1);
        EXPECT_EQ(held_for_jobs(), 0);
        // The worker is slow to hold; the other one has been told that it may have what is free.
        std::this_thread::sleep_for(milliseconds(200));
        EXPECT_FALSE(was_held) << round;
        auto claim = worker->hold(80 - 10 * round, &jobs.at(0));
        EXPECT_TRUE(claim);
        EXPECT_FALSE(was_held);
        if (claim) claim->settle(10, real_now());
        worker->report(10);
        worker->store.finish(ending_of(jobs.at(0), ending::way::succeeded));
        waits.join();
        EXPECT_TRUE(was_held);
        EXPECT_LE(promised(), limit);
    }
}

TEST_P(jobs_money, every_job_that_fits_runs_and_nothing_is_overdrawn) {
    constexpr pico_dollars bound = 1'000, cost = 300;
    constexpr int jobs = 120;
    set_up_budget(jobs * cost + bound);
    std::vector<std::unique_ptr<replica>> replicas;
    for (int i = 0; i < 3; ++i) replicas.push_back(join("replica_" + std::to_string(i)));
    std::atomic<int> submitted = 0, finished = 0;
    std::atomic<bool> is_over = false;
    std::int64_t most = 0;
    std::thread watch([&] {
        const auto on = connect();
        while (!is_over) {
            most = std::max(most, database::integer_of(on->query(
                                      "SELECT (SELECT COALESCE(SUM(spent_pico), 0) FROM claude_proxy.spend_daily)"
                                      " + COALESCE(SUM(granted_pico - consumed_pico), 0) FROM"
                                      " claude_proxy.budget_leases")[0][0]));
            std::this_thread::sleep_for(milliseconds(2));
        }
    });
    const auto seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    contract::on_threads(6, [&](int number) {
        std::mt19937 random(seed + static_cast<unsigned>(number));
        replica& mine = *replicas[static_cast<std::size_t>(number % 3)];
        if (number < 3) {
            for (int i = 0; i < jobs / 3; ++i) {
                EXPECT_TRUE(mine.submit(job(), bound)) << i;
                ++submitted;
            }
            return;
        }
        while (finished < jobs) {
            for (const auto& one : mine.store.claim(1 + random() % 3)) {
                auto claim = mine.hold(bound, &one);
                EXPECT_TRUE(claim);
                if (!claim) continue;
                claim->settle(cost, real_now());
                mine.report(cost);
                EXPECT_EQ(mine.store.finish(ending_of(one, ending::way::succeeded)), outcome::done);
                ++finished;
            }
        }
    });
    is_over = true;
    watch.join();
    EXPECT_EQ(finished, jobs);
    EXPECT_LE(most, limit);
    EXPECT_EQ(held_for_jobs(), 0);
    EXPECT_EQ(number("SELECT SUM(spent_pico) FROM claude_proxy.spend_daily"), jobs * cost);
    for (const auto& each : replicas) {
        EXPECT_EQ(each->account().view().held, 0);
        EXPECT_EQ(each->account().view().unreported, 0);
    }
    EXPECT_TRUE(replicas[0]->hold(bound)) << "the rest of the budget is free";
}

TEST_P(jobs_money, what_an_expired_or_dead_job_held_comes_back) {
    const auto store = open();
    auto brief = job_of("team_1");
    brief.expires_at = now() + 10;
    brief.holds = {{"bud_1", 0, 7}, {"bud_2", 5, 9}};
    store->submit(brief);
    auto other = job_of("team_1");
    other.holds = {{"bud_1", 0, 11}};
    other.attempts_max = 1;
    store->submit(other);
    EXPECT_EQ(held_for_jobs(), 27);
    tick(10);
    EXPECT_EQ(store->sweep().expired, 1);
    EXPECT_EQ(held_for_jobs(), 11);
    ASSERT_EQ(store->claim(1).size(), 1);
    EXPECT_EQ(held_for_jobs(), 0);
    tick(rules.lease.count());
    EXPECT_EQ(store->sweep().dead, 1);
    EXPECT_EQ(held_for_jobs(), 0);
    EXPECT_EQ(store->redrive(other.id), outcome::done);
    EXPECT_EQ(held_for_jobs(), 0) << "it is admitted again when it runs";
}

TEST_P(jobs_money, a_wrong_sum_is_found_and_put_right) {
    rules.holds_check_every = milliseconds(0);
    const auto store = open();
    for (int i = 0; i < 3; ++i) {
        auto what = job_of("team_1");
        what.holds = {{"bud_1", 0, 5 + i}, {"bud_2", 0, 1}};
        store->submit(what);
    }
    for (int i = 0; i < 3; ++i) EXPECT_EQ(store->sweep().holds_repaired, 0);
    on().execute(
        "UPDATE claude_proxy.budget_leases SET granted_pico = 3 WHERE replica = 'jobs' AND budget_id = 'bud_1'");
    on().execute("DELETE FROM claude_proxy.budget_leases WHERE replica = 'jobs' AND budget_id = 'bud_2'");
    on().execute(
        "INSERT INTO claude_proxy.budget_leases (budget_id, period_start, replica, granted_pico, consumed_pico, "
        "expires_at)"
        " VALUES ('bud_3', 0, 'jobs', 8, 0, 0)");
    // It is looked for beside the sweeps: one of the next ones has been told.
    std::uint32_t repaired = 0;
    for (const auto begin = std::chrono::steady_clock::now();
         repaired == 0 && std::chrono::steady_clock::now() < begin + seconds(20);) {
        repaired = store->sweep().holds_repaired;
    }
    EXPECT_EQ(repaired, 3);
    EXPECT_EQ(
        number("SELECT granted_pico FROM claude_proxy.budget_leases WHERE replica = 'jobs' AND budget_id = 'bud_1'"),
        18);
    EXPECT_EQ(
        number("SELECT granted_pico FROM claude_proxy.budget_leases WHERE replica = 'jobs' AND budget_id = 'bud_2'"),
        3);
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.budget_leases WHERE replica = 'jobs'"), 2);
}

}  // namespace
}  // namespace jobs
