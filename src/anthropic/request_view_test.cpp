#include "anthropic/request_view.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace {

using namespace anthropic;
using base::errc;

request_view read(std::string_view body) {
    auto view = read_request(body);
    EXPECT_TRUE(view) << body << ": " << (view ? "" : view.error().detail);
    return view ? *view : request_view{};
}

base::error refused(std::string_view body) {
    const auto view = read_request(body);
    EXPECT_FALSE(view) << body;
    return view ? base::error{errc::internal} : view.error();
}

TEST(request_view, a_usual_body_is_read) {
    const std::string_view body =
        R"({"model":"claude-opus-4-8","max_tokens":1024,"stream":true,"metadata":{"user_id":"u-17"},)"
        R"("messages":[{"role":"user","content":"model"}]})";
    const auto view = read(body);
    EXPECT_EQ(view.model, "claude-opus-4-8");
    EXPECT_EQ(body.substr(view.model_begin, view.model_end - view.model_begin), "\"claude-opus-4-8\"");
    EXPECT_TRUE(view.stream);
    EXPECT_TRUE(view.has_max_tokens);
    EXPECT_EQ(view.max_tokens, 1024U);
    EXPECT_EQ(view.user_id, "u-17");
}

TEST(request_view, what_is_absent_has_its_default) {
    const auto view = read(R"({"model":"m"})");
    EXPECT_FALSE(view.stream);
    EXPECT_FALSE(view.has_max_tokens);
    EXPECT_EQ(view.max_tokens, 0U);
    EXPECT_EQ(view.user_id, "");
}

TEST(request_view, the_span_of_an_escaped_model_is_that_of_its_raw_bytes) {
    const std::string_view body = R"( { "\u006dodel" : "claude\u002dopus" } )";
    const auto view = read(body);
    EXPECT_EQ(view.model, "claude-opus");
    EXPECT_EQ(body.substr(view.model_begin, view.model_end - view.model_begin), R"("claude\u002dopus")");
}

TEST(request_view, only_the_literal_true_asks_for_a_stream) {
    EXPECT_TRUE(read(R"({"model":"m","stream": true })").stream);
    for (const std::string_view value : {"false", "null", "1", "\"true\"", "True", "truer", "[true]"}) {
        EXPECT_FALSE(read(fmt::format(R"({{"model":"m","stream":{}}})", value)).stream) << value;
    }
}

TEST(request_view, max_tokens_may_be_zero) {
    const auto view = read(R"({"model":"m","max_tokens":0})");
    EXPECT_TRUE(view.has_max_tokens);
    EXPECT_EQ(view.max_tokens, 0U);
}

TEST(request_view, max_tokens_of_another_form_is_left_for_the_upstream) {
    for (const std::string_view value : {"-1", "1.0", "1e3", "\"5\"", "null", "007", "99999999999999999999"}) {
        const auto view = read(fmt::format(R"({{"model":"m","max_tokens":{}}})", value));
        EXPECT_FALSE(view.has_max_tokens) << value;
        EXPECT_EQ(view.max_tokens, 0U) << value;
    }
}

TEST(request_view, every_governed_member_may_occur_only_once) {
    for (const std::string_view name :
         {"model", "stream", "max_tokens", "metadata", "service_tier", "speed", "inference_geo"}) {
        const auto error = refused(fmt::format(R"({{"model":"m","{0}":"x","a":1,"{0}":"x"}})", name));
        EXPECT_EQ(error.kind, errc::duplicate_field) << name;
        EXPECT_NE(error.detail.find(fmt::format("`{}`", name)), std::string::npos) << error.detail;
    }
}

TEST(request_view, a_duplicate_hidden_by_escapes_is_refused) {
    for (const std::string_view key : {R"(\u006dodel)", R"(mode\u006C)", R"(\u006D\u006f\u0064\u0065\u006c)"}) {
        EXPECT_EQ(refused(fmt::format(R"({{"model":"cheap","{}":"dear"}})", key)).kind, errc::duplicate_field) << key;
        EXPECT_EQ(refused(fmt::format(R"({{"{}":"dear","model":"cheap"}})", key)).kind, errc::duplicate_field) << key;
    }
}

