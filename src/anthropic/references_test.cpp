#include "anthropic/references.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace anthropic {
namespace {

using ids = std::vector<std::string>;

TEST(references, files_skills_and_the_container_are_found_at_any_depth) {
    EXPECT_EQ(read_references(R"({"messages":[{"content":[{"type":"document","source":{"type":"file",
        "file_id" : "file_a"}},{"type":"container_upload","file_id":"file_b"}]}],"container":{"id":"container_c",
        "skills":[{"type":"custom","skill_id":"skill_d","version":"latest"}]}})")
                  .ids,
              (ids{"file_a", "file_b", "container_c", "skill_d"}));
    EXPECT_EQ(read_references(R"({"container":"container_e"})").ids, ids{"container_e"});
}

TEST(references, an_id_is_found_however_it_is_spelled) {
    EXPECT_EQ(read_references(R"({"fil\u0065_id":"file\u005fa"})").ids, ids{"file_a"});
    EXPECT_EQ(read_references(R"({"\u0063ontainer":{"\u0069d":"\u0063ontainer_a"}})").ids, ids{"container_a"});
    EXPECT_EQ(read_references(R"({"text":"a \"quote\\","x":{"file_id":"file_a"}})").ids, ids{"file_a"});
}

TEST(references, both_of_a_doubled_member_are_found_and_each_id_once) {
    EXPECT_EQ(read_references(R"([{"file_id":"file_a","file_id":"file_b"},{"file_id":"file_a"}])").ids,
              (ids{"file_a", "file_b"}));
}

TEST(references, what_only_looks_like_one_is_none) {
    EXPECT_TRUE(read_references(R"({"text":"\"file_id\":\"file_a\"","file_id":"f-1","skill_id":"pptx",
        "id":"container_a","x":["file_id","file_b"],"container":null})")
                    .ids.empty());
}

TEST(references, the_clients_own_data_has_none) {
    EXPECT_TRUE(read_references(R"({"input":{"a":[{"file_id":"file_a"}]},"input_examples":[{"file_id":"file_b"}]})")
                    .ids.empty());
    EXPECT_EQ(read_references(R"([{"input":{"file_id":"file_a"}},{"file_id":"file_b"}])").ids, ids{"file_b"});
}

TEST(references, a_list_without_end_is_bounded) {
    std::string body = "[";
    for (std::size_t i = 0; i < references_max; ++i) body += fmt::format(R"({{"file_id":"file_{}"}},)", i);
    EXPECT_FALSE(read_references(body).too_many);
    EXPECT_TRUE(read_references(body + R"({"file_id":"file_x"})").too_many);
}

TEST(references, broken_text_ends_the_search) {
    for (const char* text : {"", "\"", "{\"file_id\"", "{\"file_id\":", "{\"file_id\":\"file_a", "]]]", "{\"a\\"}) {
        EXPECT_LE(read_references(text).ids.size(), 1U) << text;
    }
}

}  // namespace
}  // namespace anthropic
