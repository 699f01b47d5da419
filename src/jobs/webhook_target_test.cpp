#include "jobs/webhook_target.hpp"

#include <gtest/gtest.h>

namespace jobs {
namespace {

webhook_rules rules_of(std::string allow = "", bool allow_http = false) {
    webhook_options options;
    options.allow = std::move(allow);
    options.allow_http = allow_http;
    return webhook_rules::read(options).value();
}

std::string problem_of(std::string_view address, const webhook_rules& rules = rules_of()) {
    return std::string(rules.address_problem(governance::parse_ip_address(address).value()).value_or(""));
}

TEST(webhook_target, addresses_are_refused_by_what_they_are) {
    constexpr std::pair<std::string_view, std::string_view> cases[] = {
        // public
        {"1.1.1.1", ""},
        {"9.255.255.255", ""},
        {"11.0.0.0", ""},
        {"100.63.255.255", ""},
        {"100.128.0.0", ""},
        {"126.255.255.255", ""},
        {"128.0.0.0", ""},
        {"172.15.255.255", ""},
        {"172.32.0.0", ""},
        {"192.167.255.255", ""},
        {"192.169.0.0", ""},
        {"223.255.255.255", ""},
        {"168.63.129.15", ""},
        {"2606:4700:4700::1111", ""},
        {"2a00:1450::1", ""},
        // of this machine
        {"0.0.0.0", "unspecified"},
        {"0.1.2.3", "unspecified"},
        {"127.0.0.1", "loopback"},
        {"127.255.255.255", "loopback"},
        {"::", "unspecified"},
        {"::1", "loopback"},
        // of this network
        {"10.0.0.0", "private"},
        {"10.255.255.255", "private"},
        {"172.16.0.0", "private"},
        {"172.31.255.255", "private"},
        {"192.168.0.0", "private"},
        {"192.168.255.255", "private"},
        {"100.64.0.0", "shared address space"},
        {"100.127.255.255", "shared address space"},
        {"100.100.100.200", "shared address space"},  // metadata of one cloud
        {"169.254.0.1", "link-local"},
        {"169.254.169.254", "link-local"},  // metadata of most
        {"168.63.129.16", "cloud metadata"},
        {"192.0.0.192", "reserved"},
        {"fc00::1", "private"},
        {"fd00:ec2::254", "private"},
        {"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "private"},
        {"fe80::1", "link-local"},
        {"febf::1", "link-local"},
        {"fec0::1", "site-local"},
        // of nobody, or of many
        {"192.0.2.1", "documentation"},
        {"198.51.100.1", "documentation"},
        {"203.0.113.1", "documentation"},
        {"198.18.0.1", "benchmarking"},
        {"198.19.255.255", "benchmarking"},
        {"224.0.0.1", "multicast"},
        {"239.255.255.255", "multicast"},
        {"240.0.0.1", "reserved"},
        {"255.255.255.255", "reserved"},
        {"192.88.99.1", "6to4 relay"},
        {"ff02::1", "multicast"},
        {"2001:db8::1", "documentation"},
        {"3fff::1", "documentation"},
        {"2001:10::1", "reserved"},
        {"100::1", "not public"},
        {"4000::1", "not public"},
        {"5f00::1", "not public"},
        // IPv4 inside of IPv6
        {"::ffff:127.0.0.1", "loopback"},
        {"::ffff:10.1.2.3", "private"},
        {"::ffff:169.254.169.254", "link-local"},
        {"::ffff:1.1.1.1", ""},
        {"::127.0.0.1", "not public"},
        {"::1.1.1.1", "not public"},
        {"::ffff:0:127.0.0.1", "not public"},
        {"64:ff9b::127.0.0.1", "loopback"},
        {"64:ff9b::169.254.169.254", "link-local"},
        {"64:ff9b::1.1.1.1", ""},
        {"64:ff9b:1::1.1.1.1", "local translation"},
        {"2002:7f00:1::", "loopback"},
        {"2002:a9fe:a9fe::1", "link-local"},
        {"2002:101:101::1", ""},
        {"2001:0:1:2:3:4:5:6", "reserved"},  // Teredo
        {"2606:4700::5efe:10.0.0.1", "private"},
        {"2606:4700::200:5efe:127.0.0.1", "loopback"},
        {"2606:4700::200:5efe:1.1.1.1", ""},
    };
    for (const auto& [address, what] : cases) EXPECT_EQ(problem_of(address), what) << address;
}

TEST(webhook_target, only_what_is_allowed_by_name_is_allowed) {
    const auto rules = rules_of("127.0.0.0/8,,10.1.0.0/16,fd12::/16");
    EXPECT_EQ(problem_of("127.0.0.1", rules), "");
    EXPECT_EQ(problem_of("::ffff:127.0.0.1", rules), "");
    EXPECT_EQ(problem_of("10.1.255.255", rules), "");
    EXPECT_EQ(problem_of("fd12::1", rules), "");
    EXPECT_EQ(problem_of("10.2.0.0", rules), "private");
    EXPECT_EQ(problem_of("fd13::1", rules), "private");
    EXPECT_EQ(problem_of("::1", rules), "loopback");
    EXPECT_EQ(problem_of("169.254.169.254", rules), "link-local");
}

TEST(webhook_target, an_allowed_range_that_is_none_is_told) {
    webhook_options options;
    options.allow = "10.0.0.0/8,localhost";
    const auto rules = webhook_rules::read(options);
    ASSERT_FALSE(rules);
    EXPECT_EQ(rules.error().detail, "localhost is no address range");
}

TEST(webhook_target, urls_of_public_hosts_are_taken) {
    const auto rules = rules_of();
    for (const std::string_view url :
         {"https://example.com", "https://example.com/hook?team=a&x=@b", "HTTPS://Example.COM:8443/a/b",
          "https://1.1.1.1/", "https://[2606:4700::1]:444/x", "https://xn--bcher-kva.example/"})
        EXPECT_EQ(rules.url_problem(url).value_or(""), "") << url;
}

TEST(webhook_target, urls_that_no_webhook_can_have_are_told) {
    const auto rules = rules_of();
    constexpr std::pair<std::string_view, std::string_view> cases[] = {
        {"", "begin with https://"},
        {"example.com/hook", "begin with https://"},
        {"http://example.com/", "begin with https://"},
        {"ftp://example.com/", "begin with https://"},
        {"file:///etc/passwd", "begin with https://"},
        {"gopher://example.com/", "begin with https://"},
        {"https:example.com", "begin with https://"},
        {"https:///etc/passwd", "well-formed"},
        {"https:////127.0.0.1", "well-formed"},
        {"https://", "well-formed"},
        {"https://user@example.com/", "user"},
        {"https://user:word@example.com/", "user"},
        {"https://@example.com/", "user"},
        {"https://example.com/#here", "fragment"},
        {"https://example.com#", "fragment"},
        {"https://example.com:0/", "port"},
        {"https://example.com:65536/", "well-formed"},
        {"https://example.com:99x/", "well-formed"},
        {"https://exa mple.com/", "ASCII"},
        {"https://example.com/\r\nhost: x", "ASCII"},
        {"https://b\xC3\xBC"
         "cher.example/",
         "ASCII"},
        {"https://example.com\\@127.0.0.1/", "backslash"},
        {"https://127.0.0.1/", "loopback"},
        {"https://127.1/", "loopback"},
        {"https://2130706433/", "loopback"},
        {"https://0x7f000001/", "loopback"},
        {"https://0177.0.0.1/", "loopback"},
        {"https://%31%32%37.0.0.1/", "loopback"},
        {"https://[::1]/", "loopback"},
        {"https://[::ffff:10.0.0.1]/", "private"},
        {"https://[fe80::1%25eth0]/", "interface"},
        {"https://169.254.169.254/latest/meta-data", "link-local"},
    };
    for (const auto& [url, why] : cases)
        EXPECT_NE(rules.url_problem(url).value_or("").find(why), std::string::npos)
            << url << ": " << rules.url_problem(url).value_or("-");
    EXPECT_TRUE(rules.url_problem("https://example.com/" + std::string(webhook_url_bytes_max, 'a')));
    EXPECT_TRUE(rules.url_problem("https://" + std::string(300, 'a') + ".example/"));
}

TEST(webhook_target, http_is_an_option) {
    EXPECT_FALSE(rules_of("", true).url_problem("http://example.com/"));
    EXPECT_TRUE(rules_of("", true).url_problem("ftp://example.com/"));
    EXPECT_TRUE(rules_of("", true).url_problem("http://10.0.0.1/"));
    EXPECT_FALSE(rules_of("10.0.0.0/8", true).url_problem("http://10.0.0.1/"));
}

TEST(webhook_target, an_endpoint_is_scheme_host_and_port) {
    EXPECT_EQ(webhook_endpoint("https://Example.com/a?b"), "https://example.com:443");
    EXPECT_EQ(webhook_endpoint("https://example.com:443/c"), "https://example.com:443");
    EXPECT_EQ(webhook_endpoint("http://example.com"), "http://example.com:80");
    EXPECT_EQ(webhook_endpoint("https://[2606:4700::1]:8443/"), "https://[2606:4700::1]:8443");
    EXPECT_EQ(webhook_endpoint("https://2130706433/"), "https://127.0.0.1:443");
    EXPECT_EQ(webhook_endpoint("no url"), "");
}

}  // namespace
}  // namespace jobs
