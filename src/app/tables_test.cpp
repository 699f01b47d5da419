#include "app/tables.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace app {
namespace {

constexpr column columns[] = {{"NAME", "name"}, {"MODELS", "models"}, {"HARD", "hard"}};

TEST(tables, have_aligned_columns_and_no_blanks_at_the_end) {
    const auto rows = boost::json::parse(
        R"([{"name":"a","models":["x","y"],"hard":true},{"name":"größer","models":[],"hard":false,"other":1}])");
    EXPECT_EQ(table_text(rows.as_array(), columns, "none"),
              "NAME    MODELS  HARD\n"
              "a       x,y     yes\n"
              "größer  -       no\n");
}

TEST(tables, say_so_when_they_are_empty) {
    EXPECT_EQ(table_text({}, columns, "There are no teams."), "There are no teams.\n");
}

TEST(tables, keep_from_the_terminal_what_it_would_obey) {
    EXPECT_EQ(cell_text(boost::json::parse(R"("\u001b[31mred\n")")), "?[31mred?");
}

TEST(tables, show_members_line_by_line) {
    const auto what = boost::json::parse(R"({"id":"key_1","expires_at":null,"metadata":{"a":1}})");
    EXPECT_EQ(members_text(what.as_object()),
              "id          key_1\n"
              "expires_at  -\n"
              "metadata    {\"a\":1}\n");
}

}  // namespace
}  // namespace app
