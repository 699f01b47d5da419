#include "jobs/job_text.hpp"

#include <gtest/gtest.h>

#include "anthropic/raw_json.hpp"

namespace jobs {
namespace {

std::string member(const std::string& json, std::string_view name) {
    return std::string(anthropic::find_member(json, name).value_or("absent"));
}

TEST(job_text, a_new_job_says_what_it_was_asked_for_and_null_for_the_rest) {
    summary about;
    about.id = "job_1";
    about.model = "claude-\"x\"";
    about.metadata = R"({"a":1.0})";
    about.created_at = 1'700'000'000'123;
    about.expires_at = 1'700'000'060'000;
    about.who.key_id = "key_1";
    const std::string json = json_of(about);
    EXPECT_TRUE(anthropic::is_json(json)) << json;
    EXPECT_EQ(member(json, "id"), R"("job_1")");
    EXPECT_EQ(member(json, "type"), R"("job")");
    EXPECT_EQ(member(json, "status"), R"("queued")");
    EXPECT_EQ(member(json, "model"), R"("claude-\"x\"")");
    EXPECT_EQ(member(json, "metadata"), R"({"a":1.0})");
    EXPECT_EQ(member(json, "created_at"), R"("2023-11-14T22:13:20.123Z")");
    EXPECT_EQ(member(json, "expires_at"), R"("2023-11-14T22:14:20Z")");
    for (const auto* name : {"started_at", "finished_at", "run_after", "webhook", "error", "usage"})
        EXPECT_EQ(member(json, name), "null") << name;
    EXPECT_EQ(member(json, "links"), R"({"events":"/v1/jobs/job_1/events","result":"/v1/jobs/job_1/result"})");
}

TEST(job_text, an_ended_job_shows_the_error_of_its_envelope_and_its_usage_as_stored) {
    summary about;
    about.id = "job_1";
    about.state = status::failed;
    about.run_after = 5;
    about.finished_at = 0;
    about.webhook_url = "https://x.example/hook";
    about.error = R"({"type":"error","error":{"type":"api_error","message":"m"},"request_id":"r"})";
    about.usage = R"({"input_tokens":12345678901234567890})";
    const std::string json = json_of(about);
    EXPECT_TRUE(anthropic::is_json(json)) << json;
    EXPECT_EQ(member(json, "error"), R"({"type":"api_error","message":"m"})");
    EXPECT_EQ(member(json, "usage"), about.usage);
    EXPECT_EQ(member(json, "webhook"), R"({"url":"https://x.example/hook"})");
    EXPECT_EQ(member(json, "finished_at"), R"("1970-01-01T00:00:00Z")");
    EXPECT_EQ(member(json, "run_after"), "null") << "only a queued job waits";
}

}  // namespace
}  // namespace jobs
