// The store and its model (src/jobs/model.hpp) do the same when they are asked for the same, also when every fifth
// commit is lost before or after it happens and has to be repeated.
#include "jobs/model.hpp"

#include <map>
#include <random>
#include <set>

#include "jobs_suite.hpp"

namespace jobs {
namespace {

constexpr auto budget = "bud_1";

class jobs_as_in_the_model : public jobs_suite {
protected:
    void run(unsigned seed, unsigned steps);

private:
    using way = ending::way;
    unsigned any(unsigned below) { return static_cast<unsigned>(random_() % below); }
    waiting_store& either() { return *stores_[any(2)]; }
    // A job that somebody holds, or has held: late writes are tried as often as others.
    model::database::taken some_held() { return held_[any(static_cast<unsigned>(held_.size()))]; }
    std::string some_id() {
        return model_.jobs.empty() ? "job_none" : model_.jobs[any(static_cast<unsigned>(model_.jobs.size()))].id;
    }
    trouble next_trouble(unreliable::place at) {
        if (at != unreliable::place::commit || trouble_() % 5 != 0) return trouble::none;
        return trouble_() % 2 == 0 ? trouble::before_commit : trouble::after_commit;
    }
    void step();
    void submit();
    void claim();
    void append();
    void finish();
    void sweep();
    void compare();

