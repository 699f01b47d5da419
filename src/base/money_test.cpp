#include "base/money.hpp"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(money, is_written_exactly_and_without_trailing_zeros) {
    EXPECT_EQ(dollars_text(0), "0");
    EXPECT_EQ(dollars_text(1), "0.000000000001");
    EXPECT_EQ(dollars_text(12'500'000'000'000), "12.5");
    EXPECT_EQ(dollars_text(-250'000'000'000), "-0.25");
    EXPECT_EQ(dollars_text(50 * pico_per_dollar), "50");
    EXPECT_EQ(dollars_text(std::numeric_limits<pico_dollars>::min()), "-9223372.036854775808");
}

TEST(money, is_read_exactly_or_not_at_all) {
    EXPECT_EQ(parse_dollars("50"), 50 * pico_per_dollar);
    EXPECT_EQ(parse_dollars("$0.25"), 250'000'000'000);
    EXPECT_EQ(parse_dollars("0.000000000001"), 1);
    EXPECT_EQ(parse_dollars("9000000"), 9'000'000 * pico_per_dollar);
    for (const auto* const bad : {"", "$", "-1", "+1", "1.", ".5", "1e3", "9000001", "9000000.000000000001",
                                  "0.0000000000001", " 1", "1 ", "1,5", "99999999"}) {
        EXPECT_FALSE(parse_dollars(bad)) << bad;
    }
}

TEST(money, sums_and_products_stop_at_the_ends) {
    EXPECT_EQ(add_saturated(pico_dollars_max, 1), pico_dollars_max);
    EXPECT_EQ(multiply_saturated(1'000'000'000, pico_per_dollar), pico_dollars_max);
    EXPECT_EQ(multiply_saturated(3, 5), 15);
}

}  // namespace
}  // namespace base
