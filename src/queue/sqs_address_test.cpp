#include "queue/sqs_address.hpp"

#include <gtest/gtest.h>

#include "queue/queue.hpp"

namespace queue {
namespace {

options of(std::string url, std::string region = {}) {
    options settings;
    settings.url = std::move(url);
    settings.aws.region = std::move(region);
    return settings;
}

std::string problem_of(const options& settings) {
    try {
        return "it is " + address_of(settings).at.endpoint;
    } catch (const failure& problem) {
        EXPECT_FALSE(problem.may_retry);
        return problem.what();
    }
}

TEST(queue_url, that_is_a_url_tells_name_region_and_endpoint) {
    const auto found = address_of(of("https://sqs.eu-west-1.amazonaws.com/123456789012/jobs", "us-east-1"));
    EXPECT_EQ(found.name, "jobs");
    EXPECT_EQ(found.url, "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs");
    EXPECT_EQ(found.at.region, "eu-west-1");
    EXPECT_EQ(found.at.endpoint, "https://sqs.eu-west-1.amazonaws.com");
    const auto local = address_of(of("http://127.0.0.1:9324/000000000000/jobs", "us-east-1"));
    EXPECT_EQ(local.at.region, "us-east-1");
    EXPECT_EQ(local.at.endpoint, "http://127.0.0.1:9324");
}

TEST(queue_url, that_is_a_name_needs_a_region) {
    const auto found = address_of(of("jobs_of-production", "eu-west-1"));
    EXPECT_EQ(found.name, "jobs_of-production");
    EXPECT_EQ(found.url, "");
    EXPECT_EQ(found.at.endpoint, "https://sqs.eu-west-1.amazonaws.com");
    EXPECT_EQ(problem_of(of("jobs")), "AWS_REGION is not set");
    auto other = of("jobs");
    other.aws.default_region = "eu-west-3";
    other.aws.endpoint_url_sqs = "http://127.0.0.1:1";
    EXPECT_EQ(address_of(other).at.region, "eu-west-3");
    EXPECT_EQ(address_of(other).at.endpoint, "http://127.0.0.1:1");
}

TEST(queue_url, region_is_found_in_the_hosts_of_amazon) {
    EXPECT_EQ(region_in("sqs.eu-west-1.amazonaws.com"), "eu-west-1");
    EXPECT_EQ(region_in("sqs-fips.us-gov-west-1.amazonaws.com"), "us-gov-west-1");
    EXPECT_EQ(region_in("sqs.cn-north-1.amazonaws.com.cn"), "cn-north-1");
    EXPECT_EQ(region_in("sqs.eu-west-1.api.aws"), "eu-west-1");
    EXPECT_EQ(region_in("vpce-1a2b-3c4d.sqs.ap-southeast-2.vpce.amazonaws.com"), "ap-southeast-2");
    EXPECT_EQ(region_in("us-west-2.queue.amazonaws.com"), "us-west-2");
    EXPECT_EQ(region_in("sqs.us-east-1.localhost"), "us-east-1");
    for (const char* none : {"", "localhost", "127.0.0.1", "sqs", "sqs.local", "queue.amazonaws.com", "a-b-c.example"})
        EXPECT_EQ(region_in(none), "") << none;
}

TEST(queue_url, that_cannot_be_right_is_told) {
    for (const char* wrong : {"jobs.fifo", "https://sqs.eu-west-1.amazonaws.com/1/jobs.fifo"})
        EXPECT_EQ(problem_of(of(wrong, "eu-west-1")), "QUEUE_URL must name a standard queue, not a FIFO queue");
    for (const std::string& wrong : {std::string("a b"), std::string("a/b"), std::string(76, 'x'), std::string(),
                                     std::string("https://sqs.eu-west-1.amazonaws.com/")})
        EXPECT_TRUE(problem_of(of(wrong, "eu-west-1")).starts_with("QUEUE_URL must be `embedded`")) << wrong;
    EXPECT_EQ(address_of(of(std::string(75, 'x'), "eu-west-1")).name.size(), 75u);
    EXPECT_EQ(problem_of(of("ftp://host/jobs", "eu-west-1")), "QUEUE_URL must begin with http:// or https://");
    EXPECT_EQ(problem_of(of("https://u:p@host/jobs", "eu-west-1")),
              "QUEUE_URL must be a URL without user, query and fragment");
}

TEST(queue_url, of_the_dead_letter_queue_is_beside_it) {
    EXPECT_EQ(dead_name_of("jobs"), "jobs-dead");
    EXPECT_EQ(sibling_url("https://sqs.eu-west-1.amazonaws.com/1/jobs", "lost"),
              "https://sqs.eu-west-1.amazonaws.com/1/lost");
}

}  // namespace
}  // namespace queue
