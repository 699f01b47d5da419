// The life of a job in the database: every move, its history, its log and its webhook.
#include <map>
#include <set>

#include "jobs_suite.hpp"

namespace jobs {
namespace {

class jobs_life : public jobs_suite {};
RUN_ON_EVERY_DATABASE(jobs_life);

TEST_P(jobs_life, a_job_is_submitted_claimed_streamed_and_succeeds) {
    const auto store = open();
    auto what = job_of("team_1");
    what.metadata = R"({"order":"4711"})";
    what.headers = R"({"anthropic-version":"2023-06-01"})";
    what.webhook_url = "https://example.com/hook";
    const auto id = what.id;
    const auto told = store->submit(what);
    EXPECT_EQ(told.how, outcome::done);
    EXPECT_EQ(told.id, id);
    EXPECT_TRUE(told.fresh);
    EXPECT_EQ(store->of(id).state, status::queued);

    const auto jobs = store->claim(10);
    ASSERT_EQ(jobs.size(), 1);
    EXPECT_EQ(jobs[0].about.id, id);
    EXPECT_EQ(jobs[0].about.attempt, 1);
    EXPECT_EQ(jobs[0].about.state, status::running);
    EXPECT_EQ(jobs[0].about.metadata, what.metadata);
    EXPECT_EQ(jobs[0].request, what.request);
    EXPECT_EQ(jobs[0].headers, what.headers);
    EXPECT_EQ(jobs[0].events, 0);
    EXPECT_TRUE(store->claim(10).empty());

    EXPECT_EQ(store->append(id, 1, piece(1, 3)), outcome::done);
    EXPECT_EQ(store->append(id, 1, piece(4, 2)), outcome::done);
    EXPECT_EQ(store->of(id).events, 5);
    tick(1'500);
    auto how = ending_of(jobs[0], ending::way::succeeded);
    how.result = R"({"type":"message"})";
    how.usage = R"({"output_tokens":3})";
    how.request_id = "req_1";
    how.last = piece(6, 1);
    EXPECT_EQ(store->finish(how), outcome::done);

    const auto [found, about, result] = store->result(id, "team_1");
    EXPECT_EQ(found, outcome::done);
    EXPECT_EQ(about.state, status::succeeded);
    EXPECT_EQ(about.usage, how.usage);
    EXPECT_EQ(about.events, 7);
    EXPECT_EQ(about.finished_at, now());
    EXPECT_EQ(about.delete_at, now() + rules.retention.count() * 1'000);
    EXPECT_EQ(result, how.result);
    EXPECT_EQ(store->log(id), piece(1, 6).bytes + rules::terminal_event(status::succeeded, "", 7));

    const auto history = store->history(id);
    ASSERT_EQ(history.size(), 1);
    EXPECT_EQ(history[0].worker, "replica_1");
    EXPECT_EQ(history[0].outcome, "succeeded");
    EXPECT_EQ(history[0].request_id, "req_1");
    EXPECT_EQ(history[0].ended_at, now());

    const auto hooks = on().query(
        "SELECT id, job_id, team_id, url, event, body, state, endpoint FROM "
        "claude_proxy.webhook_deliveries");
    ASSERT_EQ(hooks.size(), 1);
    EXPECT_EQ(database::text_of(hooks[0][0]), "evt_" + id.substr(4) + "_7");
    EXPECT_EQ(database::text_of(hooks[0][3]), what.webhook_url);
    EXPECT_EQ(database::text_of(hooks[0][4]), "job.succeeded");
    EXPECT_NE(database::text_of(hooks[0][5]).find(R"("status":"succeeded","metadata":{"order":"4711"}})"),
              std::string::npos);
    EXPECT_EQ(database::text_of(hooks[0][6]), "waiting");
    EXPECT_EQ(database::text_of(hooks[0][7]), "https://example.com:443");
}

TEST_P(jobs_life, another_team_does_not_see_it) {
    const auto store = open();
    const auto id = store->submit(job_of("team_1")).id;
    EXPECT_EQ(store->find(id, "team_2").first, outcome::not_found);
    EXPECT_EQ(store->cancel(id, "team_2"), outcome::not_found);
    EXPECT_EQ(store->remove(id, "team_2"), outcome::not_found);
    EXPECT_EQ(std::get<0>(store->result(id, "team_2")), outcome::not_found);
    EXPECT_TRUE(store->list({.team_id = "team_2"}).empty());
    EXPECT_EQ(store->find(id, "team_1").first, outcome::done);
    EXPECT_EQ(store->list({.team_id = "team_1"}).size(), 1);
}

TEST_P(jobs_life, a_queued_job_is_cancelled_at_once) {
    const auto store = open();
    const auto id = store->submit(job_of("team_1")).id;
    EXPECT_EQ(store->cancel(id, "team_1"), outcome::done);
    EXPECT_EQ(store->of(id).state, status::cancelled);
    EXPECT_EQ(store->cancel(id, "team_1"), outcome::conflict);
    EXPECT_TRUE(store->claim(1).empty());
    EXPECT_EQ(store->log(id), rules::terminal_event(status::cancelled, "", 1));
}

TEST_P(jobs_life, a_running_job_is_asked_to_stop) {
    const auto store = open();
    const auto id = store->submit(job_of("team_1")).id;
    const auto jobs = store->claim(1);
    ASSERT_EQ(jobs.size(), 1);
    store->changes();
    EXPECT_TRUE(store->look_for_cancels({{id, 1}}).empty());
    EXPECT_EQ(store->cancel(id, "team_1"), outcome::done);
    EXPECT_EQ(store->cancel(id, "team_1"), outcome::done);
    const auto told = store->changes();
    ASSERT_EQ(told.size(), 1);
    EXPECT_EQ(told[0].kind, change::what::cancel_asked);
    EXPECT_EQ(store->look_for_cancels({{id, 1}, {"job_x", 1}, {id, 2}}).size(), 1);
    EXPECT_EQ(store->heartbeat({{id, 1}}).cancel.size(), 1);
    // However it leaves: it is over.
    EXPECT_EQ(store->finish(ending_of(jobs[0], ending::way::handed_back)), outcome::done);
    EXPECT_EQ(store->of(id).state, status::cancelled);
}

TEST_P(jobs_life, a_retry_waits_and_the_attempts_are_used_up) {
    rules.attempts_max = 2;
    const auto store = open();
    auto what = job_of("team_1");
    what.attempts_max = 2;
    const auto id = store->submit(what).id;
    auto jobs = store->claim(1);
    ASSERT_EQ(jobs.size(), 1);
    store->append(id, 1, piece(1, 2));
    auto how = ending_of(jobs[0], ending::way::retry);
    how.run_after = now() + 1'000;
    how.error = R"({"type":"error"})";
    how.reason = "overloaded";
    EXPECT_EQ(store->finish(how), outcome::done);
    EXPECT_EQ(store->of(id).state, status::queued);
    EXPECT_EQ(store->of(id).error, how.error);
    EXPECT_EQ(store->log(id), piece(1, 2).bytes);
    EXPECT_TRUE(store->claim(1).empty());
    tick(1'000);
    jobs = store->claim(1);
    ASSERT_EQ(jobs.size(), 1);
    EXPECT_EQ(jobs[0].about.attempt, 2);
    EXPECT_EQ(jobs[0].events, 2);
    how.attempt = 2;
    EXPECT_EQ(store->finish(how), outcome::done);
    EXPECT_EQ(store->of(id).state, status::dead);
    EXPECT_EQ(store->log(id), piece(1, 2).bytes + rules::terminal_event(status::dead, how.error, 3));
    const auto history = store->history(id);
    ASSERT_EQ(history.size(), 2);
    EXPECT_EQ(history[0].outcome, "failed");
    EXPECT_EQ(history[0].reason, "overloaded");

    EXPECT_EQ(store->count().dead, 1);
    EXPECT_EQ(store->redrive(id), outcome::done);
    EXPECT_EQ(store->redrive(id), outcome::conflict);
    jobs = store->claim(1);
    ASSERT_EQ(jobs.size(), 1);
    EXPECT_EQ(jobs[0].about.attempt, 3);
    EXPECT_EQ(jobs[0].events, 3);
    EXPECT_EQ(store->finish(ending_of(jobs[0], ending::way::succeeded)), outcome::done);
    EXPECT_EQ(store->of(id).events, 4);
}

TEST_P(jobs_life, what_was_told_to_wait_or_handed_back_has_not_used_an_attempt) {
    const auto store = open();
    auto what = job_of("team_1");
    what.attempts_max = 1;
    const auto id = store->submit(what).id;
    for (std::uint32_t attempt = 1; attempt <= 4; ++attempt) {
        const auto jobs = store->claim(1);
        ASSERT_EQ(jobs.size(), 1) << attempt;
        EXPECT_EQ(jobs[0].about.attempt, attempt);
        auto how = ending_of(jobs[0], attempt % 2 == 0 ? ending::way::handed_back : ending::way::waiting);
        how.run_after = now() + 100;
        EXPECT_EQ(store->finish(how), outcome::done);
        if (attempt % 2 == 1) EXPECT_TRUE(store->claim(1).empty());
        if (attempt % 2 == 1) tick(100);
    }
    EXPECT_EQ(store->of(id).state, status::queued);
}

TEST_P(jobs_life, a_lost_lease_is_taken_up_again_and_the_late_worker_is_fenced) {
    const auto first = open("replica_1");
    const auto second = open("replica_2");
    const auto id = first->submit(job_of("team_1")).id;
    ASSERT_EQ(first->claim(1).size(), 1);
    EXPECT_EQ(first->append(id, 1, piece(1, 2)), outcome::done);
    tick(rules.lease.count() - 1);
    EXPECT_EQ(second->sweep().requeued, 0);
    tick(1);
    const auto swept = second->sweep();
    EXPECT_EQ(swept.requeued, 1);
    // Late, before anybody has claimed it anew, and after.
    EXPECT_EQ(first->append(id, 1, piece(3)), outcome::fenced);
    const auto jobs = second->claim(1);
    ASSERT_EQ(jobs.size(), 1);
    EXPECT_EQ(jobs[0].about.attempt, 2);
    EXPECT_EQ(jobs[0].events, 2);
    EXPECT_EQ(first->append(id, 1, piece(3)), outcome::fenced);
    ending late;
    late.id = id;
    late.attempt = 1;
    late.result = "late";
    late.last = piece(3);
    EXPECT_EQ(first->finish(late), outcome::fenced);
    EXPECT_EQ(first->heartbeat({{id, 1}}).lost.size(), 1);
    EXPECT_EQ(second->append(id, 2, piece(3)), outcome::done);
    auto how = ending_of(jobs[0], ending::way::succeeded);
    how.result = "right";
    EXPECT_EQ(second->finish(how), outcome::done);
    EXPECT_EQ(std::get<2>(first->result(id)), "right");
    EXPECT_EQ(second->history(id).at(0).outcome, "lost");
    EXPECT_EQ(second->log(id), piece(1, 3).bytes + rules::terminal_event(status::succeeded, "", 4));
}

TEST_P(jobs_life, a_heartbeat_keeps_the_lease) {
    const auto store = open();
    const auto id = store->submit(job_of("team_1")).id;
    ASSERT_EQ(store->claim(1).size(), 1);
    for (int i = 0; i < 4; ++i) {
        tick(rules.lease.count() / 2);
        EXPECT_TRUE(store->heartbeat({{id, 1}}).lost.empty());
        EXPECT_EQ(store->sweep().requeued, 0);
    }
    EXPECT_EQ(store->of(id).state, status::running);
}

TEST_P(jobs_life, the_sweeper_ends_what_time_has_ended) {
    const auto store = open();
    auto brief = job_of("team_1");
    brief.expires_at = now() + 100;
    brief.webhook_url = "https://example.com/hook";
    const auto expired = store->submit(brief).id;
    auto poor = job_of("team_1");
    poor.attempts_max = 1;
    const auto dead = store->submit(poor).id;
    const auto stopped = store->submit(job_of("team_1")).id;
    tick(100);
    ASSERT_EQ(store->claim(10).size(), 2);
    store->cancel(stopped);
    EXPECT_EQ(store->sweep().expired, 1);
    EXPECT_EQ(store->of(expired).state, status::expired);
    tick(rules.lease.count());
    const auto swept = store->sweep();
    EXPECT_EQ(swept.dead, 1);
    EXPECT_EQ(swept.cancelled, 1);
    EXPECT_EQ(swept.requeued, 0);
    EXPECT_EQ(store->of(dead).state, status::dead);
    EXPECT_EQ(store->of(stopped).state, status::cancelled);
    EXPECT_EQ(store->log(stopped), rules::terminal_event(status::cancelled, "", 1));
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.webhook_deliveries"), 1);

    tick(rules.retention.count() * 1'000);
    EXPECT_EQ(store->sweep().deleted, 3);
    for (const std::string table :
         {"jobs", "job_requests", "job_events", "job_attempts", "job_results", "webhook_deliveries"}) {
        EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy." + table), 0) << table;
    }
}

TEST_P(jobs_life, what_was_never_announced_is_found) {
    const auto store = open();
    const auto id = store->submit(job_of("team_1")).id;
    auto slow = job_of("team_1");
    slow.where = lane::batch;
    store->submit(slow);
    EXPECT_TRUE(store->sweep().unannounced.empty()) << "whoever submits announces first";
    tick(rules.sweep_every.count());
    EXPECT_EQ(store->sweep().unannounced, std::vector{id});
    EXPECT_EQ(store->announced({id, "job_unknown"}), outcome::done);
    EXPECT_TRUE(store->sweep().unannounced.empty());
    tick(rules.announce_again.count());
    EXPECT_EQ(store->sweep().unannounced, std::vector{id});
    const auto jobs = store->claim(1);
    ASSERT_EQ(jobs.size(), 1);
    EXPECT_TRUE(store->sweep().unannounced.empty());
    auto how = ending_of(jobs[0], ending::way::retry);
    how.run_after = now() + 5'000;
    store->finish(how);
    tick(rules.sweep_every.count());
    EXPECT_TRUE(store->sweep().unannounced.empty()) << "not before its time";
    tick(5'000);
    EXPECT_EQ(store->sweep().unannounced, std::vector{id});
}

TEST_P(jobs_life, a_backlog_is_announced_a_few_at_a_time) {
    const auto store = open();
    std::set<std::string> waiting;
    for (int i = 0; i < 200; ++i) waiting.insert(store->submit(job_of("team_1")).id);
    tick(rules.sweep_every.count());
    // Each message wakes a worker that claims until there is nothing left: a long queue costs no more than a short one.
    for (int sweeps = 0; !waiting.empty(); ++sweeps) {
        ASSERT_LT(sweeps, 10);
        const auto told = store->sweep().unannounced;
        ASSERT_FALSE(told.empty());
        EXPECT_LE(told.size(), 64);
        for (const auto& id : told) EXPECT_EQ(waiting.erase(id), 1);
        store->announced(told);
    }
    EXPECT_TRUE(store->sweep().unannounced.empty());
}

TEST_P(jobs_life, only_what_has_ended_is_removed) {
    const auto store = open();
    const auto id = store->submit(job_of("team_1")).id;
    EXPECT_EQ(store->remove(id, "team_1"), outcome::conflict);
    store->cancel(id);
    EXPECT_EQ(store->remove(id, "team_1"), outcome::done);
    EXPECT_EQ(store->remove(id, "team_1"), outcome::not_found);
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.job_requests"), 0);
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.job_events"), 0);
}

TEST_P(jobs_life, a_log_has_no_gaps_and_nothing_twice) {
    const auto store = open();
    const auto id = store->submit(job_of("team_1")).id;
    ASSERT_EQ(store->claim(1).size(), 1);
    EXPECT_EQ(store->append(id, 1, piece(2)), outcome::conflict);
    EXPECT_EQ(store->append(id, 1, piece(1, 2)), outcome::done);
    EXPECT_EQ(store->append(id, 1, piece(2, 2)), outcome::conflict);
    EXPECT_EQ(store->append(id, 2, piece(3)), outcome::fenced);
    EXPECT_EQ(store->append("job_unknown", 1, piece(1)), outcome::fenced);
    EXPECT_EQ(store->append(id, 1, piece(3)), outcome::done);
    EXPECT_EQ(store->log(id), piece(1, 3).bytes);
}

TEST_P(jobs_life, the_same_idempotency_key_gives_the_same_job) {
    const auto store = open();
    auto what = job_of("team_1");
    what.idempotency_key = "once";
    what.digest = "a";
    const auto id = store->submit(what).id;
    auto again = what;
    again.id = new_id();
    bool moved = true;
    const auto told = store->submit(again, [&](bool fate) { moved = fate; });
    EXPECT_EQ(told.how, outcome::done);
    EXPECT_EQ(told.id, id);
    EXPECT_FALSE(told.fresh);
    EXPECT_FALSE(moved);
    again.digest = "b";
    EXPECT_EQ(store->submit(again).how, outcome::conflict);
    again.who.key_id = "key_2";
    EXPECT_TRUE(store->submit(again).fresh);
    again.id = new_id();
    again.who.subject = "somebody";
    EXPECT_TRUE(store->submit(again).fresh);
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.jobs"), 3);
    EXPECT_EQ(number("SELECT COUNT(*) FROM claude_proxy.job_requests"), 3);
}

TEST_P(jobs_life, logs_of_many_jobs_are_read_at_once_and_within_a_bound) {
    const auto store = open();
    std::vector<store::log_wish> wishes;
    for (int i = 0; i < 300; ++i) {
        wishes.push_back({store->submit(job_of("team_1")).id, 0});
        if (i % 100 == 99) EXPECT_EQ(store->claim(100).size(), 100);
    }
    for (const auto& wish : wishes) {
        store->itself().append(wish.id, 1, piece(1, 3), [](outcome how) { EXPECT_EQ(how, outcome::done); });
        store->itself().append(wish.id, 1, piece(4, 3), [](outcome how) { EXPECT_EQ(how, outcome::done); });
    }
    store->append(wishes[0].id, 1, piece(7));  // all the others are there then
    auto news = store->read_logs(wishes);
    EXPECT_EQ(news.size(), 300);
    for (const auto& job : news) {
        EXPECT_EQ(job.state, status::running);
        EXPECT_EQ(job.pieces.at(0).bytes + job.pieces.at(1).bytes, piece(1, 6).bytes);
    }
    // In the middle of a piece: that piece and what follows.
    news = store->read_logs({{wishes[1].id, 4}, {wishes[2].id, 6}, {"job_unknown", 0}});
    ASSERT_EQ(news.size(), 2);
    ASSERT_EQ(news[0].pieces.size(), 1);
    EXPECT_EQ(news[0].pieces[0].first_id, 4);
    EXPECT_FALSE(news[0].gone);
    EXPECT_EQ(news[1].id, "job_unknown");
    EXPECT_TRUE(news[1].gone);
    // Cut fairly: the first piece of each before the second of any.
    const auto size = piece(1, 3).bytes.size();
    news = store->read_logs({{wishes[1].id, 0}, {wishes[2].id, 0}}, 2 * size);
    ASSERT_EQ(news.size(), 2);
    EXPECT_EQ(news[0].pieces.size(), 1);
    EXPECT_EQ(news[1].pieces.size(), 1);
    EXPECT_EQ(store->read_logs({{wishes[1].id, 0}}, 1).at(0).pieces.size(), 1) << "always one";
}

TEST_P(jobs_life, a_list_is_filtered_and_read_page_by_page) {
    const auto store = open();
    std::vector<std::string> ids;
    for (int i = 0; i < 7; ++i) {
        auto what = job_of(i % 2 == 0 ? "team_1" : "team_2");
        if (i == 4) what.where = lane::batch;
        ids.push_back(store->submit(what).id);
        if (i != 3) tick(1);  // two were created at the same time
    }
    store->cancel(ids[0]);
    std::vector<std::string> seen;
    for (std::string before;;) {
        const auto page = store->list({.before_id = before, .count = 2});
        if (page.empty()) break;
        for (const auto& job : page) seen.push_back(job.id);
        before = seen.back();
    }
    EXPECT_EQ(seen, std::vector(ids.rbegin(), ids.rend()));
    EXPECT_TRUE(store->list({.before_id = "job_1"}).empty()) << "no id of a job";
    EXPECT_EQ(store->list({.team_id = "team_1"}).size(), 4);
    EXPECT_EQ(store->list({.team_id = "team_1", .state = status::queued}).size(), 3);
    EXPECT_EQ(store->list({.state = status::cancelled}).size(), 1);
    EXPECT_EQ(store->list({.where = lane::batch}).size(), 1);
    EXPECT_EQ(store->list({.model = "another"}).size(), 0);
    EXPECT_EQ(store->count().queued, 6);
}

TEST_P(jobs_life, a_sweep_says_how_far_our_clock_is_from_that_of_a_server) {
    const auto store = open();
    const auto real = std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
    const auto ahead = store->sweep().clock_ahead;
    ASSERT_EQ(ahead.has_value(), !is_sqlite());
    if (ahead) EXPECT_NEAR(static_cast<double>(*ahead), static_cast<double>(now() - real.count()), 30'000);
}

// Those that are not are forgotten: what is kept to know them by must not grow.
TEST_P(jobs_life, only_the_first_piece_of_a_job_that_is_held_here_is_in_a_hurry) {
    rules.flush_every = std::chrono::hours(1);
    const auto store = open();
    const auto held = store->submit(job_of("team_1")).id;
    ASSERT_EQ(store->claim(1).size(), 1);
    EXPECT_EQ(store->append(held, 1, piece(1)), outcome::done);

    const auto lost = store->submit(job_of("team_1")).id;
    ASSERT_EQ(store->claim(1).size(), 1);
    tick(rules.lease.count());
    store->sweep();
    ASSERT_EQ(store->heartbeat({{lost, 1}}).lost.size(), 1);
    auto what = job_of("team_1");
    what.where = lane::batch;
    const auto in_batch = store->submit(what).id;
    ASSERT_EQ(store->claim(1, lane::batch).size(), 1);
    std::vector<std::future<outcome>> told;
    for (const auto& id : {lost, in_batch}) {
        const auto answer = std::make_shared<std::promise<outcome>>();
        told.push_back(answer->get_future());
        store->itself().append(id, 1, piece(1), [answer](outcome how) { answer->set_value(how); });
    }
    EXPECT_EQ(told[0].wait_for(milliseconds(30)), std::future_status::timeout);
    EXPECT_EQ(told[1].wait_for(milliseconds(30)), std::future_status::timeout);
    store->sweep();  // takes along what waits
    EXPECT_EQ(told[0].get(), outcome::fenced);
    EXPECT_EQ(told[1].get(), outcome::done);
}

TEST_P(jobs_life, teams_share_fairly_and_priority_counts_within_a_team) {
    const auto store = open();
    std::vector<std::string> crowd;
    for (int i = 0; i < 60; ++i) crowd.push_back(store->submit(job_of("team_1")).id);
    const auto urgent = store->submit(job_of("team_1", 5)).id;
    tick(1'000);
    for (int i = 0; i < 5; ++i) store->submit(job_of("team_2"));
    auto other_lane = job_of("team_3");
    other_lane.where = lane::batch;
    store->submit(other_lane);
    std::map<std::string, int> running;
    const auto first = store->claim(6);
    ASSERT_EQ(first.size(), 6);
    EXPECT_EQ(first[0].about.id, urgent);
    for (const auto& one : first) ++running[one.about.who.team_id];
    EXPECT_EQ(running["team_1"], 3);
    EXPECT_EQ(running["team_2"], 3);
    // What runs already counts: the one that has fewer running is served first.
    for (const auto& one : first) {
        if (one.about.who.team_id == "team_2") store->finish(ending_of(one, ending::way::succeeded));
    }
    for (const auto& one : store->claim(2)) EXPECT_EQ(one.about.who.team_id, "team_2");
    // Nothing is left idle: the rest goes to whoever has work.
    EXPECT_EQ(store->claim(100).size(), 58);
    EXPECT_EQ(store->claim(100, lane::batch).size(), 1);
    // Waiting is worth something: an old job of low priority comes before a new one of high priority.
    const auto low = store->submit(job_of("team_4", -3)).id;
    tick(4 * rules.ageing.count());
    const auto high = store->submit(job_of("team_4", 0)).id;
    const auto last = store->claim(2);
    ASSERT_EQ(last.size(), 2);
    EXPECT_EQ(last[0].about.id, low);
    EXPECT_EQ(last[1].about.id, high);
}

}  // namespace
}  // namespace jobs
