#include "anthropic/job_request.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "anthropic/request_view.hpp"

namespace {

using namespace anthropic;
using base::errc;
using namespace std::chrono_literals;

base::error error_of(std::string_view body, job_request_rules rules = {}) {
    const auto job = read_job_request(body, rules);
    return job ? base::error{errc::internal, "accepted"} : job.error();
}

// With a member beside a good request.
std::string with(std::string_view member) { return fmt::format(R"({{"request":{{"model":"m"}},{}}})", member); }

void expect_refused(std::string_view body, std::string_view words, errc kind = errc::invalid_argument) {
    const auto error = error_of(body);
    EXPECT_EQ(error.kind, kind) << body << ": " << error.detail;
    EXPECT_NE(error.detail.find(words), std::string::npos) << body << ": " << error.detail;
}

TEST(job_request, every_member_is_read_and_the_request_keeps_its_bytes) {
    const std::string body = R"( { "priority" : -100, "request" : { "model":"m", "x" : 1.0e0 } ,"lane":"b\u0061tch",
        "metadata":{ "a": [1.0] },"expires_in":60,"webhook":{"url":"https:\/\/example.com/hook?a=b"}} )";
    const auto job = read_job_request(body);
    ASSERT_TRUE(job) << job.error().detail;
    EXPECT_EQ(job->request, R"({ "model":"m", "x" : 1.0e0 })");
    EXPECT_EQ(job->metadata, R"({ "a": [1.0] })");
    EXPECT_EQ(job->priority, -100);
    EXPECT_EQ(job->lane, job_lane::batch);
    EXPECT_EQ(job->expires_in, 60s);
    EXPECT_EQ(job->webhook_url, "https://example.com/hook?a=b");
    EXPECT_GE(job->request.data(), body.data());
}

TEST(job_request, all_but_the_request_has_a_default_and_null_means_it) {
    for (const std::string_view body :
         {R"({"request":{}})",
          R"({"metadata":null,"priority":null,"lane":null,"expires_in":null,"webhook":null,"request":{}})"}) {
        const auto job = read_job_request(body);
        ASSERT_TRUE(job) << job.error().detail;
        EXPECT_EQ(job->request, "{}");
        EXPECT_EQ(job->metadata, "");
        EXPECT_EQ(job->priority, 0);
        EXPECT_EQ(job->lane, job_lane::realtime);
        EXPECT_EQ(job->expires_in, 24h);
        EXPECT_EQ(job->webhook_url, "");
    }
}

TEST(job_request, a_job_of_the_batch_lane_outlives_the_batch_that_gives_it_back) {
    EXPECT_EQ(read_job_request(with(R"("lane":"batch")"))->expires_in, 48h);
    EXPECT_EQ(read_job_request(with(R"("lane":"batch","expires_in":null)"))->expires_in, 48h);
    EXPECT_EQ(read_job_request(with(R"("expires_in":86400,"lane":"batch")"))->expires_in, 24h);
    EXPECT_EQ(read_job_request(with(R"("lane":"realtime")"))->expires_in, 24h);
}

TEST(job_request, what_is_no_json_object_is_refused_with_the_place) {
    expect_refused("", "after 0 bytes", errc::invalid_json);
    expect_refused("[]", "not a JSON object", errc::invalid_json);
    expect_refused(R"({"request":{})", "after 13 bytes", errc::invalid_json);
    expect_refused(R"({"request":{"a":01}})", "byte 17", errc::invalid_json);
    expect_refused("{\"request\":{\"a\":\"\xFF\"}}", "byte 17", errc::invalid_json);
}

TEST(job_request, the_request_must_be_there_once_and_an_object) {
    expect_refused("{}", "`request` is missing", errc::missing_field);
    expect_refused(R"({"request":null})", "`request` must be an object");
    expect_refused(R"({"request":"{}"})", "`request` must be an object");
    expect_refused(R"({"request":{},"requ\u0065st":{}})", "`request` occurs more than once", errc::duplicate_field);
}

TEST(job_request, unknown_members_are_refused_with_the_cure) {
    expect_refused(with(R"("priorty":1)"), "`priorty` is not a member of a job: the members are `request`");
    expect_refused(R"({"model":"m","messages":[]})", "put the body of the Messages request into `request`");
    expect_refused(with(fmt::format(R"("{}":1)", std::string(500, 'x'))), "xxx...");
    expect_refused(with(R"("lane":"batch","lane":"batch")"), "`lane` occurs more than once", errc::duplicate_field);
    expect_refused(with(R"("webhook":null,"webhook":null)"), "`webhook` occurs more", errc::duplicate_field);
}