TEST(request_view, keys_with_surrogates_are_other_keys) {
    EXPECT_EQ(read(R"({"model":"m","\ud83d\ude00model":"x","\ud800model":"y","model\udc00":"z"})").model, "m");
}

TEST(request_view, duplicates_that_nobody_governs_on_pass) {
    EXPECT_EQ(read(R"({"model":"m","system":"a","system":"b","x":{"model":1,"model":2}})").model, "m");
}

TEST(request_view, a_body_without_a_usable_model_is_refused) {
    for (const std::string_view body :
         {R"({})", R"({"messages":[{"model":"m"}]})", R"({"model":""})", R"({"model":null})", R"({"model":5})",
          R"({"model":["m"]})", "{\"model\":\"a\nb\"}", R"({"model":"\q"})", "{\"model\":\"\xFF\"}"}) {
        EXPECT_EQ(refused(body).kind, errc::missing_field) << body;
    }
    EXPECT_EQ(refused(fmt::format(R"({{"model":"{}"}})", std::string(5000, 'm'))).kind, errc::missing_field);
}

TEST(request_view, user_id_is_decoded_and_cut_between_characters) {
    EXPECT_EQ(read(R"({"model":"m","metadata":{"a":[{"user_id":"no"}],"user_id":"{\"device\":\"d\"}"}})").user_id,
              R"({"device":"d"})");
    const auto body = [](const std::string& user_id) {
        return fmt::format(R"({{"model":"m","metadata":{{"user_id":"{}"}}}})", user_id);
    };
    EXPECT_EQ(read(body(std::string(300, 'u'))).user_id, std::string(256, 'u'));
    EXPECT_EQ(read(body(std::string(255, 'u') + "\xC3\xA9")).user_id, std::string(255, 'u'));
    EXPECT_EQ(read(body(std::string(254, 'u') + R"(\u00e9\u00e9)")).user_id, std::string(254, 'u') + "\xC3\xA9");
}

TEST(request_view, metadata_of_another_shape_has_no_user_id) {
    for (const std::string_view value : {"null", "[]", "\"user_id\"", "{}", R"({"user_id":null})", R"({"user_id":7})",
                                         "{\"user_id\":\"\xFF\"}", R"({"user_id":"a" "b"})"}) {
        EXPECT_EQ(read(fmt::format(R"({{"model":"m","metadata":{}}})", value)).user_id, "") << value;
    }
}

TEST(request_view, what_is_not_a_json_object_is_refused_with_a_helpful_sentence) {
    const auto says = [](std::string_view body, std::string_view words) {
        const auto error = refused(body);
        EXPECT_EQ(error.kind, errc::invalid_json) << body;
        EXPECT_NE(error.detail.find(words), std::string::npos) << error.detail;
        EXPECT_EQ(error.detail.find("secret"), std::string::npos) << "quotes the body: " << error.detail;
    };
    says("", "is empty");
    says(" \n", "is empty");
    says("\xEF\xBB\xBF{\"model\":\"m\"}", "byte order mark");
    says("[\"secret\"]", "does not begin with a brace");
    says("secret", "does not begin with a brace");
    says(R"({"model":"secret)", "ends after 16 bytes");
    says(R"({"model":"secret","messages":[)", "ends after 30 bytes");
    says(R"({"model":"secret"} secret)", "after the end of its JSON object, at byte 19");
    says(R"({"model":"m",secret})", "unexpected stands at byte 13");
}

TEST(request_view, a_utf16_body_is_not_mistaken_for_json) {
    EXPECT_EQ(refused(std::string_view("{\0\"\0m\0\"\0:\0\"\0x\0\"\0}\0", 18)).kind, errc::invalid_json);
}

}  // namespace
