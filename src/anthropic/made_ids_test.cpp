#include "anthropic/made_ids.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace anthropic {
namespace {

std::vector<std::string> found_in(std::string_view text, std::size_t piece) {
    std::vector<std::string> all;
    made_ids ids;
    for (std::size_t at = 0; at < text.size(); at += piece) {
        ids.feed(text.substr(at, piece), [&](const std::string& id) { all.push_back(id); });
    }
    return all;
}

constexpr std::string_view answer =
    R"(data: {"type":"message_start","message":{"container":{"id":"container_011A","expires_at":"x"}}}

data: {"content_block":{"content":{"content":[{"type":"bash_code_execution_output","file_id": "file_011B"},)"
    R"({"file_id":"file_011B"}]}}}

data: {"delta":{"text":"say \"file_id\":\"file_no\" and {\"id\":\"container_no\"}"}}
data: {"x":"file_no2","file_id":"other","id":"file_no3","file_idx":"file_no4"}
)";

TEST(made_ids, files_and_the_container_are_found_in_pieces_of_any_size) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{64}, answer.size()}) {
        auto found = found_in(answer, piece);
        std::ranges::sort(found);
        EXPECT_EQ(found, (std::vector<std::string>{"container_011A", "file_011B"})) << piece;
    }
}

TEST(made_ids, what_the_model_calls_a_tool_with_is_no_id) {
    constexpr std::string_view called =
        R"({"content":[{"type":"tool_use","id":"toolu_1","input":{"file_id":"file_no","d":[{"file_id":"file_no2"}]}},)"
        R"({"type":"server_tool_use","input":{"id":"container_no"}},{"file_id":"file_yes"}],)"
        R"("container":{"id":"container_yes"},"input":"file_id","text":{"file_id":"file_yes2"}})";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{9}, called.size()}) {
        EXPECT_EQ(found_in(called, piece), (std::vector<std::string>{"file_yes", "container_yes", "file_yes2"}))
            << piece;
    }
}

TEST(made_ids, members_hidden_in_strings_and_escapes_are_none) {
    EXPECT_TRUE(found_in(R"({"a":"\",\"file_id\":\"file_no\"","b":"x\\","file_id":"fi\u006ce_no"})", 3).empty());
    EXPECT_TRUE(found_in(R"(["file_id","file_no"])", 3).empty());
    EXPECT_EQ(found_in(R"({"b":"x\\","file_id":"file_yes"})", 3).size(), 1u);
}

TEST(made_ids, an_id_without_end_is_none) {
    EXPECT_TRUE(found_in("{\"file_id\":\"file_" + std::string(1000, 'x') + "\"}", 100).empty());
    EXPECT_TRUE(found_in("{\"file_id\":\"file_1", 5).empty());
}

}  // namespace
}  // namespace anthropic
