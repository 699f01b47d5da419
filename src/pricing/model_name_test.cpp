#include "pricing/model_name.hpp"

#include <gtest/gtest.h>

namespace {

using pricing::without_date;
using pricing::without_decoration;

TEST(model_name, a_plain_name_stays) {
    EXPECT_EQ(without_decoration("claude-opus-5-5"), "claude-opus-5-5");
    EXPECT_EQ(without_decoration(""), "");
    EXPECT_EQ(without_decoration("claude-vision"), "claude-vision");
    EXPECT_EQ(without_decoration("claude-v-next"), "claude-v-next");
    EXPECT_EQ(without_decoration("used.claude"), "used.claude");
}

TEST(model_name, decorations_of_other_platforms_are_taken_off) {
    EXPECT_EQ(without_decoration("us.anthropic.claude-x-20250805-v1:0"), "claude-x-20250805");
    EXPECT_EQ(without_decoration("us-gov.anthropic.claude-x-v2:0:200k"), "claude-x");
    EXPECT_EQ(without_decoration("anthropic.claude-x-v1"), "claude-x");
    EXPECT_EQ(without_decoration("claude-x@20250805"), "claude-x");
    EXPECT_EQ(without_decoration("claude-x@20250805[1m]"), "claude-x");
    EXPECT_EQ(without_decoration("publishers/anthropic/models/claude-x@default"), "claude-x");
    EXPECT_EQ(without_decoration("arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-x-v1:0"),
              "claude-x");
}

TEST(model_name, what_is_nothing_but_decoration_becomes_empty) {
    for (const auto* name : {"[1m]", "@", "/", "us.", "us.anthropic.", "-v1:0", "]"})
        EXPECT_LE(without_decoration(name).size(), 1U) << name;
}

TEST(model_name, only_a_date_at_the_end_is_a_date) {
    EXPECT_EQ(without_date("claude-x-20250805"), "claude-x");
    EXPECT_EQ(without_date("claude-x-2025080"), "claude-x-2025080");
    EXPECT_EQ(without_date("claude-x-19990805"), "claude-x-19990805");
    EXPECT_EQ(without_date("claude-20250805-x"), "claude-20250805-x");
    EXPECT_EQ(without_date("-20250805"), "-20250805");
    EXPECT_EQ(without_date(""), "");
}

}  // namespace
