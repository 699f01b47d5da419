#include "anthropic/content_features.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace anthropic {
namespace {

content_features of_content(const std::string& block) {
    return read_features(R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[)" + block + "]}]}");
}

TEST(content_features, a_plain_request_has_none) {
    const auto found = of_content(R"({"type":"text","text":"hello"})");
    EXPECT_EQ(found.images, 0u);
    EXPECT_FALSE(found.cache_control || found.one_hour || found.by_reference || found.pdf || found.server_tools);
    EXPECT_EQ(found.web_searches, 0u);
}

TEST(content_features, images_are_counted) {
    EXPECT_EQ(of_content(R"({"type":"image","source":{"type":"base64","media_type":"image/png","data":"aa"}},)"
                         R"({ "type" : "image" , "source":{}})")
                  .images,
              2u);
}

TEST(content_features, cache_marks_and_their_ttl_are_seen) {
    const auto short_lived = of_content(R"({"type":"text","text":"x","cache_control":{"type":"ephemeral"}})");
    EXPECT_TRUE(short_lived.cache_control);
    EXPECT_FALSE(short_lived.one_hour);
    EXPECT_TRUE(of_content(R"({"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}})").one_hour);
}

TEST(content_features, content_that_is_elsewhere_is_seen) {
    EXPECT_TRUE(of_content(R"({"type":"document","source":{"type":"url","url":"https://x"}})").by_reference);
    EXPECT_TRUE(of_content(R"({"type":"document","source":{"type":"file","file_id":"file_1"}})").by_reference);
    EXPECT_TRUE(of_content(R"({"type":"container_upload","file_id":"file_1"})").by_reference);
    EXPECT_TRUE(
        of_content(R"({"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"a"}})").pdf);
}

TEST(content_features, tools_that_run_upstream_are_seen) {
    for (const auto* const type : {"web_search_20260209", "web_fetch_20250910", "code_execution_20260521",
                                   "tool_search_tool_bm25_20251119", "mcp_toolset", "compact_20260112"}) {
        EXPECT_TRUE(read_features(std::string(R"({"tools":[{"name":"x","type":")") + type + "\"}]}").server_tools)
            << type;
    }
    EXPECT_TRUE(read_features(R"({"tools":[{"type":"advisor_20260301"}]})").advisor);
    EXPECT_FALSE(read_features(R"({"tools":[{"type":"bash_20250124","name":"bash"}]})").server_tools);
}

TEST(content_features, searches_are_bounded_by_max_uses) {
    EXPECT_EQ(read_features(R"({"tools":[{"type":"web_search_20260209","max_uses":5}]})").web_searches, 5u);
    EXPECT_EQ(read_features(R"({"tools":[{"type":"web_search_20260209"}]})").web_searches, web_searches_default);
    EXPECT_EQ(read_features(R"({"tools":[{"type":"web_fetch_20260209","max_uses":5}]})").web_searches, 0u);
    EXPECT_EQ(read_features(R"({"tools":[{"type":"web_search_20260209","max_uses":-1}]})").web_searches,
              web_searches_default);
}

TEST(content_features, another_tools_max_uses_bounds_no_searches) {
    EXPECT_GE(read_features(R"({"tools":[{"type":"web_search_20260209"},{"type":"web_fetch_20260209","max_uses":1}]})")
                  .web_searches,
              web_searches_default);
    EXPECT_GE(read_features(R"({"messages":[{"content":[{"type":"tool_use","input":{"max_uses":1}}]}],)"
                            R"("tools":[{"type":"web_search_20260209"}]})")
                  .web_searches,
              web_searches_default);
    EXPECT_EQ(read_features(R"({"tools":[{"max_uses":2,"x":{"max_uses":1},"type":"web_search_20260209"}, )"
                            R"({"type":"web_search_20250305","max_uses":3}]})")
                  .web_searches,
              5u);
    // Of two, upstream may obey the higher one.
    EXPECT_EQ(read_features(R"({"tools":[{"type":"web_search_20260209","max_uses":7,"max_uses":1}]})").web_searches,
              7u);
    EXPECT_GE(read_features(R"({"tools":[{"type":"web_search_20260209","max_uses":1,"max_uses":null}]})").web_searches,
              web_searches_default);
}

TEST(content_features, searches_are_bounded_however_deep_the_body_is) {
    std::string body = R"({"type":"web_search_20260209")";
    for (int i = 0; i < 3'000; ++i) body += R"(,"max_uses":1,"x":{"type":"web_search_20260209")";
    body += R"(,"max_uses":500)" + std::string(3'001, '}');
    EXPECT_GE(read_features(body).web_searches, 3'500u);
}

using names = std::vector<std::string>;

TEST(content_features, models_that_may_answer_too_are_named) {
    const auto found = read_features(
        R"({"model":"a","fallbacks":[{"model":"b","thinking":{"x":[]}},{"model" : "c"},{"max_tokens":5,"model":"b"}],)"
        R"("tools":[{"model":"d","type":"advisor_20260301"},{"type":"custom","model":"e"}],)"
        R"("messages":[{"content":[{"type":"tool_addition","tool":{"type":"advisor_20260301","model":"f"}}]}]})");
    EXPECT_EQ(found.models, (names{"b", "c", "d", "f"}));
    EXPECT_FALSE(found.unnamed_model);
    EXPECT_TRUE(read_features(R"({"model":"a","fallbacks":"default"})").unnamed_model);
    EXPECT_FALSE(read_features(R"({"model":"a","fallbacks":null})").unnamed_model);
    EXPECT_TRUE(read_features(R"({"model":"a","tools":[{"type":"custom","model":"b"}]})").models.empty());
}

TEST(content_features, models_are_named_however_they_are_spelled) {
    EXPECT_EQ(read_features(R"({"model":"a","f\u0061llbacks":[{"m\u006fdel":"\u0062"}]})").models, names{"b"});
    EXPECT_EQ(read_features(R"({"tools":[{"t\u0079pe":"adv\u0069sor_20260301","model":"b"}]})").models, names{"b"});
    EXPECT_TRUE(read_features(R"({"f\u0061llbacks":"default"})").unnamed_model);
    EXPECT_EQ(read_features(R"({"fallbacks":[{"model":"b","model":"c"}],"tools":[)"
                            R"({"type":"custom","type":"advisor_20260301","type":"custom","model":"d"}]})")
                  .models,
              (names{"c", "b", "d"}));
}

TEST(content_features, a_model_in_the_clients_own_data_is_none) {
    const auto found = read_features(
        R"({"fallbacks":[],"messages":[{"content":[{"type":"tool_use","input":{"type":"advisor_2","model":"b"}},)"
        R"({"type":"text","text":"{\"fallbacks\":[{\"model\":\"c\"}]}"}]}],"x":{"fallbacks":[{"model":"d"}]}})");
    EXPECT_TRUE(found.models.empty());
    EXPECT_FALSE(found.unnamed_model);
}

