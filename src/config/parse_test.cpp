#include "config/parse.hpp"

#include <gtest/gtest.h>

namespace config {
namespace {

using namespace std::chrono_literals;

TEST(durations, have_a_whole_number_and_a_unit) {
    EXPECT_EQ(parse_duration("500ms"), 500ms);
    EXPECT_EQ(parse_duration("15s"), 15s);
    EXPECT_EQ(parse_duration("10m"), 10min);
    EXPECT_EQ(parse_duration("1h"), 1h);
    EXPECT_EQ(parse_duration("0s"), 0s);
    for (const char* wrong : {"", "15", "s", "-1s", "+1s", " 1s", "1s ", "1 s", "1.5s", "5 parsecs", "1S", "1sec",
                              "1m30s", "0x1s", "1\xc2\xb5s"}) {
        EXPECT_FALSE(parse_duration(wrong)) << wrong;
    }
}

TEST(durations, that_do_not_fit_are_refused) {
    EXPECT_FALSE(parse_duration("99999999999999999999ms"));
    EXPECT_FALSE(parse_duration("9223372036854775807h"));
    EXPECT_EQ(parse_duration("9223372036854775807ms"), 9223372036854775807ms);
}

TEST(sizes, have_a_number_and_perhaps_a_binary_unit) {
    EXPECT_EQ(parse_size("0"), 0u);
    EXPECT_EQ(parse_size("65536"), 65536u);
    EXPECT_EQ(parse_size("64KiB"), 65536u);
    EXPECT_EQ(parse_size("32MiB"), 32u << 20);
    EXPECT_EQ(parse_size("3GiB"), 3ull << 30);
    for (const char* wrong : {"", "KiB", "64KB", "64KB?", "64kib", "64 KiB", "-5", "1e6", "1.5MiB",
                              "99999999999999999999", "9223372036854775807KiB"}) {
        EXPECT_FALSE(parse_size(wrong)) << wrong;
    }
}

TEST(counts, are_plain_digits) {
    EXPECT_EQ(parse_count("7"), 7u);
    for (const char* wrong : {"", "many", "-5", "7 ", "7s", "1KiB", "99999999999999999999"})
        EXPECT_FALSE(parse_count(wrong)) << wrong;
}

TEST(addresses, are_a_host_and_a_port) {
    const auto text = [](const char* given) {
        const auto made = parse_address(given);
        return made ? address_text(*made) : made.error();
    };
    for (const char* right : {"127.0.0.1:8080", "0.0.0.0:0", "localhost:65535", "[::1]:8080", "[::]:80"})
        EXPECT_EQ(text(right), right);
    EXPECT_NE(text("::1:8080").find("in brackets"), std::string::npos) << text("::1:8080");
    EXPECT_EQ(parse_address("[::1]:8080")->host, "::1") << "brackets belong to the text, not to the host";
    for (const char* wrong : {"", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:-1",
                              "127.0.0.1:80x", ":8080", "::1:8080", "[::1]", "[127.0.0.1]:80", "[::1:80",
                              "example.com:80", "256.0.0.1:80", "127.1:80", " 127.0.0.1:80", "[]:80"}) {
        EXPECT_FALSE(parse_address(wrong)) << wrong;
    }
}

TEST(lists, are_split_at_commas_without_white_space_and_empty_items) {
    using items = std::vector<std::string_view>;
    EXPECT_EQ(split_list("a,b"), (items{"a", "b"}));
    EXPECT_EQ(split_list(" a , b ,, c,"), (items{"a", "b", "c"}));
    EXPECT_EQ(split_list("a b"), (items{"a b"}));
    EXPECT_EQ(split_list(" , "), items{});
    EXPECT_EQ(split_list(""), items{});
}

TEST(values, are_shown_as_they_are_read) {
    for (const auto value : {0ms, 1ms, 1500ms, 15'000ms, 600'000ms, 3'600'000ms, 5'400'000ms}) {
        EXPECT_EQ(parse_duration(duration_text(value)), value) << duration_text(value);
    }
    EXPECT_EQ(duration_text(600'000ms), "10m");
    EXPECT_EQ(duration_text(1500ms), "1500ms");
    for (const std::uint64_t value : {0ull, 1ull, 1000ull, 65536ull, 32ull << 20, 3ull << 30}) {
        EXPECT_EQ(parse_size(size_text(value)), value) << size_text(value);
    }
    EXPECT_EQ(size_text(32 << 20), "32MiB");
    EXPECT_EQ(size_text(1000), "1000");
}

TEST(hosts, are_loopback_only_when_nobody_else_can_reach_them) {
    for (const char* near : {"127.0.0.1", "127.9.9.9", "::1", "localhost"}) EXPECT_TRUE(is_loopback(near)) << near;
    for (const char* far :
         {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "localhost.example.com", "127.0.0.1.example.com", ""}) {
        EXPECT_FALSE(is_loopback(far)) << far;
    }
}

}  // namespace
}  // namespace config