    std::mt19937 random_, trouble_;
    model::database model_;
    std::array<std::unique_ptr<waiting_store>, 2> stores_;
    std::array<std::string, 2> names_{"replica_1", "replica_2"};
    std::vector<model::database::taken> held_;
    std::set<time_ms> ranks_;
};
RUN_ON_EVERY_DATABASE(jobs_as_in_the_model);

void jobs_as_in_the_model::submit() {
    auto what = job_of("team_" + std::to_string(any(3)), static_cast<int>(any(5)) - 2);
    what.attempts_max = 1 + any(3);
    what.where = any(4) == 0 ? lane::batch : lane::realtime;
    what.webhook_url = "https://example.com/hook";
    what.expires_at = now() + (any(4) == 0 ? 20'000 : 10'000'000);
    model::job same;
    // Which of two with the same rank is claimed first is nobody's promise.
    while (!ranks_.insert(same.rank = rules::rank(what.created_at, what.priority, rules.ageing)).second) {
        tick(1);
        what.created_at = now();
    }
    same.id = what.id;
    same.team = what.who.team_id;
    same.row = {.where = what.where,
                .attempts_max = what.attempts_max,
                .created_at = what.created_at,
                .updated_at = what.created_at,
                .expires_at = what.expires_at};
    if (any(2) == 0) {
        same.hold = 1 + any(1'000);
        what.holds = {{budget, 0, same.hold}};
    }
    int moved = -1;
    const auto told = either().submit(what, [&](bool fate) { moved = fate ? 1 : 0; });
    EXPECT_EQ(told.how, outcome::done);
    EXPECT_TRUE(told.fresh);
    EXPECT_EQ(moved, 1);
    model_.submit(same);
}

void jobs_as_in_the_model::claim() {
    const std::size_t count = 1 + any(3);
    const auto where = any(4) == 0 ? lane::batch : lane::realtime;
    const auto who = any(2);
    // A lease that has expired would lose what is left of it; here all is added up.
    on().execute("UPDATE claude_proxy.budget_leases SET expires_at = $1", {now() * 2});
    const auto taken = model_.claim(count, where, names_[who], now());
    const auto jobs = stores_[who]->claim(count, where);
    ASSERT_EQ(jobs.size(), taken.size());
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        EXPECT_EQ(jobs[i].about.id, taken[i].id);
        EXPECT_EQ(jobs[i].about.attempt, taken[i].attempt);
        EXPECT_EQ(jobs[i].events, model_.find(taken[i].id)->log.size());
        held_.push_back(taken[i]);
    }
}

void jobs_as_in_the_model::append() {
    const auto held = some_held();
    const model::job* const job = model_.find(held.id);
    // Mostly what comes next; else it leaves a gap.
    const std::uint64_t event = (job != nullptr ? job->log.size() : 0) + 1 + any(8) / 7;
    EXPECT_EQ(either().append(held.id, held.attempt, piece(event)), model_.append(held.id, held.attempt, event));
}

void jobs_as_in_the_model::finish() {
    const auto held = some_held();
    ending how;
    how.id = held.id;
    how.attempt = held.attempt;
    how.how = static_cast<way>(any(6));
    how.run_after = now() + any(10'000);
    how.result = "{}";
    // The request tells endings of the same attempt apart when one has to be repeated.
    how.request_id = "req_" + std::to_string(random_());
    EXPECT_EQ(either().finish(how), model_.finish(held.id, held.attempt, how.how, how.run_after, false, now()));
}

void jobs_as_in_the_model::sweep() {
    model_.sweep(now());
    auto told = either().sweep();
    std::set<std::string> found(told.unannounced.begin(), told.unannounced.end()), wanted;
    for (const auto& id : model_.unannounced(now())) {
        const auto& row = model_.find(id)->row;
        if (row.where == lane::realtime && row.updated_at <= now() - rules.sweep_every.count()) wanted.insert(id);
    }
    // A sweep tells of a few, however many there are.
    constexpr std::size_t few = 32;
    if (wanted.size() <= few) {
        EXPECT_EQ(found, wanted);
    } else {
        EXPECT_TRUE(std::ranges::includes(wanted, found));
        EXPECT_GE(found.size(), few);
    }
    EXPECT_EQ(either().announced(told.unannounced), outcome::done);
    for (const auto& id : told.unannounced) model_.announced(id, now());
}

void jobs_as_in_the_model::step() {
    tick(any(3) == 0 ? any(6'000) : 0);
    switch (any(14)) {
        case 0:
        case 1:
        case 2:
            return submit();
        case 3:
        case 4:
            return claim();
        case 5:
        case 6:
        case 7:
            return held_.empty() ? submit() : append();
        case 8:
        case 9:
            return held_.empty() ? submit() : finish();
        case 10: {
            if (held_.empty()) return submit();
            const auto held = some_held();
            const bool is_held = model_.heartbeat(held.id, held.attempt, now());
            const auto news = either().heartbeat({{held.id, held.attempt}});
            EXPECT_EQ(news.lost.empty(), is_held);
            EXPECT_EQ(news.cancel.size(), is_held && model_.find(held.id)->row.cancel_asked ? 1 : 0);
            return;
        }
        case 11: {
            // Half of them of jobs that run: a model of queued ones only would prove little.
            const auto id = any(2) == 0 && !held_.empty() ? some_held().id : some_id();
            EXPECT_EQ(either().cancel(id), model_.cancel(id, now()));
            return;
        }
        case 12: {
            const auto id = some_id();
            if (any(3) == 0) {
                EXPECT_EQ(either().remove(id), model_.remove(id));
            } else {
                EXPECT_EQ(either().redrive(id), model_.redrive(id, now()));
            }
            return;
        }
        default:
            return sweep();
    }
}

void jobs_as_in_the_model::compare() {
    std::map<std::string, std::string> stored, wanted;
    const auto line = [](auto... parts) {
        std::string made;
        ((made += std::to_string(parts) + " "), ...);
        return made;
    };
    for (const auto& row : on().query(
             "SELECT id, status, attempt, attempts_used, cancel_asked, worker, lease_until, run_after, announced_at,"
             " (SELECT COUNT(*) FROM claude_proxy.job_events e WHERE e.job_id = j.id), expires_at, finished_at,"
             " (SELECT COUNT(*) FROM claude_proxy.job_results r WHERE r.job_id = j.id),"
             " (SELECT COUNT(*) FROM claude_proxy.webhook_deliveries w WHERE w.job_id = j.id),"
             " (SELECT COUNT(*) FROM claude_proxy.job_attempts a WHERE a.job_id = j.id),"
             " (SELECT COUNT(*) FROM claude_proxy.job_attempts a WHERE a.job_id = j.id AND a.outcome = ''),"
             " updated_at FROM claude_proxy.jobs j")) {
        const auto at = [&](std::size_t i) { return database::integer_of(row[i]); };
        stored[database::text_of(row[0])] = database::text_of(row[1]) + " " + database::text_of(row[5]) + " " +
                                            line(at(2), at(3), at(4), at(6), at(7) > now() ? at(7) : 0, at(8), at(9),
                                                 at(10), at(11), at(12), at(13), at(14), at(15), at(16));
    }
    for (const auto& job : model_.jobs) {
        const auto& row = job.row;
        const auto open = std::ranges::count_if(job.history, [](const auto& of) { return of.second.empty(); });
        wanted[job.id] =
            std::string(name_of(row.state)) + " " + row.worker + " " +
            line(row.attempt, row.attempts_used, row.cancel_asked, row.lease_until,
                 row.run_after > now() ? row.run_after : 0, row.announced_at, job.log.size(), row.expires_at,
                 row.finished_at.value_or(0), job.results, job.webhooks, job.history.size(), open, row.updated_at);
    }
    ASSERT_EQ(stored, wanted);
    const auto sum = [&](const char* column, const char* replicas) {
        return number(std::string("SELECT COALESCE(SUM(") + column +
                      "), 0) FROM claude_proxy.budget_leases WHERE replica " + replicas);
    };
    EXPECT_EQ(sum("granted_pico", "= 'jobs'"), model_.held_for_jobs);
    EXPECT_EQ(sum("granted_pico", "<> 'jobs'"), model_.handed_over);
    EXPECT_EQ(number("SELECT COUNT(*) FROM (SELECT job_id, COUNT(*) AS events, MAX(last_id) AS last FROM "
                     "claude_proxy.job_events GROUP BY job_id) AS logs WHERE events <> last"),
              0);
}

void jobs_as_in_the_model::run(unsigned seed, unsigned steps) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_.seed(seed);
    trouble_.seed(seed + 1);
    rules.flush_every = milliseconds(1);
    std::mutex one_at_a_time;
    for (std::size_t i = 0; i < 2; ++i) {
        stores_[i] = open_in_trouble(
            [&](unreliable::place at, const database::batch*) {
                const std::lock_guard lock(one_at_a_time);
                return next_trouble(at);
            },
            names_[i]);
    }
    for (unsigned i = 0; i < steps; ++i) {
        step();
        if (i % 10 == 9 || i + 1 == steps) compare();
        if (HasFailure()) {
            ADD_FAILURE() << "at step " << i;
            break;
        }
    }
    stores_ = {};
}

TEST_P(jobs_as_in_the_model, whatever_they_are_asked_for) {
    const auto seed = std::random_device()();
    run(seed, is_sqlite() ? 1'500 : 600);
}

}  // namespace
}  // namespace jobs
