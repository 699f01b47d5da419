#include "gateway/model_filter.hpp"

#include <gtest/gtest.h>

namespace gateway {
namespace {

governance::caller haiku_only() {
    governance::caller who;
    who.key_models = {"claude-haiku-*"};
    return who;
}

TEST(model_filter, keeps_what_the_caller_may_use_byte_for_byte) {
    EXPECT_EQ(filter_models(R"({"data":[{"type":"model","id":"claude-opus-4-8","n":1.0},)"
                            R"( {"id" : "claude-haiku-5-5", "x":{"a":[1,2]}, "n":1.50}, {"id":"claude-haiku-4-5"}],)"
                            R"("has_more":true,"first_id":"claude-opus-4-8","last_id":"claude-haiku-4-5"})",
                            haiku_only()),
              R"({"data":[{"id" : "claude-haiku-5-5", "x":{"a":[1,2]}, "n":1.50},{"id":"claude-haiku-4-5"}],)"
              R"("has_more":true,"first_id":"claude-haiku-5-5","last_id":"claude-haiku-4-5"})");
}

TEST(model_filter, shows_nothing_rather_than_what_it_cannot_read) {
    constexpr std::string_view nothing = R"({"data":[],"has_more":false,"first_id":null,"last_id":null})";
    for (const auto* const body : {"", "x", "[]", R"({"data":[1]})", R"({"data":[{"name":"claude-opus-4-8"}]})",
                                   R"({"data":[{"id":"claude-haiku-1"},{"id":5}]})"}) {
        EXPECT_EQ(filter_models(body, haiku_only()), nothing) << body;
    }
}

}  // namespace
}  // namespace gateway