TEST(content_features, more_models_than_are_read_count_as_one_that_is_unknown) {
    std::string body = R"({"fallbacks":[)";
    for (int i = 0; i < 101; ++i) body += R"({"model":")" + std::to_string(i) + "\"},";
    EXPECT_TRUE(read_features(body + "{}]}").unnamed_model);
    body = R"({"type":"advisor_20260301")";
    for (int i = 0; i < 2'000; ++i) body += R"(,"x":{"model":"m")";
    body += R"(,"type":"advisor_20260301")" + std::string(2'001, '}');
    EXPECT_TRUE(read_features(body).unnamed_model);
}

TEST(content_features, what_a_text_says_about_them_is_only_text) {
    const auto found =
        of_content(R"({"type":"text","text":"{\"type\":\"image\"}, \"cache_control\" and \"1h\", \"type\":\"url\", )"
                   R"(\"file_id\""})");
    EXPECT_EQ(found.images, 0u);
    EXPECT_FALSE(found.cache_control || found.one_hour || found.by_reference);
}

TEST(content_features, a_property_called_url_or_type_in_a_schema_is_no_reference) {
    const auto found = read_features(
        R"({"tools":[{"name":"fetch","input_schema":{"type":"object","properties":{"url":{"type":"string"},)"
        R"("type":{"type":"string"}}}}]})");
    EXPECT_FALSE(found.by_reference || found.server_tools);
}

TEST(content_features, who_escapes_plain_letters_has_all_of_them) {
    const auto found = of_content(R"({"\u0074ype":"image"})");
    EXPECT_TRUE(found.cache_control && found.one_hour && found.by_reference && found.server_tools);
    EXPECT_TRUE(of_content(R"({"type":"text","cache\u005fcontrol":{"ttl":"\u0031h"}})").one_hour);
    for (const auto* const usual :
         {R"(\u00e9)", R"(\u003c)", R"(\u003E)", R"(\u0026)", R"(\u001b[0m)", R"(\u2028)", R"(\u007f)", R"(\u005c)"}) {
        EXPECT_FALSE(of_content(std::string(R"({"type":"text","text":")") + usual + "\"}").by_reference) << usual;
    }
}

TEST(content_features, any_bytes_are_survived) {
    const std::string body = R"({"type":"web_search_20260209","max_uses":5,"cache_control":"1h","file_id":"\u0041",)"
                             R"("input":{"a":[]},"fallbacks":[{"model":"m"}],"tools":[{"model":"n","max_uses":"5"}]})";
    for (std::size_t cut = 0; cut <= body.size(); ++cut) {
        read_features(std::string_view(body).substr(0, cut));
        read_features(std::string_view(body).substr(cut));
    }
    EXPECT_TRUE(read_features(body).server_tools);
}

}  // namespace
}  // namespace anthropic
