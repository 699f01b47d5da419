#include "anthropic/list_page.hpp"

#include <gtest/gtest.h>

namespace anthropic {
namespace {

TEST(list_page, a_page_by_id_is_read_and_written_byte_for_byte) {
    const std::string body = R"({"data":[{"id":"a", "n":1.0},{"n":[{"id":"x"}],"id":"b"}],"has_more":true,)"
                             R"("first_id":"a","last_id":"b"})";
    const auto page = read_list_page(body);
    ASSERT_TRUE(page);
    ASSERT_EQ(page->entries.size(), 2U);
    EXPECT_EQ(page->entries[1].id, "b");
    EXPECT_TRUE(page->has_more);
    EXPECT_FALSE(page->by_token);
    EXPECT_EQ(write_list_page(*page), body);
}

TEST(list_page, a_page_by_token_keeps_its_scheme) {
    for (const std::string body : {R"({"data":[{"id":"a"}],"next_page":"page_1"})", R"({"data":[],"next_page":null})",
                                   R"({"data":[],"has_more":false,"next_page":null})"}) {
        const auto page = read_list_page(body);
        ASSERT_TRUE(page) << body;
        EXPECT_TRUE(page->by_token);
        EXPECT_EQ(write_list_page(*page), body);
    }
}

TEST(list_page, an_empty_page_has_no_first_and_no_last) {
    EXPECT_EQ(write_list_page({}), R"({"data":[],"has_more":false,"first_id":null,"last_id":null})");
}

TEST(list_page, what_is_no_page_is_told_apart) {
    for (const char* body : {"", "[]", "{}", R"({"data":{}})", R"({"data":[1]})", R"({"data":[{"n":1}]})",
                             R"({"data":[{"id":5}]})", R"({"data":[{"id":"a"})"}) {
        EXPECT_FALSE(read_list_page(body)) << body;
    }
}

}  // namespace
}  // namespace anthropic
