// Databases that lose answers, refuse a statement, or are away; and several replicas that want the same jobs.
#include <map>
#include <random>

#include "jobs_suite.hpp"

namespace jobs {
namespace {

using std::chrono::steady_clock;
using place = unreliable::place;

class jobs_trouble : public jobs_suite {
protected:
    // The next commit meets this, and no other.
    std::atomic<trouble> next_ = trouble::none;
    std::unique_ptr<waiting_store> open_forgetful() {
        rules.flush_every = milliseconds(1);
        return open_in_trouble([this](place at, const database::batch*) {
            return at == place::commit ? next_.exchange(trouble::none) : trouble::none;
        });
    }
};
class jobs_outage : public jobs_suite {};
RUN_ON_EVERY_DATABASE(jobs_trouble);
RUN_ON_POSTGRES(jobs_outage);

TEST_P(jobs_trouble, an_answer_that_is_lost_changes_nothing) {
    const auto store = open_forgetful();
    for (const auto lost : {trouble::before_commit, trouble::after_commit}) {
        auto what = job_of("team_1");
        what.holds = {{"bud_1", 0, 7}};
        what.idempotency_key = what.id;
        int fate = -1;
        next_ = lost;
        const auto told = store->submit(what, [&](bool moved) { fate = moved ? 1 : 0; });
        EXPECT_EQ(told.how, outcome::done);
        EXPECT_TRUE(told.fresh);
        EXPECT_EQ(fate, 1);

        next_ = lost;
        const auto jobs = store->claim(5);
        ASSERT_EQ(jobs.size(), 1);
        EXPECT_EQ(jobs[0].about.attempt, 1);
        EXPECT_EQ(jobs[0].request, what.request);

        next_ = lost;
        EXPECT_EQ(store->append(what.id, 1, piece(1, 2)), outcome::done);
        next_ = lost;
        EXPECT_TRUE(store->heartbeat({{what.id, 1}}).lost.empty());
        next_ = lost;
        EXPECT_EQ(store->cancel(what.id), outcome::done);
        next_ = lost;
        auto how = ending_of(jobs[0], ending::way::cancelled);
        how.last = piece(3);
        how.request_id = "req_1";
        EXPECT_EQ(store->finish(how), outcome::done);
        how.request_id = "req_2";
        EXPECT_EQ(store->finish(how), outcome::fenced) << "another one is not the same again";
        EXPECT_EQ(store->log(what.id), piece(1, 3).bytes + rules::terminal_event(status::cancelled, "", 4));
        next_ = lost;
        EXPECT_EQ(store->cancel(what.id), outcome::conflict) << "it was over before";
        next_ = lost;
        EXPECT_EQ(store->remove(what.id), outcome::done);
        EXPECT_EQ(store->remove(what.id), outcome::not_found);
    }
    EXPECT_EQ(number("SELECT SUM(granted_pico) FROM claude_proxy.budget_leases WHERE replica = 'jobs'"), 0);
    EXPECT_EQ(number("SELECT granted_pico FROM claude_proxy.budget_leases WHERE replica = 'replica_1'"), 14);
    EXPECT_EQ(number("SELECT consumed_pico FROM claude_proxy.budget_leases WHERE replica = 'replica_1'"), 14);
}

TEST_P(jobs_trouble, what_the_database_refuses_harms_nobody_else) {
    std::atomic<bool> is_away = true;  // until all of them stand in one queue
    std::atomic<int> blamed = 0, refused = 0;
    const auto store = open_in_trouble([&](place at, const database::batch* rows) {
        if (at == place::begin && is_away) return trouble::at_begin;
        if (at != place::insert || rows->table() != "claude_proxy.job_requests") return trouble::none;
        for (std::size_t i = 0; i < rows->rows(); ++i) {
            if (rows->text(rows->at(i, 1)) == "bad") return trouble::refused;
        }
        return trouble::none;
    });
    store->itself().on_database([&](bool, const std::string& why) { blamed += why.contains("refused") ? 1 : 0; });
    store->itself().on_refusal([&](const std::string&) { ++refused; });
    std::vector<std::future<store::submitted>> told;
    std::vector<std::promise<store::submitted>> promises(20);
    for (std::size_t i = 0; i < promises.size(); ++i) {
        auto what = job_of("team_1");
        if (i == 7) what.request = "bad";
        told.push_back(promises[i].get_future());
        store->itself().submit(what, [&promises, i](store::submitted answer) { promises[i].set_value(answer); });
    }
    is_away = false;
    for (std::size_t i = 0; i < told.size(); ++i) {
        EXPECT_EQ(told[i].get().how, i == 7 ? outcome::refused : outcome::done) << i;
    }
    EXPECT_EQ(refused, 1);
    EXPECT_EQ(blamed, 0) << "a database that refuses something is not away";
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.jobs"), 19);
}

TEST_P(jobs_trouble, money_of_a_submit_that_nobody_answered_is_found_in_the_end) {
    rules.write_patience = milliseconds(200);
    for (const auto lost : {trouble::before_commit, trouble::after_commit}) {
        std::atomic<bool> is_away = false, was_lost = false;
        const auto store = open_in_trouble([&](place at, const database::batch*) {
            if (at == place::begin && is_away) return trouble::at_begin;
            if (at != place::commit || was_lost.exchange(true)) return trouble::none;
            is_away = true;  // and does not come back in time
            return lost;
        });
        auto what = job_of("team_1");
        what.holds = {{"bud_1", 0, 7}};
        std::promise<bool> fate;
        auto told = fate.get_future();
        EXPECT_EQ(store->submit(what, [&](bool moved) { fate.set_value(moved); }).how, outcome::unavailable);
        EXPECT_EQ(told.wait_for(milliseconds(50)), std::future_status::timeout);
        is_away = false;
        EXPECT_EQ(told.get(), lost == trouble::after_commit);
        EXPECT_EQ(store->find(what.id).first, lost == trouble::after_commit ? outcome::done : outcome::not_found);
    }
}

TEST_P(jobs_trouble, a_database_that_is_away_is_waited_for_and_not_for_ever) {
    rules.write_patience = milliseconds(300);
    std::atomic<bool> is_away = true;
    std::vector<bool> told;
    const auto store = open_in_trouble([&](place at, const database::batch*) {
        return at == place::begin && is_away ? trouble::at_begin : trouble::none;
    });
    store->itself().on_database([&](bool reachable, const std::string&) { told.push_back(reachable); });
    const auto begin = steady_clock::now();
    int fate = -1;
    EXPECT_EQ(store->submit(job_of("team_1"), [&](bool moved) { fate = moved ? 1 : 0; }).how, outcome::unavailable);
    EXPECT_EQ(fate, 0);
    EXPECT_GE(steady_clock::now() - begin, rules.write_patience);
    // Back within its patience.
    std::promise<store::submitted> answer;
    store->itself().submit(job_of("team_1"), [&](store::submitted how) { answer.set_value(how); });
    is_away = false;
    EXPECT_EQ(answer.get_future().get().how, outcome::done);
    EXPECT_EQ(told, (std::vector{false, true}));
}

TEST_P(jobs_trouble, too_much_is_refused_at_once) {
    rules.operations_max = 10;
    rules.open_per_team_max = 25;
    std::atomic<bool> is_away = true;
    const auto store = open_in_trouble([&](place at, const database::batch*) {
        return at == place::begin && is_away ? trouble::at_begin : trouble::none;
    });
    std::atomic<int> refused = 0, taken = 0;
    for (int i = 0; i < 15; ++i) {
        store->itself().submit(job_of("team_1"),
                               [&](store::submitted answer) { ++(answer.how == outcome::done ? taken : refused); });
    }
    EXPECT_EQ(refused, 5);
    is_away = false;
    while (taken < 10) std::this_thread::yield();
    EXPECT_EQ(refused, 5);
    int more = 0;
    auto how = outcome::done;
    for (; more < 30 && how == outcome::done; ++more) how = store->submit(job_of("team_1")).how;
    EXPECT_EQ(how, outcome::too_many);
    EXPECT_LE(number("SELECT COUNT(*) FROM claude_proxy.jobs"), 25);
    EXPECT_EQ(store->submit(job_of("team_2")).how, outcome::done) << "another team";
}

TEST_P(jobs_trouble, every_job_is_claimed_by_one_of_many_replicas) {
    constexpr int jobs = 600, replicas = 3;
    std::vector<std::unique_ptr<waiting_store>> stores;
    for (int i = 0; i < replicas; ++i) stores.push_back(open("replica_" + std::to_string(i)));
    for (int i = 0; i < jobs; ++i) {
        stores[0]->itself().submit(job_of("team_" + std::to_string(i % 4)), [](store::submitted) {});
    }
    stores[0]->sweep();
    std::mutex mutex;
    std::map<std::string, int> claims;
    contract::on_threads(replicas, [&](int replica) {
        for (;;) {
            const auto some = stores[static_cast<std::size_t>(replica)]->claim(7);
            if (some.empty()) return;
            const std::lock_guard lock(mutex);
            for (const auto& one : some) ++claims[one.about.id];
        }
    });
    EXPECT_EQ(claims.size(), jobs);
    for (const auto& [id, count] : claims) EXPECT_EQ(count, 1) << id;
}

// Workers on three replicas, whose leases are lost again and again while they write: every job ends once, with the
// result of the attempt that ended it, and no log has a gap or anything twice.
TEST_P(jobs_trouble, lost_leases_leave_no_trace) {
    constexpr std::size_t jobs = 120, replicas = 3;
    rules.flush_every = milliseconds(2);
    std::vector<std::unique_ptr<waiting_store>> stores;
    for (std::size_t i = 0; i < replicas; ++i) stores.push_back(open("replica_" + std::to_string(i)));
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < jobs; ++i) {
        auto what = job_of("team_" + std::to_string(i % 3));
        what.attempts_max = 1'000;
        what.expires_at = now() + 1'000'000'000'000;
        ids.push_back(stores[0]->submit(what).id);
    }
    std::atomic<std::size_t> finished = 0, fenced = 0;
    const auto seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    contract::on_threads(replicas + 1, [&](int number) {
        std::mt19937 random(seed + static_cast<unsigned>(number));
        if (number == replicas) {
            while (finished < jobs) {
                tick(rules.lease.count());
                stores[random() % replicas]->sweep();
                std::this_thread::sleep_for(milliseconds(random() % 20));
            }
            return;
        }
        auto& store = *stores[static_cast<std::size_t>(number)];
        while (finished < jobs) {
            for (const auto& one : store.claim(1 + random() % 8)) {
                auto next = one.events + 1;
                auto how = outcome::done;
                for (auto left = random() % 4; left > 0 && how == outcome::done; --left) {
                    const auto count = 1 + random() % 3;
                    how = store.append(one.about.id, one.about.attempt, piece(next, count));
                    next += count;
                }
                auto last = ending_of(one, ending::way::succeeded);
                last.result = "of " + std::to_string(one.about.attempt);
                last.last = piece(next);
                if (how == outcome::done) how = store.finish(last);
                EXPECT_TRUE(how == outcome::done || how == outcome::fenced);
                ++(how == outcome::done ? finished : fenced);
            }
        }
    });
    std::printf("[ MEASURED ] %zu jobs, %zu times a lease was lost half-way\n", jobs, fenced.load());
    EXPECT_EQ(finished, jobs);
    for (const auto& id : ids) {
        const auto [how, about, result] = stores[0]->result(id);
        EXPECT_EQ(about.state, status::succeeded);
        EXPECT_EQ(result, "of " + std::to_string(about.attempt));
        EXPECT_EQ(stores[0]->log(id),
                  piece(1, about.events - 1).bytes + rules::terminal_event(status::succeeded, "", about.events));
        const auto history = stores[0]->history(id);
        EXPECT_EQ(history.size(), about.attempt);
        for (const auto& entry : history) {
            EXPECT_EQ(entry.outcome, entry.attempt == about.attempt ? "succeeded" : "lost");
        }
    }
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.job_results"), jobs);
}

TEST_P(jobs_outage, a_server_that_is_stopped_or_frozen_loses_nothing) {
    auto limits = where();
    limits.connect_timeout = milliseconds(2'000);
    limits.statement_timeout = milliseconds(1'000);
    rules.write_patience = milliseconds(60'000);
    waiting_store store(database::open(url(), limits), limits, rules, "replica_1", now);
    constexpr const char* outages[][2] = {
        {"stop postgres", "start postgres"}, {"kill postgres", "start postgres"}, {"freeze postgres", "thaw postgres"}};
    for (const auto& [begin, end] : outages) {
        std::vector<std::string> ids;
        std::atomic<int> done = 0, others = 0;
        const auto submit = [&] {
            auto what = job_of("team_1");
            ids.push_back(what.id);
            store.itself().submit(what, [&](store::submitted answer) {
                ++(answer.how == outcome::done && answer.fresh ? done : others);
            });
        };
        {
            // Before, at the moment of, and in the outage.
            for (int i = 0; i < 500; ++i) submit();
            contract::outage away(begin, end);
            for (int i = 0; i < 500; ++i) submit();
            std::this_thread::sleep_for(milliseconds(1'500));
        }
        store.sweep();
        EXPECT_EQ(done, 1'000) << begin;
        EXPECT_EQ(others, 0) << begin;
        auto claimed = store.claim(2'000);
        EXPECT_EQ(claimed.size(), 1'000) << begin;
    }
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.jobs"), 3'000);
}

}  // namespace
}  // namespace jobs
