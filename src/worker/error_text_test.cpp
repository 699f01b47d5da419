#include "worker/error_text.hpp"

#include <gtest/gtest.h>

namespace worker {
namespace {

TEST(error_text, our_reason_and_the_type_are_read) {
    const auto said = read_error(
        R"({"type":"error","error":{"type":"rate_limit_error","message":"m",)"
        R"("details":{"reason":"budget_contended"}}})");
    EXPECT_TRUE(said.is_envelope);
    EXPECT_EQ(said.type, "rate_limit_error");
    EXPECT_EQ(said.reason, "budget_contended");
    EXPECT_FALSE(read_error("<html>").is_envelope);
    EXPECT_FALSE(read_error("[]").is_envelope);
    EXPECT_EQ(read_error(R"({"error":{"type":7,"details":{"reason":null}}})").type, "");
}

TEST(error_text, a_piece_of_a_log_is_cut_before_its_error_event) {
    const std::string before = "id: 1\nevent: content_block_delta\ndata: {\"text\":\"event: error\"}\n\n";
    EXPECT_EQ(before_error_event(before), before.size());
    EXPECT_EQ(before_error_event(before + "id: 2\nevent: error\ndata: {}\n\n"), before.size());
    EXPECT_EQ(before_error_event("id: 2\r\nevent: error\r\ndata: {}\r\n\r\n"), 0u);
}

TEST(error_text, the_usage_of_a_message_stays_as_it_is) {
    EXPECT_EQ(usage_of(R"({"id":"m","usage":{"input_tokens":3, "x":1.0},"content":[]})"),
              R"({"input_tokens":3, "x":1.0})");
    EXPECT_EQ(usage_of("{}"), "");
}

}  // namespace
}  // namespace worker
