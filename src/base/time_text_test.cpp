#include "base/time_text.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace base {
namespace {

TEST(time_text, is_rfc_3339_in_utc) {
    EXPECT_EQ(time_text(0), "1970-01-01T00:00:00Z");
    EXPECT_EQ(time_text(1'798'761'600'000), "2027-01-01T00:00:00Z");
    EXPECT_EQ(time_text(1'798'761'600'007), "2027-01-01T00:00:00.007Z");
    EXPECT_EQ(time_text(-1), "1969-12-31T23:59:59.999Z");
    EXPECT_EQ(time_text(std::numeric_limits<std::int64_t>::max()), "9999-12-31T23:59:59.999Z");
    EXPECT_EQ(time_text(std::numeric_limits<std::int64_t>::min()), "0000-01-01T00:00:00Z");
}

TEST(time_text, reads_back_what_it_wrote) {
    for (const std::int64_t at : {0LL, 1LL, 999LL, 951'782'400'000LL, 1'798'761'600'007LL, -1LL}) {
        EXPECT_EQ(parse_time(time_text(at)), at);
    }
}

TEST(time_text, takes_days_offsets_and_fractions) {
    EXPECT_EQ(parse_time("2027-01-01"), 1'798'761'600'000);
    EXPECT_EQ(parse_time("2027-01-01T01:00:00+01:00"), 1'798'761'600'000);
    EXPECT_EQ(parse_time("2026-12-31t16:00:00.5-08:00"), 1'798'761'600'500);
    EXPECT_EQ(parse_time("2027-01-01T00:00:00.123456789Z"), 1'798'761'600'123);
    EXPECT_EQ(parse_time("2024-02-29"), 1'709'164'800'000) << "a leap day";
}

TEST(time_text, refuses_what_is_no_time) {
    for (const char* text :
         {"", "2027", "2027-1-1", "2027-13-01", "2023-02-29", "2027-01-32", "2027-01-01T00:00:00",
          "2027-01-01 00:00:00Z", "2027-01-01T24:00:00Z", "2027-01-01T00:60:00Z", "2027-01-01T00:00:60Z",
          "2027-01-01T00:00:00.Z", "2027-01-01T00:00:00.1234567890Z", "2027-01-01T00:00:00+1:00",
          "2027-01-01T00:00:00Zz", "+027-01-01", "2027-01-01T", "1798761600000", "now"}) {
        EXPECT_FALSE(parse_time(text)) << text;
    }
}

TEST(spans, have_a_unit_and_an_end) {
    EXPECT_EQ(parse_span_ms("0s"), 0);
    EXPECT_EQ(parse_span_ms("250ms"), 250);
    EXPECT_EQ(parse_span_ms("1h"), 3'600'000);
    EXPECT_EQ(parse_span_ms("90d"), 7'776'000'000);
    EXPECT_EQ(parse_span_ms("2w"), 1'209'600'000);
    for (const char* text : {"", "1", "h", "-1h", "+1h", " 1h", "1h ", "1.5h", "1 h", "1y", "99999999999999999999h",
                             "9223372036854775807w", "36526d"}) {
        EXPECT_FALSE(parse_span_ms(text)) << text;
    }
}

}  // namespace
}  // namespace base
