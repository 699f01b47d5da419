#include "gateway/edge_headers.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gateway {
namespace {

bool is_dropped(const std::string& name) {
    const std::string line = name + ": value";
    http::header parsed;
    EXPECT_TRUE(http::parse_header_line(line, parsed)) << name;
    return is_of_the_edge(parsed);
}

constexpr std::string_view of_the_edge[] = {"x-origin-verify",
                                            "forwarded",
                                            "via",
                                            "x-forwarded-for",
                                            "x-forwarded-proto",
                                            "x-forwarded-port",
                                            "x-forwarded-host",
                                            "x-forwarded-server",
                                            "x-forwarded-client-cert",
                                            "x-real-ip",
                                            "x-client-ip",
                                            "x-cluster-client-ip",
                                            "x-original-forwarded-for",
                                            "true-client-ip",
                                            "fastly-client-ip",
                                            "cf-connecting-ip",
                                            "cf-connecting-ipv6",
                                            "cf-ray",
                                            "cf-ipcountry",
                                            "cf-visitor",
                                            "x-amzn-trace-id",
                                            "x-amzn-oidc-data",
                                            "x-amzn-tls-version",
                                            "x-amzn-mtls-clientcert",
                                            "x-amz-cf-id",
                                            "cloudfront-viewer-address",
                                            "cloudfront-viewer-country",
                                            "cloudfront-forwarded-proto",
                                            "cloudfront-is-mobile-viewer"};

TEST(edge_headers, are_known_in_any_spelling) {
    for (std::string name : std::vector<std::string>(std::begin(of_the_edge), std::end(of_the_edge))) {
        EXPECT_TRUE(is_dropped(name)) << name;
        for (char& c : name)
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        EXPECT_TRUE(is_dropped(name)) << name;
    }
}

TEST(edge_headers, are_none_of_the_clients) {
    for (const auto* name : {"anthropic-version",
                             "anthropic-beta",
                             "anthropic-dangerous-direct-browser-access",
                             "user-agent",
                             "accept",
                             "accept-language",
                             "content-type",
                             "content-encoding",
                             "cookie",
                             "origin",
                             "referer",
                             "x-stainless-lang",
                             "x-stainless-retry-count",
                             "x-app",
                             "x-request-id",
                             "x-claude-code-session-id",
                             "traceparent",
                             "tracestate",
                             "baggage",
                             "idempotency-key",
                             "prefer",
                             "range",
                             "cache-control",
                             "from",
                             "if-none-match",
                             "cdn-loop",
                             "cf-aig-authorization",
                             "x-amz-date",
                             "x-amz-security-token",
                             "x-amz-content-sha256",
                             "x-cloud-trace-context",
                             "x-original-model",
                             "x-real-user",
                             "x-forward",
                             "x-forwarded",
                             "x-amzn",
                             "cloudfront",
                             "x",
                             "x-",
                             "c",
                             "f",
                             "t",
                             "x-f",
                             "x-a",
                             "x-o",
                             "x-c",
                             "x-r",
                             "forwarded-by",
                             "via-x",
                             "x-origin-verified",
                             "true-client-ips"})
        EXPECT_FALSE(is_dropped(name)) << name;
}

TEST(edge_headers, need_every_letter) {
    for (const auto known : of_the_edge) {
        const bool is_of_a_family =
            known.starts_with("x-forwarded-") || known.starts_with("x-amz") || known.starts_with("cloudfront-");
        const std::string name(known);
        if (!is_of_a_family) EXPECT_FALSE(is_dropped(name.substr(0, name.size() - 1) + "_")) << name;
        EXPECT_FALSE(is_dropped("y" + name)) << name;
        EXPECT_FALSE(is_dropped(name.substr(0, 1) + "_" + name.substr(2))) << name;
    }
}

}  // namespace
}  // namespace gateway
