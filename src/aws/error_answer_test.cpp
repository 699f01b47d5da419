#include "aws/error_answer.hpp"

#include <gtest/gtest.h>

namespace aws {
namespace {

TEST(error_answer, of_json_has_its_bare_name_and_message) {
    const auto sqs = read_error(R"({"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"It is\nnot there."})");
    EXPECT_EQ(sqs.code, "QueueDoesNotExist");
    EXPECT_EQ(sqs.message, "It is not there.");
    const auto secrets = read_error(R"({"__type":"ResourceNotFoundException","Message":"no secret"})");
    EXPECT_EQ(secrets.code, "ResourceNotFoundException");
    EXPECT_EQ(secrets.message, "no secret");
    EXPECT_EQ(read_error(R"({"code":"Throttling:http://example.com/","x":1})").code, "Throttling");
    EXPECT_EQ(read_error(R"({"__type":7,"message":null})").code, "");
    EXPECT_EQ(read_error("[]").code, "");
}

TEST(error_answer, of_xml_has_its_name_and_message) {
    const auto said = read_error(
        "<?xml version=\"1.0\"?><ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>"
        "<Message>The request signature\n does not match</Message></Error></ErrorResponse>");
    EXPECT_EQ(said.code, "SignatureDoesNotMatch");
    EXPECT_EQ(said.message, "The request signature does not match");
    EXPECT_EQ(read_error("<Code>Open").code, "");
}

TEST(error_answer, of_anything_else_is_its_beginning_on_one_line) {
    const auto page = read_error("<html>\r\n<title>502 Bad\tGateway</title>\x01\xff</html>\n");
    EXPECT_EQ(page.code, "");
    EXPECT_EQ(page.message, "<html> <title>502 Bad Gateway</title> </html>");
    EXPECT_EQ(read_error(std::string(10'000, 'x')).message.size(), error_answer::message_bytes_max);
    EXPECT_EQ(read_error("").message, "");
}

TEST(error_answer, tells_what_may_be_tried_again) {
    EXPECT_TRUE(is_retryable(500, ""));
    EXPECT_TRUE(is_retryable(503, "AnythingNew"));
    EXPECT_TRUE(is_retryable(429, ""));
    EXPECT_TRUE(is_retryable(400, "ThrottlingException"));
    EXPECT_TRUE(is_retryable(403, "RequestThrottled"));
    EXPECT_FALSE(is_retryable(400, "QueueDoesNotExist"));
    EXPECT_FALSE(is_retryable(403, "AccessDenied"));
    EXPECT_FALSE(is_retryable(403, "ExpiredToken"));
    EXPECT_TRUE(is_of_old_credentials("ExpiredToken"));
    EXPECT_FALSE(is_of_old_credentials("AccessDenied"));
}

}  // namespace
}  // namespace aws
