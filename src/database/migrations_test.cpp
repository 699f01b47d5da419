#include "database/migrations.hpp"

#include <gtest/gtest.h>

namespace database {
namespace {

TEST(migrations, are_numbered_from_one_without_gaps_and_named_after_their_files) {
    std::uint32_t expected = 0;
    for (const auto& one : migrations()) {
        EXPECT_EQ(one.number, ++expected);
        EXPECT_EQ(one.name.find_first_not_of("0123456789"), 4u) << one.name;
        EXPECT_EQ(one.name.find('/'), std::string_view::npos);
        EXPECT_FALSE(one.sql.empty());
    }
    EXPECT_GE(expected, 1u);
}

TEST(migrations, lines_for_one_engine_are_kept_from_the_other) {
    const migration what{.number = 1,
                         .name = "0001_a",
                         .sql =
                             "one\n-- only: postgres\ntwo\n-- all\nthree\n-- only: sqlite\nfour\n-- only: postgres\n"
                             "five\n-- all\n-- only: a comment\nsix"};
    EXPECT_THROW(text_for(what, engine::sqlite), failure) << "nobody is called 'a comment'";
    const migration good{.number = 1, .name = "0001_a", .sql = what.sql.substr(0, what.sql.find("-- only: a"))};
    EXPECT_EQ(text_for(good, engine::sqlite), "one\n\n\n\nthree\n\nfour\n\n\n\n");
    EXPECT_EQ(text_for(good, engine::postgres), "one\n\ntwo\n\nthree\n\n\n\nfive\n\n");
}

TEST(migrations, every_table_has_row_level_security_on_postgres) {
    for (const auto& one : migrations()) {
        const auto sql = text_for(one, engine::postgres);
        constexpr std::string_view create = "CREATE TABLE ";
        for (auto at = sql.find(create); at != std::string::npos; at = sql.find(create, at + 1)) {
            const auto name = sql.substr(at + create.size(), sql.find(' ', at + create.size()) - at - create.size());
            EXPECT_NE(sql.find("ALTER TABLE " + name + " ENABLE ROW LEVEL SECURITY;"), std::string::npos) << name;
        }
    }
}

}  // namespace
}  // namespace database
