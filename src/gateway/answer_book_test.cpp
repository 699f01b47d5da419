#include "gateway/answer_book.hpp"

#include <gtest/gtest.h>

namespace gateway {
namespace {

using std::chrono::milliseconds;
using part = answer_book::part;

void answer_with(recorded_answer& answer, std::string_view body) {
    answer.begin();
    answer.head(200, "OK", "content-type: text/plain\r\n", false);
    answer.append(body);
}

TEST(answer_book, the_second_joins_the_first_and_the_third_gets_the_finished_answer) {
    answer_book book(milliseconds(1'000), 1 << 20);
    const auto first = book.take("k", digest_of("body"), "req_1", 0);
    ASSERT_EQ(first.as, part::leads);
    const auto second = book.take("k", digest_of("body"), "req_2", 0);
    ASSERT_EQ(second.as, part::joins);
    int woken = 0;
    second.answer->when_changed(second.answer->now(), [&] { ++woken; });
    answer_with(*first.answer, "hello");
    EXPECT_EQ(woken, 1);
    EXPECT_FALSE(second.answer->now().visible) << "another attempt may follow";
    book.finish("k", *first.answer, 10);
    const auto third = book.take("k", digest_of("body"), "req_3", 1'009);
    ASSERT_EQ(third.as, part::joins);
    EXPECT_TRUE(third.answer->now().finished);
    EXPECT_EQ(third.answer->part(0, 100), "hello");
    EXPECT_EQ(third.answer->part(4, 100), "o");
    EXPECT_EQ(third.answer->lines().request_id, "req_1");
    EXPECT_EQ(book.take("k", digest_of("body"), "req_4", 1'010).as, part::leads) << "its time is over";
}

TEST(answer_book, another_body_under_the_same_key_is_a_conflict_also_while_the_first_runs) {
    answer_book book(milliseconds(1'000), 1 << 20);
    const auto first = book.take("k", digest_of("a"), "r", 0);
    EXPECT_EQ(first.as, part::leads);
    EXPECT_EQ(book.take("k", digest_of("b"), "r", 0).as, part::conflicts);
    book.finish("k", *first.answer, 0);
    EXPECT_EQ(book.take("k", digest_of("b"), "r", 0).as, part::conflicts);
    EXPECT_EQ(book.take("other caller's k", digest_of("b"), "r", 0).as, part::leads);
}

TEST(answer_book, who_waits_for_a_request_that_fails_is_told_and_the_next_leads) {
    answer_book book(milliseconds(1'000), 1 << 20);
    const auto first = book.take("k", digest_of("a"), "r", 0);
    const auto second = book.take("k", digest_of("a"), "r", 0);
    book.drop("k", *first.answer);
    EXPECT_TRUE(second.answer->now().failed);
    EXPECT_EQ(book.take("k", digest_of("a"), "r", 0).as, part::leads);
}

TEST(answer_book, a_second_attempt_forgets_the_first_unless_it_was_seen) {
    answer_book book(milliseconds(1'000), 1 << 20);
    const auto first = book.take("k", digest_of("a"), "r", 0);
    answer_with(*first.answer, "overloaded");
    answer_with(*first.answer, "fine");
    EXPECT_EQ(first.answer->part(0, 100), "fine");
    first.answer->show();
    first.answer->begin();
    EXPECT_EQ(first.answer->part(0, 100), "fine");
}

TEST(answer_book, memory_is_bounded_and_the_oldest_go_first) {
    answer_book book(milliseconds(1'000'000), 4'000);
    for (int i = 0; i < 10; ++i) {
        const std::string key = "k" + std::to_string(i);
        const auto each = book.take(key, digest_of("a"), "r", 0);
        answer_with(*each.answer, std::string(900, 'x'));
        book.finish(key, *each.answer, 0);
    }
    EXPECT_EQ(book.take("k0", digest_of("a"), "r", 0).as, part::leads);
    EXPECT_EQ(book.take("k9", digest_of("a"), "r", 0).as, part::joins);
}

TEST(answer_book, an_answer_too_long_to_keep_ends_for_those_who_joined_and_another_one_leads) {
    answer_book book(milliseconds(1'000), 4'000);
    const auto first = book.take("k", digest_of("a"), "r1", 0);
    const auto joined = book.take("k", digest_of("a"), "r2", 0);
    answer_with(*first.answer, std::string(1'001, 'x'));
    EXPECT_TRUE(joined.answer->now().failed);
    EXPECT_EQ(joined.answer->now().bytes, 0u) << "there is nothing to wait for";
    EXPECT_EQ(book.take("k", digest_of("b"), "r3", 0).as, part::conflicts);
    const auto second = book.take("k", digest_of("a"), "r4", 0);
    ASSERT_EQ(second.as, part::leads);
    book.finish("k", *first.answer, 0);
    book.drop("k", *first.answer);
    const auto third = book.take("k", digest_of("a"), "r5", 0);
    EXPECT_EQ(third.as, part::joins) << "the end of the first is not the end of the second";
    EXPECT_FALSE(third.answer->now().finished || third.answer->now().failed);
    answer_with(*second.answer, "short");
    book.finish("k", *second.answer, 0);
    EXPECT_TRUE(third.answer->now().finished);
}

TEST(answer_book, a_key_in_doubt_is_nobodys_until_its_time_is_over) {
    answer_book book(milliseconds(1'000), 1 << 20);
    const auto first = book.take("k", digest_of("a"), "r1", 0);
    const auto joined = book.take("k", digest_of("a"), "r2", 0);
    book.doubt("k", *first.answer, 10);
    EXPECT_TRUE(joined.answer->now().failed);
    EXPECT_EQ(book.take("k", digest_of("a"), "r3", 1'009).as, part::in_doubt);
    EXPECT_EQ(book.take("k", digest_of("b"), "r4", 1'009).as, part::conflicts);
    EXPECT_EQ(book.take("k", digest_of("a"), "r5", 1'010).as, part::leads);
}

}  // namespace
}  // namespace gateway
