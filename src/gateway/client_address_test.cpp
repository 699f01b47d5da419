#include "gateway/client_address.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace gateway {
namespace {

constexpr http::head_limits limits{1 << 20, 200};

// What is believed of a request with these lines of x-forwarded-for.
std::string client_of(std::initializer_list<std::string_view> lines, std::uint32_t hops) {
    std::string bytes = "POST /v1/messages HTTP/1.1\r\nhost: gateway.test\r\n";
    for (const auto line : lines) bytes.append("X-Forwarded-For: ").append(line).append("\r\naccept: */*\r\n");
    bytes += "\r\n";
    http::request_head head;
    EXPECT_TRUE(http::parse_request(bytes, limits, head));
    const auto found = client_address(head, hops);
    return found ? governance::text_of(*found) : "nobody";
}

TEST(client_address, is_what_the_nearest_proxy_says) {
    EXPECT_EQ(client_of({"198.51.100.7"}, 1), "198.51.100.7");
    EXPECT_EQ(client_of({}, 1), "nobody") << "a health check";
    EXPECT_EQ(client_of({""}, 1), "nobody");
}

TEST(client_address, behind_cloudfront_and_a_load_balancer_is_the_second_from_the_right) {
    EXPECT_EQ(client_of({"198.51.100.7, 130.176.1.9"}, 2), "198.51.100.7");
    EXPECT_EQ(client_of({"2001:db8::7, 130.176.1.9"}, 2), "2001:db8::7");
}

TEST(client_address, is_never_what_the_client_itself_has_written) {
    EXPECT_EQ(client_of({"10.0.0.1, 198.51.100.7, 130.176.1.9"}, 2), "198.51.100.7");
    EXPECT_EQ(client_of({"10.0.0.1,10.0.0.1,10.0.0.1,198.51.100.7,130.176.1.9"}, 2), "198.51.100.7");
    EXPECT_EQ(client_of({"10.0.0.1, 198.51.100.7"}, 1), "198.51.100.7");
    EXPECT_EQ(client_of({"garbage\t;\"[, 198.51.100.7, 130.176.1.9"}, 2), "198.51.100.7");
    EXPECT_EQ(client_of({",,,, , 198.51.100.7, 130.176.1.9"}, 2), "198.51.100.7");
}

TEST(client_address, is_read_over_several_lines_as_over_one) {
    EXPECT_EQ(client_of({"10.0.0.1", "198.51.100.7", "130.176.1.9"}, 2), "198.51.100.7");
    EXPECT_EQ(client_of({"10.0.0.1, 198.51.100.7", "130.176.1.9"}, 2), "198.51.100.7");
    EXPECT_EQ(client_of({"10.0.0.1", "198.51.100.7, 130.176.1.9"}, 2), "198.51.100.7");
}

TEST(client_address, is_the_farthest_good_one_when_entries_are_missing_or_malformed) {
    EXPECT_EQ(client_of({"198.51.100.7"}, 2), "198.51.100.7");
    EXPECT_EQ(client_of({"unknown, 130.176.1.9"}, 2), "130.176.1.9");
    EXPECT_EQ(client_of({", 130.176.1.9"}, 2), "130.176.1.9");
    EXPECT_EQ(client_of({"198.51.100.7, unknown, 130.176.1.9"}, 3), "130.176.1.9") << "nobody looks past a bad entry";
    EXPECT_EQ(client_of({"198.51.100.7, 130.176.1.9,"}, 2), "nobody");
}

TEST(client_address, of_ten_thousand_entries_is_counted_from_the_right) {
    std::string many;
    for (int i = 0; i < 10'000; ++i) many += "10.0.0.1, ";
    EXPECT_EQ(client_of({many + "198.51.100.7, 130.176.1.9"}, 2), "198.51.100.7");
    EXPECT_EQ(client_of({std::string(60'000, ',')}, 16), "nobody");
    EXPECT_EQ(client_of({std::string(60'000, '1')}, 16), "nobody");
}

TEST(client_address, may_have_a_port_and_brackets) {
    const auto read = [](std::string_view entry) {
        const auto address = read_forwarded_entry(entry);
        return address ? governance::text_of(*address) : "none";
    };
    EXPECT_EQ(read("198.51.100.7"), "198.51.100.7");
    EXPECT_EQ(read("198.51.100.7:49152"), "198.51.100.7");
    EXPECT_EQ(read("2001:DB8::0007"), "2001:db8::7");
    EXPECT_EQ(read("[2001:db8::7]"), "2001:db8::7");
    EXPECT_EQ(read("[2001:db8::7]:443"), "2001:db8::7");
    EXPECT_EQ(read("::ffff:198.51.100.7"), "198.51.100.7");
    EXPECT_EQ(read("::1"), "::1");
    for (const auto* entry : {"",
                              " ",
                              "unknown",
                              "_hidden",
                              "localhost",
                              "198.51.100.7:",
                              "198.51.100.7:x",
                              "198.51.100.7:-1",
                              "198.51.100.7:123456",
                              "198.51.100",
                              "198.51.100.7.8",
                              "198.51.100.007",
                              "198.51.100.7/32",
                              "256.1.1.1",
                              "[198.51.100.7]",
                              "[198.51.100.7]:1",
                              "[2001:db8::7",
                              "2001:db8::7]",
                              "[2001:db8::7]443",
                              "[2001:db8::7]:",
                              "[]",
                              "[",
                              "]",
                              ":",
                              "::1%lo",
                              "fe80::1%eth0",
                              "\"198.51.100.7\"",
                              "for=198.51.100.7",
                              "1.2.3.4 5.6.7.8",
                              "\"[2001:db8::7]:443\"",
                              "2001:db8::7::1",
                              "12345::1"})
        EXPECT_EQ(read(entry), "none") << entry;
    EXPECT_EQ(read(std::string_view("1.2.3.4\0", 8)), "none");
    EXPECT_EQ(read(std::string(100'000, ':')), "none");
}

TEST(trusted_proxy, is_who_connects_from_a_range) {
    const governance::ip_range trusted[] = {*governance::parse_ip_range("10.20.0.0/16"),
                                            *governance::parse_ip_range("2001:db8:1::/48")};
    EXPECT_TRUE(is_trusted_proxy("10.20.3.4", trusted));
    EXPECT_TRUE(is_trusted_proxy("::ffff:10.20.3.4", trusted));
    EXPECT_TRUE(is_trusted_proxy("2001:db8:1::9", trusted));
    EXPECT_FALSE(is_trusted_proxy("10.21.3.4", trusted));
    EXPECT_FALSE(is_trusted_proxy("2001:db8:2::9", trusted));
    EXPECT_FALSE(is_trusted_proxy("", trusted)) << "no network at all: the worker's own calls";
    EXPECT_FALSE(is_trusted_proxy("127.0.0.1", {}));
}

}  // namespace
}  // namespace gateway
