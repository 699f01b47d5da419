#include "redis/limit_script.hpp"

#include <gtest/gtest.h>

namespace redis {
namespace {

TEST(limit_script, gets_the_words_it_reads) {
    governance::shared_request asked;
    for (std::size_t i = 0; i < asked.buckets.size(); ++i) {
        const auto tens = static_cast<std::int64_t>(10 * (i + 1));
        asked.buckets[i] = {.per_minute = tens,
                            .charge = -tens - 1,
                            .need = tens + 2,
                            .want = tens + 3,
                            .ahead = tens + 4,
                            .missing_us_min = tens + 5};
    }
    asked.places_max = 90;
    asked.places_held = 91;
    asked.places_want = 92;
    asked.places_ahead = 93;
    const std::vector<std::string> expected{"1",  "limit:x", "me",  "5000", "10", "-11", "12", "13", "14",
                                            "15", "20",      "-21", "22",   "23", "24",  "25", "30", "-31",
                                            "32", "33",      "34",  "35",   "90", "91",  "92", "93"};
    EXPECT_EQ(script_words("limit:x", "me", 5'000, asked), expected);
}

TEST(limit_script, answers_eight_numbers) {
    const std::int64_t numbers[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const auto said = read_answer(numbers);
    ASSERT_TRUE(said);
    EXPECT_EQ(said->buckets[0].granted, 1);
    EXPECT_EQ(said->buckets[2].missing_ns, 6);
    EXPECT_EQ(said->places_granted, 7);
    EXPECT_EQ(said->places_free, 8);
    EXPECT_FALSE(read_answer(std::span(numbers).first(7)));
    EXPECT_FALSE(read_answer({}));
}

}  // namespace
}  // namespace redis
