#include "worker/webhook_book.hpp"

#include <gtest/gtest.h>

namespace worker {
namespace {

using enum webhook_book::outcome;
using enum webhook_book::change;

const jobs::destination here{"team_a", "https://a.example:443"};
const jobs::destination there{"team_a", "https://b.example:443"};
const jobs::destination other_team{"team_b", "https://a.example:443"};

jobs::webhook_options small() {
    jobs::webhook_options options;
    options.concurrency = 4;
    options.endpoint_concurrency = 2;
    options.breaker_failures = 3;
    options.breaker_open_first = std::chrono::milliseconds(1'000);
    options.breaker_open_max = std::chrono::milliseconds(3'000);
    return options;
}

webhook_book::change fail(webhook_book& book, std::int64_t now, const jobs::destination& to = here) {
    EXPECT_TRUE(book.begin(to, now));
    return book.end(to, trouble, now);
}

TEST(webhook_book, requests_are_bounded_for_each_destination_and_in_all) {
    webhook_book book(small());
    EXPECT_TRUE(book.begin(here, 0));
    EXPECT_TRUE(book.begin(here, 0));
    EXPECT_FALSE(book.begin(here, 0));
    EXPECT_EQ(book.closed_to(0), std::vector{here});
    EXPECT_TRUE(book.begin(other_team, 0)) << "the receivers of another team are others";
    EXPECT_TRUE(book.begin(there, 0));
    EXPECT_FALSE(book.begin(there, 0)) << "four are under way";
    EXPECT_EQ(book.under_way(), 4u);
    EXPECT_EQ(book.end(here, well, 0), none);
    EXPECT_TRUE(book.begin(there, 0));
}

TEST(webhook_book, a_breaker_opens_after_failures_in_a_row) {
    webhook_book book(small());
    EXPECT_EQ(fail(book, 0), none);
    EXPECT_EQ(fail(book, 0), none);
    ASSERT_TRUE(book.begin(here, 0));
    EXPECT_EQ(book.end(here, well, 0), none);  // begins to count anew
    EXPECT_EQ(fail(book, 0), none);
    EXPECT_EQ(fail(book, 0), none);
    EXPECT_EQ(fail(book, 0), opened);
    EXPECT_FALSE(book.begin(here, 999));
    EXPECT_EQ(book.closed_to(999), std::vector{here});
    EXPECT_EQ(book.open_breakers(), 1u);
    EXPECT_TRUE(book.begin(there, 0));
    EXPECT_TRUE(book.begin(other_team, 0));
}

TEST(webhook_book, one_request_tries_an_open_breaker_and_closes_it) {
    webhook_book book(small());
    for (int i = 0; i < 3; ++i) fail(book, 0);
    EXPECT_TRUE(book.closed_to(1'000).empty());
    ASSERT_TRUE(book.begin(here, 1'000));
    EXPECT_FALSE(book.begin(here, 1'000));
    EXPECT_EQ(book.end(here, well, 1'001), closed);
    EXPECT_EQ(book.open_breakers(), 0u);
    EXPECT_TRUE(book.begin(here, 1'001));
    EXPECT_TRUE(book.begin(here, 1'001));
}

TEST(webhook_book, a_failed_try_doubles_the_rest_up_to_the_most) {
    webhook_book book(small());
    for (int i = 0; i < 3; ++i) fail(book, 0);
    EXPECT_EQ(fail(book, 1'000), none);
    EXPECT_FALSE(book.begin(here, 2'999));
    EXPECT_EQ(fail(book, 3'000), none);
    EXPECT_FALSE(book.begin(here, 5'999));
    EXPECT_EQ(fail(book, 6'000), none);
    EXPECT_FALSE(book.begin(here, 8'999)) << "three seconds are the most";
    ASSERT_TRUE(book.begin(here, 9'000));
    EXPECT_EQ(book.end(here, well, 9'000), closed);
    for (int i = 0; i < 3; ++i) fail(book, 9'000);
    EXPECT_TRUE(book.begin(here, 10'000)) << "it begins with the first rest again";
}

TEST(webhook_book, failures_of_requests_that_began_before_it_opened_do_not_lengthen_the_rest) {
    webhook_book book(small());
    ASSERT_TRUE(book.begin(here, 0));
    for (int i = 0; i < 3; ++i) fail(book, 0);
    EXPECT_EQ(book.end(here, trouble, 500), none);
    EXPECT_TRUE(book.begin(here, 1'000));
}

TEST(webhook_book, a_request_that_was_cut_short_says_nothing) {
    webhook_book book(small());
    fail(book, 0);
    fail(book, 0);
    ASSERT_TRUE(book.begin(here, 0));
    EXPECT_EQ(book.end(here, unknown, 0), none);
    EXPECT_EQ(fail(book, 0), opened) << "the third failure in a row";
    ASSERT_TRUE(book.begin(here, 1'000));
    EXPECT_EQ(book.end(here, unknown, 1'000), none);
    EXPECT_TRUE(book.begin(here, 1'000)) << "the next one tries";
}

TEST(webhook_book, nothing_is_kept_of_destinations_that_are_well_or_long_unused) {
    webhook_book book(small());
    ASSERT_TRUE(book.begin(here, 0));
    book.end(here, well, 0);
    EXPECT_EQ(book.destinations(), 0u);
    fail(book, 0);
    book.forget(2'999);
    EXPECT_EQ(book.destinations(), 1u);
    book.forget(3'000);
    EXPECT_EQ(book.destinations(), 0u);
    for (int i = 0; i < 3; ++i) fail(book, 0);
    book.forget(3'999);
    EXPECT_EQ(book.open_breakers(), 1u);
    book.forget(4'000);
    EXPECT_EQ(book.destinations(), 0u);
}

TEST(webhook_book, is_bounded) {
    webhook_book book(small());
    ASSERT_TRUE(book.begin(there, 0));
    for (std::size_t i = 0; i < webhook_book::destinations_max + 10; ++i)
        fail(book, 0, {"team_a", "https://" + std::to_string(i) + ".example:443"});
    EXPECT_LE(book.destinations(), webhook_book::destinations_max);
    EXPECT_EQ(book.under_way(), 1u);
    ASSERT_TRUE(book.begin(there, 0));
    EXPECT_FALSE(book.begin(there, 0)) << "what is under way is not forgotten";
}

}  // namespace
}  // namespace worker
