// Webhooks from the database to a real receiver, over every database.
#include "worker/webhooks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

#include "database/migrations.hpp"
#include "database_fixture.hpp"
#include "governance/webhook_secret.hpp"
#include "jobs/webhook_deliveries.hpp"
#include "webhook_receiver.hpp"
#include "webhook_rows.hpp"
#include "worker/webhook_sender.hpp"
#include "worker/webhook_signature.hpp"

namespace worker {
namespace {

using contract::webhook_receiver;
using jobs::delivery_state;
using std::chrono::milliseconds;

jobs::time_ms now_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

class webhooks_contract : public contract::database_suite {
protected:
    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on_ = connect();
        database::migrate(*on_);
        options.allow = "127.0.0.0/8";
        options.allow_http = true;
        options.poll_every = milliseconds(20);
        options.retries.assign(8, milliseconds(20));
        options.breaker_open_first = milliseconds(200);
        options.breaker_open_max = milliseconds(400);
        options.stop_patience = milliseconds(0);
    }

    std::unique_ptr<webhooks> deliver(std::string replica = "rep_1") {
        database::options where;
        where.url = base::secret(url());
        webhook_reports tell;
        tell.on_report = [this](const webhook_report& what) {
            const std::lock_guard lock(mutex_);
            ++told_[what.event];
        };
        tell.on_outage = [this](std::string_view) { ++outages; };
        tell.on_recovery = [this] { ++recoveries; };
        return std::make_unique<webhooks>(where, options, jobs::webhook_rules::read(options).value(), hasher,
                                          std::move(replica), std::move(tell));
    }
    int told(webhook_report::what event) {
        const std::lock_guard lock(mutex_);
        return told_[event];
    }

    std::string add(std::string to, std::string team = "team_a") {
        std::string id;
        contract::until_not_busy(
            [&] { id = contract::add_delivery(*on_, {.url = to, .body = body, .team_id = team}, now_ms()); });
        return id;
    }
    jobs::delivery_entry look(const std::string& id) {
        return jobs::list_deliveries(*on_, {.id = id, .job_id = {}, .team_id = {}, .state = {}}, {}, 1).at(0);
    }
    std::size_t count(delivery_state state) {
        return jobs::list_deliveries(*on_, {.id = {}, .job_id = {}, .team_id = {}, .state = state}, {}, 1'000).size();
    }
    template <class Condition>
    static bool becomes(Condition condition) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20 * contract::time_scale());
        while (!condition()) {
            if (std::chrono::steady_clock::now() > until) return false;
            std::this_thread::sleep_for(milliseconds(5));
        }
        return true;
    }
    bool becomes(const std::string& id, delivery_state state) {
        return becomes([&] { return look(id).state == state; });
    }
    database::connection& on() { return *on_; }

    const std::string body = R"({"type":"job.succeeded","data":{"id":"job_1"}})";
    const governance::key_hasher hasher{base::secret("a pepper of the tests")};
    jobs::webhook_options options;
    std::atomic<int> outages{0}, recoveries{0};

private:
    std::unique_ptr<database::connection> on_;
    std::mutex mutex_;
    std::map<webhook_report::what, int> told_;
};
RUN_ON_EVERY_DATABASE(webhooks_contract);

