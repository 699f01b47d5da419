#include "gateway/routes.hpp"

#include <gtest/gtest.h>

#include "gateway/results_url.hpp"

namespace {

using namespace gateway;

std::string label(std::string_view method, std::string_view path) {
    const auto found = find_route(method, path);
    if (found.row) return std::string(found.row->label);
    return found.method_not_allowed ? "405" : "404";
}

TEST(routes, each_path_finds_its_row) {
    EXPECT_EQ(label("POST", "/v1/messages"), "messages");
    EXPECT_EQ(label("POST", "/v1/messages/count_tokens"), "count_tokens");
    EXPECT_EQ(label("GET", "/v1/messages/batches/msgbatch_1"), "batches");
    EXPECT_EQ(label("GET", "/v1/messages/batches/msgbatch_1/results"), "batches");
    EXPECT_EQ(label("HEAD", "/v1/models"), "models");
    EXPECT_EQ(label("GET", "/v1/models/claude-opus-5"), "models");
    EXPECT_EQ(label("DELETE", "/v1/files/file_1"), "files");
    EXPECT_EQ(label("GET", "/v1/skills/s/versions/1/content"), "skills");
    EXPECT_EQ(label("GET", "/v1/sessions/x/events"), "other");
    EXPECT_EQ(label("POST", "/v1/jobs"), "jobs");
    EXPECT_EQ(label("GET", "/v1/jobs/job_1/events"), "jobs");
    EXPECT_EQ(label("HEAD", "/"), "hello");
    EXPECT_EQ(label("HEAD", "/api/hello"), "hello");
}

TEST(routes, a_wrong_method_on_a_governed_path_does_not_reach_the_catch_all) {
    EXPECT_EQ(label("GET", "/v1/messages"), "405");
    EXPECT_EQ(label("PUT", "/v1/messages/count_tokens"), "405");
    EXPECT_EQ(label("POST", "/v1/models"), "405");
    EXPECT_EQ(label("PUT", "/v1/jobs"), "405");
    EXPECT_EQ(label("GET", "/v1/jobs/job_1/cancel"), "405");
    EXPECT_EQ(label("POST", "/health"), "405");
}

TEST(routes, other_paths_are_unknown) {
    EXPECT_EQ(label("GET", "/"), "405");
    EXPECT_EQ(label("GET", "/admin/v1/keys"), "404");
    EXPECT_EQ(label("POST", "/V1/messages"), "404");
    EXPECT_EQ(label("GET", "/v1"), "404");
}

TEST(routes, paths_that_readers_could_resolve_differently_have_no_normal_form) {
    for (const char* path :
         {"/v1/x/../messages", "/v1/./messages", "/v1//messages", "/v1/messages/", "/v1/%2e%2e/messages",
          "/v1%2fmessages", "/v1/messages%00", "/v1/%5cmessages", "/v1/mess%zzages", "/v1/a%", "/v1/%252fx", "//"}) {
        EXPECT_FALSE(normal_path(path).has_value()) << path;
    }
    EXPECT_EQ(normal_path("/v1/%6dessages"), "/v1/messages");
    EXPECT_EQ(normal_path("/v1/v1/messages"), "/v1/messages");
    EXPECT_EQ(normal_path("/"), "/");
}

TEST(results_url, members_lead_back_to_us_and_nothing_else_changes) {
    const std::string text = R"(,"x":"\"results_url\":\"https://a/v1/b\""})";
    std::string json = R"({"id":"b","results_url" : "https://api.anthropic.com/v1/messages/batches/b/results")" + text;
    rewrite_results_urls(json, "http://gw:8080");
    EXPECT_EQ(json, R"({"id":"b","results_url" : "http://gw:8080/v1/messages/batches/b/results")" + text);
    std::string escaped = R"({"results_url":"https:\/\/a\u002fv1\/b","n":1})";
    rewrite_results_urls(escaped, "http://gw");
    EXPECT_EQ(escaped, R"({"results_url":"http://gw/v1/b","n":1})");
    std::string null_value = R"({"results_url":null,"results_url":"relative"})";
    rewrite_results_urls(null_value, "http://gw");
    EXPECT_EQ(null_value, R"({"results_url":null,"results_url":"relative"})");
}

}  // namespace
