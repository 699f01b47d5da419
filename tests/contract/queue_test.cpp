// The contract of the queue's port. Where a message must not come, a test waits longer than it would come after if the
// contract were broken; where it must come, it waits for the message.
#include <cstdio>
#include <future>

#include "queue_fixture.hpp"

namespace contract {
namespace {

class a_queue : public queue_suite {};
INSTANTIATE_TEST_SUITE_P(on, a_queue, testing::Values("embedded", "local_aws_sqs", "fauxqs"), name_of_queue);

// local-aws-sqs 2.0.2 is not: its long poll goes on until it has as many messages as are wanted, and it counts an
// extension as a receive.
class a_faithful_queue : public queue_suite {};
INSTANTIATE_TEST_SUITE_P(on, a_faithful_queue, testing::Values("embedded", "fauxqs"), name_of_queue);

TEST_P(a_queue, gives_every_message_and_is_empty_when_they_are_removed) {
    const auto on = open();
    const auto sent = numbered(25);
    EXPECT_TRUE(on->send(messages_of(sent)).empty());
    const auto taken = receive_all(*on, 25);
    EXPECT_EQ(bodies_of(taken), sent);
    for (const auto& each : taken) EXPECT_EQ(each.receives, 1u) << each.body;
    EXPECT_EQ(on->look().in_flight, 25u);
    on->remove(receipts_of(taken));
    const auto left = on->look();
    EXPECT_EQ(left.waiting + left.in_flight + left.delayed + left.dead, 0u);
    EXPECT_EQ(on->counts().sent, 25u);
    EXPECT_EQ(on->counts().received, 25u);
    EXPECT_EQ(on->counts().removed, 25u);
    EXPECT_EQ(on->counts().failures, 0u);
}

TEST_P(a_queue, gives_at_most_as_many_as_are_wanted) {
    const auto on = open();
    on->send(messages_of(numbered(15)));
    EXPECT_EQ(on->receive(3, 2s).size(), 3u);
    EXPECT_EQ(on->receive(99, 2s).size(), 10u);
    EXPECT_EQ(on->receive(10, 2s).size(), 2u);
    EXPECT_TRUE(on->receive(0, 0ms).empty());
}

TEST_P(a_faithful_queue, hides_a_message_and_gives_it_again_when_it_was_not_removed) {
    const auto on = open(10, 2s);
    on->send(messages_of({"job_a"}));
    const auto began = steady::now();
    ASSERT_EQ(receive_all(*on, 1).size(), 1u);
    EXPECT_TRUE(on->receive(10, 0ms).empty());
    const auto again = receive_all(*on, 1);
    ASSERT_EQ(again.size(), 1u);
    EXPECT_GT(steady::now() - began, 1s);
    EXPECT_EQ(again.front().body, "job_a");
    EXPECT_EQ(again.front().receives, 2u);
}

TEST_P(a_faithful_queue, hides_for_longer_what_is_extended) {
    const auto on = open(10, 1s);
    on->send(messages_of({"job_a"}));
    const auto taken = receive_all(*on, 1);
    ASSERT_EQ(taken.size(), 1u);
    on->extend(receipts_of(taken), 60s);
    EXPECT_TRUE(on->receive(10, 3s).empty()) << "it would have come after one";
    EXPECT_EQ(on->look().in_flight, 1u);
    EXPECT_EQ(on->counts().extended, 1u);
}

TEST_P(a_faithful_queue, gives_at_once_what_is_extended_by_nothing) {
    const auto on = open();
    on->send(messages_of(numbered(12)));
    const auto taken = receive_all(*on, 12);
    ASSERT_EQ(taken.size(), 12u);
    on->extend(receipts_of(taken), 0s);
    const auto again = receive_all(*on, 12);
    EXPECT_EQ(bodies_of(again), numbered(12));
    for (const auto& each : again) EXPECT_EQ(each.receives, 2u);
}

TEST_P(a_queue, ignores_receipts_that_mean_nothing_any_more) {
    const auto on = open();
    on->send(messages_of(numbered(2)));
    const auto taken = receive_all(*on, 2);
    ASSERT_EQ(taken.size(), 2u);
    on->remove(receipts_of({taken[0]}));
    on->remove(receipts_of({taken[0]}));
    on->extend(receipts_of(taken), 0s);
    on->remove(std::vector<std::string>{"nonsense"});
    on->extend(std::vector<std::string>{"nonsense"}, 30s);
    on->remove({});
    on->extend({}, 30s);
    EXPECT_EQ(bodies_of(receive_all(*on, 1)), bodies{taken[1].body}) << "the other one was extended";
    EXPECT_EQ(on->counts().failures, 0u);
}

TEST_P(a_faithful_queue, gives_a_delayed_message_not_before_its_time) {
    const auto on = open();
    const auto began = steady::now();
    on->send(messages_of({"late"}, 2s));
    on->send(messages_of({"soon"}));
    on->send(messages_of({"much later"}, 100'000s));  // cut to what is possible
    EXPECT_EQ(bodies_of(receive_all(*on, 1)), bodies{"soon"});
    EXPECT_EQ(on->look().delayed, 2u);
    EXPECT_EQ(bodies_of(receive_all(*on, 1)), bodies{"late"});
    EXPECT_GT(steady::now() - began, 1s);
    EXPECT_EQ(on->look().delayed, 1u);
}

TEST_P(a_faithful_queue, wakes_who_waits_when_a_message_comes) {
    const auto on = open();
    const auto began = steady::now();
    auto waiting = std::async(std::launch::async, [&] { return on->receive(10, 20s); });
    EXPECT_EQ(waiting.wait_for(500ms), std::future_status::timeout);
    on->send(messages_of({"job_a"}));
    EXPECT_EQ(bodies_of(waiting.get()), bodies{"job_a"});
    EXPECT_LT(steady::now() - began, 10s);
}

TEST_P(a_queue, gives_nothing_when_the_wait_is_over) {
    const auto on = open();
    auto began = steady::now();
    EXPECT_TRUE(on->receive(10, 1s).empty());
    EXPECT_GE(steady::now() - began, 900ms);
    EXPECT_LT(steady::now() - began, 10s);
    began = steady::now();
    EXPECT_TRUE(on->receive(10, 0ms).empty());
    EXPECT_LT(steady::now() - began, 900ms * time_scale());
}

TEST_P(a_faithful_queue, puts_away_what_nobody_can_do_and_gives_it_again_when_it_is_told_to) {
    const auto on = open(2);
    on->send(messages_of({"poison"}));
    for (std::uint32_t i = 1; i <= 2; ++i) {
        const auto taken = receive_all(*on, 1);
        ASSERT_EQ(taken.size(), 1u);
        EXPECT_EQ(taken.front().receives, i);
        on->extend(receipts_of(taken), 0s);
    }
    EXPECT_TRUE(on->receive(10, 1s).empty());
    EXPECT_EQ(on->look().dead, 1u);
    EXPECT_EQ(on->redrive(10), 1u);
    const auto back = receive_all(*on, 1);
    EXPECT_EQ(bodies_of(back), bodies{"poison"});
    on->remove(receipts_of(back));
    const auto left = on->look();
    EXPECT_EQ(left.waiting + left.in_flight + left.dead, 0u);
    EXPECT_EQ(on->redrive(10), 0u);
}

TEST_P(a_faithful_queue, moves_back_no_more_than_is_wanted) {
    const auto on = open(1);
    on->send(messages_of(numbered(23)));
    on->extend(receipts_of(receive_all(*on, 23)), 0s);
    const auto until = steady::now() + 30s;
    while (on->look().dead < 23 && steady::now() < until) EXPECT_TRUE(on->receive(10, 1s).empty());
    EXPECT_EQ(on->redrive(12), 12u);
    EXPECT_EQ(on->look().dead, 11u);
    EXPECT_EQ(receive_all(*on, 12).size(), 12u);
}

TEST_P(a_faithful_queue, ends_a_wait_when_it_is_stopped_and_still_lets_work_end) {
    const auto on = open();
    on->send(messages_of({"job_a", "job_b"}));
    const auto taken = receive_all(*on, 2);
    ASSERT_EQ(taken.size(), 2u);
    auto waiting = std::async(std::launch::async, [&] { return on->receive(10, 20s); });
    EXPECT_EQ(waiting.wait_for(300ms), std::future_status::timeout);
    const auto began = steady::now();
    on->stop();
    EXPECT_TRUE(waiting.get().empty());
    EXPECT_LT(steady::now() - began, 1s * time_scale());
    EXPECT_TRUE(on->receive(10, 20s).empty());
    EXPECT_LT(steady::now() - began, 1s * time_scale());
    on->extend(receipts_of(taken), 30s);
    on->remove(receipts_of(taken));
    EXPECT_TRUE(on->send(messages_of({"job_c"})).empty());
    // A server may give it to the wait that was ended: then it comes when it is hidden no more.
    const auto left = on->look();
    EXPECT_EQ(left.waiting + left.in_flight, 1u);
}

TEST_P(a_queue, refuses_what_no_message_can_be_before_anything_is_sent) {
    const auto on = open();
    for (const std::string& wrong :
         {std::string(), std::string(1'025, 'x'), std::string("a\x01z"), std::string("\xff")}) {
        try {
            on->send(std::vector<queue::message>{{"job_a"}, {wrong}});
            ADD_FAILURE() << "it was taken";
        } catch (const queue::failure& problem) {
            EXPECT_FALSE(problem.may_retry);
        }
    }
    EXPECT_EQ(on->look().waiting, 0u);
    const std::string largest(1'024, 'x');
    EXPECT_TRUE(on->send(messages_of({largest, R"(<&>"'\ )"})).empty());
    EXPECT_EQ(bodies_of(receive_all(*on, 2)), (bodies{largest, R"(<&>"'\ )"}));
}

TEST_P(a_queue, loses_nothing_between_many_threads) {
    constexpr int senders = 3, receivers = 3, each_sends = 100;
    const auto on = open();
    std::atomic<int> removed = 0;
    std::mutex mutex;
    bodies seen;
    const auto until = steady::now() + 60s * time_scale();
    on_threads(senders + receivers, [&](int which) {
        if (which < senders) {
            const std::string name = "from" + std::to_string(which) + "_";
            EXPECT_TRUE(on->send(messages_of(numbered(each_sends, name))).empty());
            return;
        }
        while (removed < senders * each_sends && steady::now() < until) {
            const auto taken = on->receive(10, 1s);
            on->remove(receipts_of(taken));
            removed += static_cast<int>(taken.size());
            const std::lock_guard lock(mutex);
            seen.merge(bodies_of(taken));
        }
    });
    bodies sent;
    for (int i = 0; i < senders; ++i) sent.merge(numbered(each_sends, "from" + std::to_string(i) + "_"));
    EXPECT_EQ(seen, sent);
    const auto left = on->look();
    EXPECT_EQ(left.waiting + left.in_flight, 0u);
}

// Informative: what a thread can send and what a thread can take, one after the other.
TEST_P(a_faithful_queue, carries_messages_at_a_rate_that_is_told) {
    constexpr std::size_t count = 2'000;
    const auto on = open();
    auto began = steady::now();
    EXPECT_TRUE(on->send(std::vector<queue::message>(count, {"job_01HZXKQ4M8J3T6V9"})).empty());
    const std::chrono::duration<double> sending = steady::now() - began;
    began = steady::now();
    std::size_t taken = 0;
    while (taken < count && steady::now() - began < 60s * time_scale()) {
        const auto some = on->receive(10, 1s);
        on->remove(receipts_of(some));
        taken += some.size();
    }
    const std::chrono::duration<double> taking = steady::now() - began;
    EXPECT_EQ(taken, count);
    std::printf("%s: %.0f messages/s sent, %.0f messages/s received and removed, one thread, batches of ten\n",
                GetParam(), count / sending.count(), count / taking.count());
}

}  // namespace
}  // namespace contract
