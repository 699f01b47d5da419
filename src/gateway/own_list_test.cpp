#include "gateway/own_list.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace gateway {
namespace {

using ids = std::vector<std::string>;

bool nobodys(std::string_view) { return false; }
bool plain_names(std::string_view id) { return !id.starts_with("skill_"); }

anthropic::list_page by_id(const ids& entries, bool more) {
    anthropic::list_page page;
    for (const auto& id : entries) page.entries.push_back({id, fmt::format(R"({{"id":"{}"}})", id)});
    page.has_more = page.tells_more = more;
    return page;
}
anthropic::list_page by_token(const ids& entries, std::string next) {
    auto page = by_id(entries, !next.empty());
    page.tells_more = false;
    page.by_token = true;
    page.next_page = std::move(next);
    return page;
}

// What the client gets: the ids, the cursors and whether there is more.
struct shown {
    ids entries;
    bool has_more = false;
    std::string next_page;
};
shown shown_by(const own_page& page, bool cut = false) {
    const auto text = page.text(cut);
    if (!text) return {{"nothing can be said"}, false, {}};
    const auto read = anthropic::read_list_page(*text);
    shown made{{}, read->has_more, read->next_page};
    for (const auto& entry : read->entries) made.entries.push_back(entry.id);
    return made;
}

TEST(own_list, a_query_is_read_and_the_rest_of_it_kept_as_it_came) {
    const auto read = read_list_query("ids[]=a%20b&limit=5&beta=true&after_id=msg%5F1");
    EXPECT_EQ(read.limit, 5U);
    EXPECT_EQ(read.after_id, "msg_1");
    EXPECT_EQ(read.others, "ids[]=a%20b&beta=true");
    EXPECT_EQ(upstream_query(read, 1000), "ids[]=a%20b&beta=true&limit=1000&after_id=msg_1");
    EXPECT_EQ(read_list_query("").limit, 20U);
}

TEST(own_list, a_limit_that_is_none_is_left_to_the_upstream_to_refuse) {
    for (const char* limit : {"0", "1001", "x", "-1", ""}) {
        const auto read = read_list_query(fmt::format("limit={}", limit));
        EXPECT_TRUE(read.limit_is_odd) << limit;
        EXPECT_EQ(upstream_query(read, 1000), fmt::format("limit={}", limit));
    }
}

TEST(own_list, a_page_is_filled_from_several_of_the_upstreams) {
    own_page page(read_list_query("limit=2"), {"a", "d", "f"}, nobodys);
    EXPECT_FALSE(page.add(by_id({"a", "b"}, true)));
    EXPECT_EQ(page.next_query(10), "limit=10&after_id=b");
    EXPECT_FALSE(page.add(by_id({"c", "d"}, true)));
    EXPECT_TRUE(page.add(by_id({"e", "f"}, true)));
    EXPECT_EQ(shown_by(page).entries, (ids{"a", "d"}));
    EXPECT_TRUE(shown_by(page).has_more);
}

TEST(own_list, the_search_ends_when_all_of_the_teams_were_seen) {
    own_page page(read_list_query("limit=2"), {"a", "b"}, nobodys);
    EXPECT_TRUE(page.add(by_id({"a", "b", "x"}, true)));
    EXPECT_FALSE(shown_by(page).has_more);
    own_page behind_a_cursor(read_list_query("limit=2&after_id=a"), {"a", "b"}, nobodys);
    EXPECT_FALSE(behind_a_cursor.add(by_id({"b", "x"}, true))) << "a was not to come by, so that b could be the last";
    EXPECT_TRUE(behind_a_cursor.add(by_id({"y"}, false)));
    EXPECT_FALSE(shown_by(behind_a_cursor).has_more);
}

TEST(own_list, backwards_the_nearest_entries_come_in_the_order_of_the_list) {
    own_page page(read_list_query("limit=2&before_id=z"), {"a", "c", "e", "z"}, nobodys);
    EXPECT_FALSE(page.add(by_id({"e", "f"}, true)));
    EXPECT_EQ(page.next_query(10), "limit=10&before_id=e");
    EXPECT_TRUE(page.add(by_id({"a", "b", "c", "d"}, false)));
    EXPECT_EQ(shown_by(page).entries, (ids{"c", "e"}));
    EXPECT_TRUE(shown_by(page).has_more);
}

TEST(own_list, a_token_goes_on_behind_the_last_entry_that_was_given_out) {
    const std::unordered_set<std::string> own = {"a", "c", "d", "f"};
    own_page first(read_list_query("limit=2"), own, nobodys);
    EXPECT_TRUE(first.add(by_token({"a", "b", "c", "d"}, "p2")));
    EXPECT_EQ(shown_by(first).entries, (ids{"a", "c"}));
    own_page second(read_list_query("limit=2&page=" + shown_by(first).next_page), own, nobodys);
    EXPECT_EQ(second.next_query(10), "limit=10") << "the same page of the upstream, the first";
    EXPECT_FALSE(second.add(by_token({"new", "a", "b", "c", "d"}, "p2")));
    EXPECT_EQ(second.next_query(10), "limit=10&page=p2");
    EXPECT_TRUE(second.add(by_token({"e", "f"}, "")));
    EXPECT_EQ(shown_by(second).entries, (ids{"d", "f"}));
    EXPECT_FALSE(shown_by(second).has_more);
}

TEST(own_list, a_search_that_is_cut_short_says_that_there_is_more_or_nothing) {
    own_page tokens(read_list_query(""), {"a"}, nobodys);
    EXPECT_FALSE(tokens.add(by_token({"x"}, "p2")));
    EXPECT_EQ(shown_by(tokens, true).next_page, "p2");
    own_page some(read_list_query(""), {"a", "b"}, nobodys);
    EXPECT_FALSE(some.add(by_id({"a", "x"}, true)));
    EXPECT_TRUE(shown_by(some, true).has_more);
    own_page none(read_list_query(""), {"a"}, nobodys);
    EXPECT_FALSE(none.add(by_id({"x"}, true)));
    EXPECT_FALSE(none.text(true)) << "no id of the team's could be a cursor";
}

TEST(own_list, what_is_everybodys_is_shown_to_all) {
    own_page page(read_list_query(""), {"skill_a"}, plain_names);
    EXPECT_TRUE(page.add(by_token({"skill_a", "pptx", "skill_b"}, "")));
    EXPECT_EQ(shown_by(page).entries, (ids{"skill_a", "pptx"}));
}

}  // namespace
}  // namespace gateway
