// What only the embedded queue promises; the rest is in tests/contract/queue_test.cpp.
#include "queue/embedded.hpp"

#include <gtest/gtest.h>

namespace queue {
namespace {

using namespace std::chrono_literals;
using indexes = std::vector<std::size_t>;

std::vector<message> messages(std::size_t count) { return {count, message{"job"}}; }

std::vector<std::string> receipts_of(const std::vector<delivery>& all) {
    std::vector<std::string> made;
    for (const auto& each : all) made.push_back(each.receipt);
    return made;
}

TEST(embedded_queue, takes_no_more_than_it_may_hold_and_tells_which) {
    embedded_queue on({.queue_max = 3});
    EXPECT_EQ(on.send(messages(5)), (indexes{3, 4}));
    EXPECT_EQ(on.send(messages(1)), indexes{0});
    auto taken = on.receive(10, 0ms);
    EXPECT_EQ(taken.size(), 3u);
    EXPECT_EQ(on.send(messages(1)), indexes{0}) << "what is hidden is held";
    on.remove(receipts_of(taken));
    EXPECT_TRUE(on.send(messages(3)).empty());
    EXPECT_EQ(on.counts().not_taken, 4u);
}

TEST(embedded_queue, forgets_the_oldest_of_too_many_dead_messages) {
    embedded_queue on({.receives_max = 1, .dead_max = 2});
    const std::vector<message> sent{{"a"}, {"b"}, {"c"}};
    on.send(sent);
    on.extend(receipts_of(on.receive(10, 0ms)), 0s);
    EXPECT_TRUE(on.receive(10, 0ms).empty());
    EXPECT_EQ(on.look().dead, 2u);
    EXPECT_EQ(on.redrive(10), 2u);
    const auto back = on.receive(10, 0ms);
    ASSERT_EQ(back.size(), 2u);
    EXPECT_EQ(back[0].body, "b");
    EXPECT_EQ(back[1].body, "c");
    EXPECT_EQ(back[0].receives, 1u);
}

TEST(embedded_queue, gives_messages_in_the_order_in_which_they_were_sent) {
    embedded_queue on({});
    for (const char* each : {"a", "b", "c"}) on.send(std::vector<message>{{each}});
    std::string order;
    for (const auto& each : on.receive(2, 0ms)) order += each.body;
    for (const auto& each : on.receive(2, 0ms)) order += each.body;
    EXPECT_EQ(order, "abc");
}

TEST(embedded_queue, is_not_fooled_by_receipts_of_other_receives) {
    embedded_queue on({});
    on.send(messages(1));
    const auto first = receipts_of(on.receive(1, 0ms));
    on.extend(first, 0s);
    const auto second = receipts_of(on.receive(1, 0ms));
    on.remove(first);
    EXPECT_EQ(on.look().in_flight, 1u) << "it is another's by now";
    on.remove(std::vector<std::string>{"", "x", second.front() + "0", "99.1"});
    EXPECT_EQ(on.look().in_flight, 1u);
    on.remove(second);
    EXPECT_EQ(on.look().in_flight, 0u);
    EXPECT_EQ(on.counts().removed, 1u);
}

}  // namespace
}  // namespace queue
