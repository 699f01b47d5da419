#include "governance/ip_range.hpp"

#include <gtest/gtest.h>

namespace governance {
namespace {

TEST(ip_ranges, what_is_none_is_refused) {
    for (const auto* text : {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8x",
                             "10.0.0/8", "010.0.0.1", "10.0.0.0 /8", " 10.0.0.0/8", "::/129", "::/0001", "::g",
                             "10.0.0.0/8/8", "localhost", "1.2.3.4.5", "::ffff:1.2.3", "fe80::1%eth0"})
        EXPECT_FALSE(parse_ip_range(text)) << text;
    EXPECT_FALSE(parse_ip_range(std::string_view("1.2.3.4\0", 8)));
    EXPECT_FALSE(parse_ip_range(std::string(1000, '1')));
}

TEST(ip_ranges, bits_past_the_prefix_do_not_matter) {
    const auto range = *parse_ip_range("10.1.2.3/13");
    EXPECT_TRUE(range.contains(*parse_ip_address("10.7.255.255")));
    EXPECT_FALSE(range.contains(*parse_ip_address("10.8.0.0")));
    EXPECT_TRUE(parse_ip_range("0.0.0.0/0")->contains(*parse_ip_address("255.1.2.3")));
    EXPECT_FALSE(parse_ip_range("0.0.0.0/0")->contains(*parse_ip_address("2001:db8::1")));
    EXPECT_TRUE(parse_ip_range("::/0")->contains(*parse_ip_address("255.1.2.3")));
    EXPECT_TRUE(parse_ip_range("192.0.2.7")->contains(*parse_ip_address("192.0.2.7")));
    EXPECT_FALSE(parse_ip_range("192.0.2.7/32")->contains(*parse_ip_address("192.0.2.6")));
}

TEST(ip_ranges, are_told_as_they_would_be_written) {
    for (const auto* text : {"10.0.0.0/8", "192.0.2.7/32", "0.0.0.0/0", "2001:db8::/32", "::/0", "::1/128"})
        EXPECT_EQ(text_of(*parse_ip_range(text)), text);
    EXPECT_EQ(text_of(*parse_ip_range("::ffff:10.0.0.0/104")), "10.0.0.0/8");
    EXPECT_EQ(text_of(*parse_ip_range("::ffff:0.0.0.0/95")), "::ffff:0.0.0.0/95");
}

TEST(ip_addresses, are_told_in_one_way_only) {
    EXPECT_EQ(text_of(*parse_ip_address("192.0.2.7")), "192.0.2.7");
    EXPECT_EQ(text_of(*parse_ip_address("::ffff:192.0.2.7")), "192.0.2.7");
    EXPECT_EQ(text_of(*parse_ip_address("2001:0DB8:0:0::0001")), "2001:db8::1");
}

}  // namespace
}  // namespace governance
