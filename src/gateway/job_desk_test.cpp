#include "gateway/job_desk.hpp"

#include <gtest/gtest.h>

#include "gateway/job_submit.hpp"

namespace gateway {
namespace {

TEST(job_desk, an_id_is_found_in_each_of_the_paths_and_nothing_else_is_one) {
    for (const char* path : {"/v1/jobs/job_Ab1", "/v1/jobs/job_Ab1/events", "/v1/jobs/job_Ab1/cancel"})
        EXPECT_EQ(job_id_of(path), "job_Ab1") << path;
    const std::string longer = "/v1/jobs/job_" + std::string(100, 'a');
    for (const std::string_view path :
         {std::string_view("/v1/jobs/"), std::string_view("/v1/jobs/x"), std::string_view("/v1/jobs/job_a-b"),
          std::string_view("/v1/jobs/job_a'b"), std::string_view("/v1/jobs/job_\xc3\xa4"), std::string_view(longer)})
        EXPECT_EQ(job_id_of(path), "") << path;
}

TEST(job_desk, a_query_has_known_names_once_and_its_values_are_decoded) {
    static constexpr std::string_view known[] = {"a", "b"};
    const auto members = read_query("/v1/jobs?a=1%2B+x&&b=", known);
    ASSERT_TRUE(members);
    EXPECT_EQ(find(*members, "a"), "1+ x");
    EXPECT_EQ(find(*members, "b"), "");
    EXPECT_EQ(find(*members, "c"), std::nullopt);
    EXPECT_TRUE(read_query("/v1/jobs", known)->empty());
    EXPECT_TRUE(read_query("/v1/jobs?", known)->empty());
    EXPECT_EQ(find(*read_query("/v1/jobs?a", known), "a"), "");
    for (const std::string target : {"?c=1", "?a=1&a=2", "?a=%2", "?a=%zz", "?a=%00", "?a=\xff", "?a=1&%61=2"}) {
        const auto wrong = read_query("/v1/jobs" + target, known);
        ASSERT_FALSE(wrong) << target;
        EXPECT_EQ(wrong.error().kind, base::errc::invalid_argument);
    }
    EXPECT_FALSE(read_query("/v1/jobs?a=" + std::string(5'000, 'x'), known));
}

TEST(job_desk, a_number_is_plain_digits_up_to_its_limit) {
    EXPECT_EQ(read_number("n", "60", 60), 60u);
    for (const char* text : {"", "61", "-1", "1.5", "+1", "0x1", "99999999999999999999"})
        EXPECT_FALSE(read_number("n", text, 60)) << text;
}

http::request_head head_with(const std::string& bytes) {
    http::request_head head;
    EXPECT_TRUE(http::parse_request(bytes, {16'384, 100}, head));
    return head;
}

TEST(job_submit, respond_async_is_one_of_the_preferences) {
    const auto prefers = [](const std::string& lines) {
        const std::string bytes = "POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + lines + "\r\n";
        return prefers_async(head_with(bytes));
    };
    EXPECT_TRUE(prefers("prefer: respond-async\r\n"));
    EXPECT_TRUE(prefers("Prefer: wait=10, Respond-Async; x=1\r\n"));
    EXPECT_TRUE(prefers("prefer: a\r\nprefer: respond-async\r\n"));
    EXPECT_FALSE(prefers(""));
    EXPECT_FALSE(prefers("prefer: respond-asynchronous\r\n"));
    EXPECT_FALSE(prefers("x-prefer: respond-async\r\n"));
}

}  // namespace
}  // namespace gateway
