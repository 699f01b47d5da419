// Budgets over replicas, each a registry with a keeper of its own and a reporter in the place of the ledger's writer,
// on a real database: together they spend what fits and not a pico-dollar more, nobody is refused who would have
// fitted, and nothing stays held.
#include "governance/budget.hpp"

#include <condition_variable>
#include <random>

#include "database/migrations.hpp"
#include "database_fixture.hpp"
#include "governance/budget_keeper.hpp"
#include "governance/budget_lease.hpp"

namespace contract {
namespace {

using governance::budget_account;
using governance::pico_dollars;
using governance::time_ms;
using governance::verdict;

constexpr time_ms day_ms = 86'400'000;

// Everybody's clock here may run ahead of the real one, so that midnight comes when a test wants it.
std::atomic<time_ms> clock_ahead_ms{0};

time_ms clock_ms() {
    return clock_ahead_ms +
           std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

class midnight_in {
public:
    explicit midnight_in(milliseconds from_now) {
        clock_ahead_ms = 0;
        clock_ahead_ms = day_ms - clock_ms() % day_ms - from_now.count();
    }
    ~midnight_in() { clock_ahead_ms = 0; }
};

governance::budget total_of(pico_dollars limit, std::string id = "bud_1") {
    governance::budget made;
    made.id = std::move(id);
    made.where = governance::scope::team;
    made.scope_id = "team_1";
    made.every = governance::period::total;
    made.limit_pico = limit;
    return made;
}

class replica {
public:
    replica(const database_suite& on, std::string name, const governance::budget& what, milliseconds lease)
        : name_(std::move(name)),
          settings_{.budget_lease = lease},
          budgets_(100'000,
                   [this] {
                       ++wishes;
                       const std::lock_guard lock(keeper_mutex_);
                       if (keeper_) keeper_->wake();
                   }),
          on_(on.connect()) {
        governance::budget_keeper_hooks hooks;
        hooks.now = clock_ms;
        hooks.alert = [this](const governance::budget_alert& alert) { alerts.push_back(alert.percent); };
        keeper_ = std::make_unique<governance::budget_keeper>(on.connect(), budgets_, name_, settings_, hooks);
        book = budgets_.book_for(what);
        keeper_->start();
        reporter_ = std::thread([this] { report(); });
    }
    ~replica() { end(false); }

    // One request: true when it was served. `think`: how long the upstream takes.
    bool request(pico_dollars hold, pico_dollars cost, milliseconds think) {
        std::mutex mutex;
        std::condition_variable told;
        bool woken = false;
        const auto wake = [&] {
            const std::lock_guard lock(mutex);
            woken = true;
            told.notify_one();
        };
        const std::vector books{book};
        governance::budget_claim claim(books, hold, clock_ms());
        verdict outcome = claim.advance(clock_ms(), wake);
        while (outcome == verdict::waiting) {
            std::unique_lock lock(mutex);
            if (!told.wait_for(lock, std::chrono::seconds(60), [&] { return woken; })) {
                ADD_FAILURE() << name_ << ": waited a minute";
                return false;
            }
            woken = false;
            lock.unlock();
            outcome = claim.advance(clock_ms(), wake);
        }
        if (outcome != verdict::held) return false;
        std::this_thread::sleep_for(think);
        std::array<std::uint32_t, 1> accounts{};
        claim.account_numbers(accounts);
        claim.settle(cost, clock_ms());
        const std::lock_guard lock(mutex_);
        finished_.push_back({accounts[0], cost});
        return true;
    }

    void change(const governance::budget& what) { budgets_.book_for(what); }
    budget_account& account() { return book->account_at(clock_ms()); }

    // `killed`: nothing more reaches the database, and the leases stay.
    void end(bool killed) {
        if (!reporter_.joinable()) return;
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            killed_ = killed;
        }
        reporter_.join();
        if (killed) {
            const auto dead = [&] {  // requests still wish
                const std::lock_guard lock(keeper_mutex_);
                return std::move(keeper_);
            }();
        } else {
            keeper_->stop();
        }
    }

    std::shared_ptr<governance::budget_book> book;
    std::vector<int> alerts;  // read it after `end`
    std::atomic<int> wishes{0};

private:
    void report() {
        for (bool last = false; !last;) {
            std::this_thread::sleep_for(milliseconds(10));
            std::vector<governance::consumption> now;
            {
                const std::lock_guard lock(mutex_);
                last = stopping_;
                if (killed_) return;
                now.swap(finished_);
            }
            if (now.empty()) continue;
            pico_dollars sum = 0;
            for (const auto& each : now) sum += each.amount;
            const std::vector<governance::consumption> sums{{now[0].account, sum}};
            until_not_busy([&] {
                transaction work(*on_);
                on_->execute(
                    "INSERT INTO claude_proxy.spend_daily (scope, scope_id, day, spent_pico) VALUES ('team', 'team_1', "
                    "$1, $2)"
                    " ON CONFLICT (scope, scope_id, day) DO UPDATE SET spent_pico = spend_daily.spent_pico + $2",
                    {clock_ms() / day_ms * day_ms, sum});
                governance::consume_leases(*on_, budgets_, name_, sums, clock_ms() + settings_.budget_lease.count());
                work.commit();
            });
            budgets_.find(sums[0].account)->acknowledged(sum);
        }
    }

    const std::string name_;
    const governance::options settings_;
    governance::budget_registry budgets_;
    std::unique_ptr<connection> on_;
    std::mutex keeper_mutex_;  // of the pointer
    std::unique_ptr<governance::budget_keeper> keeper_;
    std::mutex mutex_;
    std::vector<governance::consumption> finished_;
    bool stopping_ = false;
    bool killed_ = false;
    std::thread reporter_;
};

class budget_over_replicas : public database_suite {
public:
    void SetUp() override {
        database_suite::SetUp();
        on = connect();
        database::migrate(*on);
    }
    void set(const governance::budget& what) {
        on->execute(
            "INSERT INTO claude_proxy.budgets (id, scope, scope_id, period, limit_pico, hard, alerts, created_at, "
            "updated_at) VALUES ($1, 'team', 'team_1', 'total', $2, $3, '[80,95]', 1, 1)",
            {what.id, what.limit_pico, std::int64_t{what.hard}});
    }
    pico_dollars spent() {
        return integer_of(on->query("SELECT COALESCE(SUM(spent_pico), 0) FROM claude_proxy.spend_daily")[0][0]);
    }
    pico_dollars leased() {
        return integer_of(
            on->query("SELECT COALESCE(SUM(granted_pico - consumed_pico), 0) FROM "
                      "claude_proxy.budget_leases")[0][0]);
    }
    std::unique_ptr<connection> on;
};

// 1,000 requests at once over some replicas; the budget fits 400 of them.
void spend(budget_over_replicas& suite, int replicas, pico_dollars cost, pico_dollars hold) {
    constexpr int requests = 1'000, fitting = 400;
    const auto what = total_of((fitting - 1) * cost + hold);
    suite.set(what);
    std::vector<std::unique_ptr<replica>> all;
    for (int i = 0; i < replicas; ++i)
        all.push_back(std::make_unique<replica>(suite, "rep_" + std::to_string(i), what, std::chrono::seconds(30)));
    std::atomic<int> served{0};
    const auto began = std::chrono::steady_clock::now();
    constexpr int clients = 125;
    on_threads(clients, [&](int client) {
        std::mt19937 random(static_cast<unsigned>(client));
        for (int i = 0; i < requests / clients; ++i) {
            if (all[static_cast<std::size_t>(client + i) % all.size()]->request(hold, cost, milliseconds(random() % 3)))
                ++served;
        }
    });
    const auto took = std::chrono::steady_clock::now() - began;
    std::cout << "[ MEASURED ] " << replicas << " replicas, hold " << hold << ", cost " << cost << ": "
              << std::chrono::duration_cast<milliseconds>(took).count() << " ms\n";
    EXPECT_EQ(served, fitting);
    for (auto& each : all) {
        EXPECT_EQ(each->account().view().held, 0);
        EXPECT_EQ(each->account().view().holds, 0);
        EXPECT_EQ(each->account().view().waiting, 0u);
        each->end(false);
    }
    EXPECT_EQ(suite.spent(), fitting * cost);
    EXPECT_EQ(suite.leased(), 0) << "leases are given back at the end";
}

TEST_P(budget_over_replicas, one_serves_what_fits) { spend(*this, 1, 1'000, 3'000); }
TEST_P(budget_over_replicas, three_serve_what_fits) { spend(*this, 3, 1'000, 3'000); }
TEST_P(budget_over_replicas, three_serve_what_fits_when_holds_are_far_above_costs) { spend(*this, 3, 1'000, 50'000); }
TEST_P(budget_over_replicas, three_serve_what_fits_when_holds_are_costs) { spend(*this, 3, 1'000, 1'000); }

TEST_P(budget_over_replicas, what_a_killed_one_held_comes_back_after_its_lease) {
    const auto what = total_of(100);
    set(what);
    auto dead = std::make_unique<replica>(*this, "rep_a", what, std::chrono::seconds(1));
    replica living(*this, "rep_b", what, std::chrono::seconds(1));
    std::thread hanging([&] { dead->request(90, 90, milliseconds(300)); });
    std::this_thread::sleep_for(milliseconds(150));
    dead->end(true);
    hanging.join();
    const auto began = std::chrono::steady_clock::now();
    EXPECT_TRUE(living.request(80, 1, milliseconds(0))) << "it waits for the lease to end, and is not refused";
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(3) * time_scale());
}

TEST_P(budget_over_replicas, alerts_are_raised_once_over_all) {
    const auto what = total_of(1'000);
    set(what);
    std::vector<int> raised;
    {
        replica first(*this, "rep_a", what, std::chrono::seconds(2));
        replica second(*this, "rep_b", what, std::chrono::seconds(2));
        for (int i = 0; i < 97; ++i) EXPECT_TRUE((i % 2 ? first : second).request(10, 10, milliseconds(1)));
        std::this_thread::sleep_for(std::chrono::seconds(2));
        first.end(false);
        second.end(false);
        raised = first.alerts;
        raised.insert(raised.end(), second.alerts.begin(), second.alerts.end());
    }
    std::ranges::sort(raised);
    EXPECT_EQ(raised, (std::vector<int>{80, 95}));
}

TEST_P(budget_over_replicas, a_limit_that_is_raised_or_made_soft_is_obeyed_at_once) {
    const auto what = total_of(100);
    set(what);
    replica only(*this, "rep_a", what, std::chrono::seconds(30));
    EXPECT_TRUE(only.request(60, 60, milliseconds(0)));
    EXPECT_FALSE(only.request(60, 60, milliseconds(0)));
    on->execute("UPDATE claude_proxy.budgets SET limit_pico = 200");
    only.change(total_of(200));
    const auto passes_soon = [&](pico_dollars amount) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1) * time_scale();
        while (std::chrono::steady_clock::now() < until) {
            if (only.request(amount, amount, milliseconds(0))) return true;
            std::this_thread::sleep_for(milliseconds(5));
        }
        return false;
    };
    EXPECT_TRUE(passes_soon(60));
    on->execute("UPDATE claude_proxy.budgets SET hard = 0");
    auto soft = total_of(200);
    soft.hard = false;
    only.change(soft);
    EXPECT_TRUE(passes_soon(1'000));
}

TEST_P(budget_over_replicas, one_that_nobody_uses_is_not_looked_at_until_it_is_used_again) {
    const auto what = total_of(100);
    set(what);
    replica only(*this, "rep_a", what, milliseconds(300));  // a look every 100 ms
    const auto written = [&] {
        const auto rows = on->query("SELECT expires_at FROM claude_proxy.budget_leases WHERE replica = 'rep_a'");
        return rows.empty() ? time_ms{0} : integer_of(rows[0][0]);
    };
    const auto rests_soon = [&] {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10) * time_scale();
        while (std::chrono::steady_clock::now() < until) {
            const time_ms before = written();
            std::this_thread::sleep_for(milliseconds(500) * time_scale());
            if (before != 0 && written() == before) return true;
        }
        return false;
    };
    EXPECT_TRUE(only.request(60, 60, milliseconds(0)));
    EXPECT_TRUE(rests_soon());
    EXPECT_EQ(leased(), 0) << "what rests keeps nothing from others";
    EXPECT_FALSE(only.request(60, 60, milliseconds(0)));
    EXPECT_TRUE(only.request(40, 40, milliseconds(0)));
    EXPECT_TRUE(rests_soon());
    EXPECT_EQ(spent(), 100);
}

TEST_P(budget_over_replicas, a_period_that_ends_leaves_no_row_and_no_work) {
    auto what = total_of(100);
    what.every = governance::period::day;
    set(what);
    const milliseconds until_midnight = milliseconds(1'000) * time_scale();
    const midnight_in soon(until_midnight);
    replica busy(*this, "rep_a", what, milliseconds(300));  // a look every 100 ms
    replica idle(*this, "rep_b", what, milliseconds(300));
    EXPECT_TRUE(idle.request(10, 10, milliseconds(0)));
    // Held at the last look before midnight, settled and in the database before the first one after it.
    EXPECT_TRUE(busy.request(60, 40, until_midnight + milliseconds(300)));
    const auto gone = [&] {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10) * time_scale();
        while (std::chrono::steady_clock::now() < until) {
            if (on->query("SELECT replica FROM claude_proxy.budget_leases").empty()) return true;
            std::this_thread::sleep_for(milliseconds(20));
        }
        return false;
    };
    EXPECT_TRUE(gone());
    const int wished = busy.wishes + idle.wishes;
    std::this_thread::sleep_for(milliseconds(300));  // time for a keeper that does not rest to be seen
    EXPECT_LE(busy.wishes + idle.wishes - wished, 2);
    EXPECT_EQ(spent(), 50);
}

RUN_ON_EVERY_DATABASE(budget_over_replicas);

}  // namespace
}  // namespace contract