TEST(job_request, values_of_a_wrong_type_or_beyond_their_range_are_refused) {
    for (const auto* const value :
         {"101", "-101", "1.0", "1e1", "\"5\"", "true", "{}", "99999999999999999999", "-0x"}) {
        const auto error = error_of(with(fmt::format("\"priority\":{}", value)));
        EXPECT_TRUE(error.kind == errc::invalid_argument || error.kind == errc::invalid_json) << value;
    }
    expect_refused(with(R"("priority":101)"), "`priority` must be a whole number from -100 to 100.");
    EXPECT_EQ(read_job_request(with(R"("priority":100)"))->priority, 100);
    EXPECT_EQ(read_job_request(with(R"("priority":-0)"))->priority, 0);
    expect_refused(with(R"("lane":"fast")"), "`lane` must be \"realtime\" or \"batch\".");
    expect_refused(with(R"("lane":1)"), "`lane` must be");
    expect_refused(with(R"("expires_in":59)"), "`expires_in` must be a whole number of seconds from 60 to 2592000.");
    expect_refused(with(R"("expires_in":2592001)"), "`expires_in`");
    expect_refused(with(R"("expires_in":-60)"), "`expires_in`");
    EXPECT_EQ(read_job_request(with(R"("expires_in":2592000)"))->expires_in, 720h);
    expect_refused(with(R"("metadata":[])"), "`metadata` must be an object.");
    const auto metadata = [](std::size_t bytes) {
        return with(fmt::format(R"("metadata":{{"a":"{}"}})", std::string(bytes - 8, 'x')));
    };
    EXPECT_EQ(read_job_request(metadata(4096))->metadata.size(), 4096U);
    expect_refused(metadata(4097), "`metadata` has 4097 bytes; at most 4096");
}

TEST(job_request, a_webhook_needs_a_url_that_can_be_called) {
    const auto webhook = [](std::string_view url) { return with(fmt::format(R"("webhook":{{"url":"{}"}})", url)); };
    for (const auto* const url : {"https://a", "https://example.com:8443/x?y=%20#z", "https://[::1]/"}) {
        EXPECT_EQ(read_job_request(webhook(url))->webhook_url, url);
    }
    expect_refused(webhook("http://example.com"), "must begin with https://");
    expect_refused(webhook("HTTPS://example.com"), "must begin with https://");
    expect_refused(webhook(""), "must begin with https://");
    expect_refused(webhook("https://"), "names no host");
    expect_refused(webhook("https:///path"), "names no host");
    expect_refused(webhook("https://:443/path"), "names no host");
    expect_refused(webhook("https://user:password@example.com/"), "must not carry a user");
    expect_refused(webhook("https://exa mple.com/"), "white space");
    expect_refused(webhook("https://example.com/\\n"), "white space");
    expect_refused(webhook("https://b\u00fccher.example/"), "white space or characters");
    expect_refused(webhook("https://a/" + std::string(2048, 'x')), "longer than 2048 bytes");
    expect_refused(with(R"("webhook":"https://a")"), "`webhook` must be an object");
    expect_refused(with(R"("webhook":{})"), "`webhook` has no `url`");
    expect_refused(with(R"("webhook":{"url":null})"), "`webhook.url` must be a string");
    expect_refused(with(R"("webhook":{"url":"https://a","secret":"x"})"), "unknown member `secret`");
    expect_refused(with(R"("webhook":{"url":"https://a","url":"https://a"})"), "more than once", errc::duplicate_field);

    EXPECT_EQ(read_job_request(webhook("http://127.0.0.1:9/"), {.plain_http_webhooks = true})->webhook_url,
              "http://127.0.0.1:9/");
    EXPECT_EQ(error_of(webhook("ftp://a"), {.plain_http_webhooks = true}).kind, errc::invalid_argument);
}

TEST(job_request, a_body_is_made_streaming_by_splicing_alone) {
    EXPECT_EQ(streaming_body(R"({"model":"m","a":1.0})"), R"({"stream":true,"model":"m","a":1.0})");
    EXPECT_EQ(streaming_body(" {\n}"), " {\"stream\":true\n}");
    EXPECT_EQ(streaming_body(R"({ "stream" : false , "a": {"stream":false} })"),
              R"({ "stream" : true , "a": {"stream":false} })");
    EXPECT_EQ(streaming_body(R"({"a":[{"stream":0}],"str\u0065am":null})"),
              R"({"a":[{"stream":0}],"str\u0065am":true})");
    EXPECT_EQ(streaming_body(R"({"stream":{"x":[1]},"b":"\"stream\":1","stream":false})"),
              R"({"stream":true,"b":"\"stream\":1","stream":true})");
    EXPECT_EQ(streaming_body(R"({"stream":true})"), R"({"stream":true})");
    EXPECT_EQ(streaming_body("[]").error().kind, errc::invalid_json);
    EXPECT_EQ(streaming_body("{").error().kind, errc::invalid_json);
    EXPECT_TRUE(read_request(*streaming_body(R"({"model":"m"})"))->stream);
}

TEST(job_request, a_batch_gets_the_body_without_stream) {
    EXPECT_EQ(batch_params(R"({"model":"m", "a" : 1.0 })"), R"({"model":"m", "a" : 1.0 })");
    EXPECT_EQ(batch_params("{ }"), "{ }");
    EXPECT_EQ(batch_params(R"({"stream":true})"), "{}");
    EXPECT_EQ(batch_params(R"({ "stream":true })"), "{  }");
    EXPECT_EQ(batch_params(R"({"stream":true, "a":1})"), R"({"a":1})");
    EXPECT_EQ(batch_params(R"({"a":1 , "stream":false})"), R"({"a":1})");
    EXPECT_EQ(batch_params(R"({"a":1 ,"stream":"}", "b":{"stream":1}})"), R"({"a":1, "b":{"stream":1}})");
    EXPECT_EQ(batch_params(R"({"stream":1,"stream":2,"a":1,"stream":3,"stre\u0061m":4,"b":2,"stream":5})"),
              R"({"a":1,"b":2})");
    EXPECT_EQ(batch_params("7").error().kind, errc::invalid_json);
}

}  // namespace