TEST_P(webhooks_contract, a_delivery_is_signed_with_the_secrets_of_its_team) {
    webhook_receiver receiver;
    governance::raise_webhook_secret(on(), "team_b", now_ms() + 3'600'000);
    governance::raise_webhook_secret(on(), "team_c", now_ms() - 1);
    const auto running = deliver();
    const std::string a = add(receiver.url()), b = add(receiver.url("/b"), "team_b"), c = add(receiver.url(), "team_c");
    ASSERT_TRUE(receiver.wait_for(3));
    for (const auto& got : receiver.requests()) {
        const auto signature = [&](std::string_view team, std::vector<std::int64_t> versions) {
            std::vector<base::secret> secrets;
            for (const auto version : versions) secrets.push_back(governance::webhook_secret(hasher, team, version));
            return webhook_signature(secrets, got.id(), std::stoll(got.header("webhook-timestamp")), body);
        };
        EXPECT_EQ(got.body, body);
        EXPECT_TRUE(got.head.starts_with(got.id() == b ? "POST /b HTTP/1.1\r\n" : "POST /hook HTTP/1.1\r\n"));
        EXPECT_EQ(got.header("content-type"), "application/json");
        EXPECT_LT(std::abs(std::stoll(got.header("webhook-timestamp")) - now_ms() / 1'000), 30);
        if (got.id() == a) EXPECT_EQ(got.header("webhook-signature"), signature("team_a", {1}));
        if (got.id() == b) EXPECT_EQ(got.header("webhook-signature"), signature("team_b", {2, 1}));
        if (got.id() == c) EXPECT_EQ(got.header("webhook-signature"), signature("team_c", {2}));
    }
    EXPECT_TRUE(becomes(a, delivery_state::delivered));
    EXPECT_EQ(look(a).last_status, 204u);
    EXPECT_EQ(look(a).tries, 1u);
}

TEST_P(webhooks_contract, two_deliverers_make_each_delivery_once) {
    constexpr int deliveries = 200;
    webhook_receiver receiver, other;
    std::vector<std::string> ids;
    const auto one = deliver("rep_1"), two = deliver("rep_2");
    for (int i = 0; i < deliveries; ++i) {
        ids.push_back(add(i % 2 == 0 ? receiver.url() : other.url()));
        one->wake();
        two->wake();
    }
    ASSERT_TRUE(becomes([&] { return count(delivery_state::delivered) == deliveries; }));
    auto got = receiver.ids();
    std::ranges::copy(other.ids(), std::back_inserter(got));
    std::ranges::sort(got);
    std::ranges::sort(ids);
    EXPECT_EQ(got, ids);
    EXPECT_EQ(one->counts().delivered + two->counts().delivered, static_cast<std::uint64_t>(deliveries));
}

TEST_P(webhooks_contract, what_was_sent_and_not_marked_is_sent_again_under_the_same_id) {
    webhook_receiver receiver;
    const std::string id = add(receiver.url());
    // A process that took it, sent it and died.
    const auto claimed =
        jobs::claim_deliveries(on(), "rep_dead", {.count = 1, .per_destination = 1}, {}, now_ms(), now_ms() + 300);
    ASSERT_EQ(claimed.size(), 1u);
    webhook_sender sender(options, jobs::webhook_rules::read(options).value(), [](std::uint64_t, webhook_answer) {});
    sender.send({.number = 1, .url = claimed[0].url, .headers = {"webhook-id: " + id}, .body = body});
    ASSERT_TRUE(receiver.wait_for(1));
    const auto running = deliver();
    ASSERT_TRUE(receiver.wait_for(2));
    EXPECT_EQ(receiver.ids(), (std::vector{id, id}));
    EXPECT_TRUE(becomes(id, delivery_state::delivered));
    EXPECT_EQ(look(id).tries, 1u) << "of the dead one nobody knows";
}

TEST_P(webhooks_contract, failures_are_tried_again_until_one_succeeds) {
    int times = 0;
    webhook_receiver receiver([&](const auto&) { return webhook_receiver::status(++times < 4 ? 500 : 200); });
    const auto running = deliver();
    const std::string id = add(receiver.url());
    ASSERT_TRUE(becomes(id, delivery_state::delivered));
    EXPECT_EQ(look(id).tries, 4u);
    EXPECT_EQ(receiver.ids(), std::vector(4, id));
    EXPECT_EQ(running->counts().failed, 3u);
    EXPECT_EQ(told(webhook_report::what::failed), 3);
    EXPECT_EQ(told(webhook_report::what::delivered), 1);
}

TEST_P(webhooks_contract, tries_end_and_a_replay_gives_them_back) {
    std::atomic<bool> well = false;
    webhook_receiver receiver([&](const auto&) { return webhook_receiver::status(well ? 200 : 400); });
    const auto running = deliver();
    const std::string id = add(receiver.url());
    ASSERT_TRUE(becomes(id, delivery_state::given_up));
    EXPECT_EQ(look(id).tries, 9u);
    EXPECT_EQ(look(id).last_error, "status 400");
    EXPECT_EQ(running->counts().given_up, 1u);
    well = true;
    ASSERT_EQ(jobs::replay_deliveries(on(), {.id = id, .job_id = {}, .team_id = {}, .state = {}}, now_ms()), 1u);
    ASSERT_TRUE(becomes(id, delivery_state::delivered));
    EXPECT_EQ(receiver.ids(), std::vector(10, id));
}

TEST_P(webhooks_contract, a_receiver_that_is_gone_is_asked_once) {
    webhook_receiver receiver([](const auto&) { return webhook_receiver::status(410); });
    const auto running = deliver();
    const std::string id = add(receiver.url());
    ASSERT_TRUE(becomes(id, delivery_state::given_up));
    EXPECT_EQ(receiver.requests().size(), 1u);
}

TEST_P(webhooks_contract, a_receiver_that_asks_for_time_gets_it) {
    webhook_receiver receiver([](const auto&) { return webhook_receiver::status(503, "retry-after: 3600\r\n"); });
    const auto running = deliver();
    const auto before = now_ms();
    const std::string id = add(receiver.url());
    ASSERT_TRUE(becomes([&] { return look(id).tries == 1; }));
    EXPECT_GE(look(id).next_at, before + 3'600'000);
    EXPECT_LT(look(id).next_at, before + 3'700'000);
}

TEST_P(webhooks_contract, a_slow_receiver_holds_up_nobody_else) {
    options.concurrency = 6;
    options.endpoint_concurrency = 2;
    webhook_receiver slow, quick;
    slow.hold();
    const auto running = deliver();
    for (int i = 0; i < 60; ++i) add(slow.url());
    ASSERT_TRUE(slow.wait_for(2));
    for (int i = 0; i < 30; ++i) add(quick.url());
    ASSERT_TRUE(quick.wait_for(30));
    EXPECT_EQ(slow.requests().size(), 2u);
    slow.release();
    ASSERT_TRUE(becomes([&] { return count(delivery_state::delivered) == 90; }));
    EXPECT_EQ(slow.most_at_once(), 2u);
    EXPECT_EQ(slow.requests().size(), 60u);
}

TEST_P(webhooks_contract, an_endpoint_that_is_away_is_left_alone_until_it_is_back) {
    constexpr std::uint32_t deliveries = 50;
    options.breaker_failures = 3;
    options.endpoint_concurrency = 1;
    std::uint16_t port = 0;
    {
        port = webhook_receiver().port();
    }
    const std::string away = "http://127.0.0.1:" + std::to_string(port) + "/hook";
    webhook_receiver well;
    const auto running = deliver();
    for (std::uint32_t i = 0; i < deliveries; ++i) add(away);
    ASSERT_TRUE(becomes([&] { return told(webhook_report::what::breaker_opened) == 1; }));
    EXPECT_TRUE(becomes([&] { return running->counts().breakers_open == 1; }));
    const std::string other = add(well.url());
    EXPECT_TRUE(becomes(other, delivery_state::delivered));
    std::uint32_t tries = 0;
    for (const auto& each : jobs::list_deliveries(on(), {}, {}, 1'000))
        if (each.id != other) tries += each.tries;
    EXPECT_LT(tries, 12u) << "those that wait behind the breaker keep their tries";
    webhook_receiver back([](const auto&) { return webhook_receiver::status(200); }, port);
    ASSERT_TRUE(becomes([&] { return count(delivery_state::delivered) == deliveries + 1; }));
    EXPECT_EQ(back.requests().size(), deliveries);
    EXPECT_EQ(told(webhook_report::what::breaker_closed), 1);
    EXPECT_TRUE(becomes([&] { return running->counts().breakers_open == 0; }));
}

TEST_P(webhooks_contract, a_database_that_fails_after_the_answer_costs_no_second_request) {
    webhook_receiver receiver;
    receiver.hold();
    const auto running = deliver();
    const std::string id = add(receiver.url());
    ASSERT_TRUE(receiver.wait_for(1));
    const std::string table = "claude_proxy.webhook_deliveries", name = "webhook_deliveries";
    contract::until_not_busy([&] { on().run_script("ALTER TABLE " + table + " RENAME TO taken_away"); });
    receiver.release();
    ASSERT_TRUE(becomes([&] { return outages == 1; }));
    contract::until_not_busy([&] { on().run_script("ALTER TABLE claude_proxy.taken_away RENAME TO " + name); });
    ASSERT_TRUE(becomes(id, delivery_state::delivered));
    EXPECT_TRUE(becomes([&] { return recoveries == 1; }));
    EXPECT_EQ(receiver.requests().size(), 1u);
    EXPECT_EQ(look(id).tries, 1u);
}

TEST_P(webhooks_contract, what_is_under_way_at_the_end_is_handed_back) {
    webhook_receiver receiver;
    receiver.hold();
    const std::string id = add(receiver.url());
    auto running = deliver();
    ASSERT_TRUE(receiver.wait_for(1));
    running.reset();
    EXPECT_EQ(look(id).state, delivery_state::waiting);
    EXPECT_EQ(look(id).tries, 0u);
    receiver.release();
    running = deliver("rep_2");
    ASSERT_TRUE(becomes(id, delivery_state::delivered));
    EXPECT_EQ(receiver.ids(), std::vector(2, id));
}

TEST_P(webhooks_contract, the_end_waits_a_while_for_what_is_under_way) {
    options.stop_patience = std::chrono::seconds(20);
    webhook_receiver receiver;
    receiver.hold();
    const std::string id = add(receiver.url());
    auto running = deliver();
    ASSERT_TRUE(receiver.wait_for(1));
    std::thread ending([&] { running.reset(); });
    receiver.release();
    ending.join();
    EXPECT_EQ(look(id).state, delivery_state::delivered);
}

}  // namespace
}  // namespace worker
