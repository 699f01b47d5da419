#include "base/nearest.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace base {
namespace {

TEST(names, are_compared_by_the_edits_between_them) {
    EXPECT_EQ(edit_distance("", ""), 0u);
    EXPECT_EQ(edit_distance("abc", ""), 3u);
    EXPECT_EQ(edit_distance("", "abc"), 3u);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
    EXPECT_EQ(edit_distance("LISTEN", "LISTEN"), 0u);
}

TEST(names, that_are_nearly_right_get_a_suggestion) {
    constexpr std::array<std::string_view, 3> known{"CLAUDE_PROXY_LISTEN", "CLAUDE_PROXY_THREADS",
                                                    "CLAUDE_PROXY_ADMIN_LISTEN"};
    EXPECT_EQ(nearest("CLAUDE_PROXY_LISTENN", known), "CLAUDE_PROXY_LISTEN");
    EXPECT_EQ(nearest("CLAUDE_PROXY_THRAEDS", known), "CLAUDE_PROXY_THREADS");
    EXPECT_EQ(nearest("CLAUDE_PROXY_NO_SUCH_THING", known), "");
    EXPECT_EQ(nearest(std::string(100'000, 'A'), known), "") << "and it does not take a minute";
}

}  // namespace
}  // namespace base
