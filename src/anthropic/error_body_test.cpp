#include "anthropic/error_body.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <string>

namespace {

using namespace anthropic;
using base::errc;

TEST(error_body, the_envelope_is_anthropics_with_our_reason) {
    EXPECT_EQ(error_body({errc::duplicate_field, "`model` occurs twice."}, "req_1"),
              R"({"type":"error","error":{"type":"invalid_request_error","message":"`model` occurs twice.",)"
              R"("details":{"reason":"duplicate_field"}},"request_id":"req_1"})");
}

TEST(error_body, without_an_id_the_request_id_is_null) {
    EXPECT_TRUE(error_body({errc::internal}, "").ends_with(R"("request_id":null})"));
}

TEST(error_body, every_kind_has_a_sentence_and_is_valid_json) {
    for (int number = 0;; ++number) {
        const auto kind = static_cast<errc>(number);
        if (kind != errc::internal && base::facts_of(kind).reason == "internal") break;  // beyond the last kind
        simdjson::dom::parser parser;
        simdjson::dom::element document;
        const auto body = error_body({kind}, "req_1");
        ASSERT_FALSE(parser.parse(body).get(document)) << body;
        std::string_view message, type, reason;
        ASSERT_FALSE(document["error"]["message"].get(message));
        ASSERT_FALSE(document["error"]["type"].get(type));
        ASSERT_FALSE(document["error"]["details"]["reason"].get(reason));
        EXPECT_TRUE(message.ends_with('.')) << message;
        EXPECT_EQ(type, base::facts_of(kind).type);
        EXPECT_EQ(reason, base::facts_of(kind).reason);
    }
}

TEST(error_body, details_are_escaped) {
    const auto body = error_body({errc::internal, "a\"b\\c\n\r\t\x01\x7F/"}, "x\"y");
    EXPECT_NE(body.find(R"("message":"a\"b\\c\n\r\t\u0001)"
                        "\x7F/\""),
              std::string::npos)
        << body;
    EXPECT_NE(body.find(R"("request_id":"x\"y"})"), std::string::npos) << body;
}

TEST(error_body, bytes_that_are_no_utf8_become_question_marks) {
    const auto message_of = [](std::string detail) {
        const auto body = error_body({errc::internal, std::move(detail)}, "");
        const auto begin = body.find("\"message\":\"") + 11;
        return body.substr(begin, body.find("\",\"details\"") - begin);
    };
    EXPECT_EQ(message_of("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    EXPECT_EQ(message_of("a\xFF"
                         "b\xC3"),
              "a?b?");
    EXPECT_EQ(message_of("\xC0\xAF"), "??");       // overlong
    EXPECT_EQ(message_of("\xED\xA0\x80"), "???");  // a surrogate
    EXPECT_EQ(message_of("\xE2\x82"
                         "b"),
              "??b");                                   // cut short
    EXPECT_EQ(message_of("\xF5\x80\x80\x80"), "????");  // beyond Unicode
    EXPECT_EQ(message_of("\x80\xC3\xA9"), "?\xC3\xA9");
    const std::string_view half(std::string_view("\xC3\xA9").substr(0, 1));
    EXPECT_TRUE(error_body({errc::internal}, half).ends_with("\"request_id\":\"?\"}"));
}

TEST(error_body, an_event_is_one_complete_server_sent_event) {
    const base::error cut{errc::upstream_cut, "line one\nline two"};
    EXPECT_EQ(error_event(cut, "req_1"), fmt::format("event: error\ndata: {}\n\n", error_body(cut, "req_1")));
    const auto event = error_event(cut, "req_1");
    EXPECT_EQ(event.find("\n\n"), event.size() - 2) << "a line feed of the message ended the event";
}

TEST(error_body, statuses_follow_the_table_and_unknown_types_are_500) {
    EXPECT_EQ(status_of_type("invalid_request_error"), 400);
    EXPECT_EQ(status_of_type("authentication_error"), 401);
    EXPECT_EQ(status_of_type("billing_error"), 402);
    EXPECT_EQ(status_of_type("permission_error"), 403);
    EXPECT_EQ(status_of_type("not_found_error"), 404);
    EXPECT_EQ(status_of_type("conflict_error"), 409);
    EXPECT_EQ(status_of_type("request_too_large"), 413);
    EXPECT_EQ(status_of_type("rate_limit_error"), 429);
    EXPECT_EQ(status_of_type("api_error"), 500);
    EXPECT_EQ(status_of_type("timeout_error"), 504);
    EXPECT_EQ(status_of_type("overloaded_error"), 529);
    EXPECT_EQ(status_of_type("thermal_error"), 500);
    EXPECT_EQ(status_of_type(""), 500);
}

TEST(error_body, the_error_of_an_envelope_is_taken_out_as_it_stands) {
    EXPECT_EQ(error_in(R"({"type":"error","error":{"type":"api_error", "message":"m"},"request_id":"r"})"),
              R"({"type":"api_error", "message":"m"})");
    EXPECT_EQ(error_in(R"({"type":"api_error"})"), R"({"type":"api_error"})");
    EXPECT_EQ(error_in(""), "");
}

TEST(error_body, the_ping_is_what_the_upstream_would_send) {
    EXPECT_EQ(ping_event(), "event: ping\ndata: {\"type\": \"ping\"}\n\n");
}

}  // namespace
