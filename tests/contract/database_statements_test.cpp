// Statements, parameters and values mean the same on every database.
#include <limits>

#include "database_fixture.hpp"

namespace contract {
namespace {

class statements : public database_suite {
public:
    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on = connect();
        if (!is_sqlite()) on->run_script("CREATE SCHEMA claude_proxy");
        on->run_script(
            "CREATE TABLE claude_proxy.things (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, note TEXT, size "
            "BIGINT);"
            "CREATE TABLE claude_proxy.parts (thing BIGINT NOT NULL REFERENCES claude_proxy.things (id), number "
            "BIGINT)");
    }
    void add(std::int64_t id, const std::string& name, const value& note = {}, const value& size = {}) {
        on->execute("INSERT INTO claude_proxy.things (id, name, note, size) VALUES ($1, $2, $3, $4)",
                    {id, name, note, size});
    }
    std::unique_ptr<connection> on;
};

TEST_P(statements, integers_texts_and_nulls_come_back_as_they_went_in) {
    const auto lowest = std::numeric_limits<std::int64_t>::min(), highest = std::numeric_limits<std::int64_t>::max();
    add(lowest, "low", std::string("a note"), highest);
    add(0, "", {}, {});
    add(highest, "12345", std::string(100'000, 'x'), std::int64_t{-1});
    const auto rows = on->query("SELECT id, name, note, size FROM claude_proxy.things ORDER BY id");
    const std::vector<database::row> expected{
        {lowest, std::string("low"), std::string("a note"), highest},
        {std::int64_t{0}, std::string(), value{}, value{}},
        {highest, std::string("12345"), std::string(100'000, 'x'), std::int64_t{-1}},
    };
    EXPECT_EQ(rows, expected);
}

TEST_P(statements, a_query_without_rows_has_none_and_an_update_tells_how_many_it_touched) {
    add(1, "one");
    add(2, "two");
    EXPECT_TRUE(on->query("SELECT id FROM claude_proxy.things WHERE id = $1", {3}).empty());
    EXPECT_EQ(on->execute("UPDATE claude_proxy.things SET size = $1", {7}), 2u);
    EXPECT_EQ(on->execute("UPDATE claude_proxy.things SET size = $1 WHERE id = $2", {8, 9}), 0u);
    EXPECT_EQ(on->execute("DELETE FROM claude_proxy.things WHERE id = $1", {1}), 1u);
    EXPECT_EQ(on->execute("INSERT INTO claude_proxy.things (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
                          {2, "again"}),
              0u);
}

TEST_P(statements, parameters_go_by_their_numbers_whatever_their_order_and_however_often) {
    EXPECT_EQ(on->query("SELECT CAST($2 AS TEXT), CAST($1 AS BIGINT)", {1, "two"}),
              (std::vector<database::row>{{std::string("two"), std::int64_t{1}}}));
    add(1, "one", std::string("one"));
    const auto rows = on->query(
        "SELECT id FROM claude_proxy.things WHERE name = $2 AND note = $2 AND id = $1 AND $1 = id", {1, "one"});
    EXPECT_EQ(rows.size(), 1u);
}

TEST_P(statements, a_missing_parameter_is_invalid) {
    EXPECT_EQ(kind_of_failure([&] { on->query("SELECT id FROM claude_proxy.things WHERE id = $1"); }),
              failure_kind::invalid);
    EXPECT_EQ(kind_of_failure([&] { on->query("SELECT id FROM claude_proxy.things WHERE id = $2", {1}); }),
              failure_kind::invalid);
}

TEST_P(statements, a_null_goes_into_any_column_and_compares_with_is_not_distinct_from) {
    add(1, "one", {}, {});
    add(2, "two", std::string("x"), std::int64_t{5});
    const auto with = [&](const value& note) {
        return on->query("SELECT id FROM claude_proxy.things WHERE note IS NOT DISTINCT FROM $1", {note});
    };
    EXPECT_EQ(with({}), (std::vector<database::row>{{std::int64_t{1}}}));
    EXPECT_EQ(with(std::string("x")), (std::vector<database::row>{{std::int64_t{2}}}));
    EXPECT_EQ(on->execute("UPDATE claude_proxy.things SET note = $1, size = $2 WHERE id = 2", {value{}, value{}}), 1u);
    EXPECT_EQ(on->query("SELECT note, size FROM claude_proxy.things WHERE id = 2"),
              (std::vector<database::row>{{value{}, value{}}}));
}

TEST_P(statements, returning_gives_what_was_written) {
    add(1, "one", {}, std::int64_t{10});
    const auto upsert = [&](std::int64_t id, std::int64_t size) {
        return on->query(
            "INSERT INTO claude_proxy.things (id, name, size) VALUES ($1, $2, $3) "
            "ON CONFLICT (id) DO UPDATE SET size = claude_proxy.things.size + EXCLUDED.size RETURNING id, size",
            {id, "thing " + std::to_string(id), size});
    };
    EXPECT_EQ(upsert(1, 5), (std::vector<database::row>{{std::int64_t{1}, std::int64_t{15}}}));
    EXPECT_EQ(upsert(2, 5), (std::vector<database::row>{{std::int64_t{2}, std::int64_t{5}}}));
    EXPECT_EQ(on->query("UPDATE claude_proxy.things SET size = size * 2 WHERE size > $1 RETURNING size", {10}),
              (std::vector<database::row>{{std::int64_t{30}}}));
    EXPECT_EQ(on->query("DELETE FROM claude_proxy.things WHERE id = $1 RETURNING name", {2}),
              (std::vector<database::row>{{std::string("thing 2")}}));
}

TEST_P(statements, sums_counts_and_truths_are_integers) {
    add(1, "a", {}, std::int64_t{4'000'000'000'000'000'000});
    add(2, "b", {}, std::int64_t{4'000'000'000'000'000'000});
    add(3, "c", {}, std::int64_t{-1});
    EXPECT_EQ(on->query("SELECT SUM(size), COUNT(*), MAX(size), COUNT(*) FILTER (WHERE size < 0), "
                        "CAST(SUM(size) AS BIGINT), COALESCE(SUM(size), 0), TRUE, 1 = 2, AVG(id) "
                        "FROM claude_proxy.things"),
              (std::vector<database::row>{
                  {std::int64_t{7'999'999'999'999'999'999}, std::int64_t{3}, std::int64_t{4'000'000'000'000'000'000},
                   std::int64_t{1}, std::int64_t{7'999'999'999'999'999'999}, std::int64_t{7'999'999'999'999'999'999},
                   std::int64_t{1}, std::int64_t{0}, std::int64_t{2}}}));
    EXPECT_EQ(on->query("SELECT SUM(size) FROM claude_proxy.things WHERE id > 3"),
              (std::vector<database::row>{{value{}}}));
}

TEST_P(statements, a_sum_stops_at_the_ends_of_the_range) {
    constexpr auto highest = std::numeric_limits<std::int64_t>::max(),
                   lowest = std::numeric_limits<std::int64_t>::min();
    add(1, "a", {}, highest);
    add(2, "b", {}, std::int64_t{5});
    EXPECT_EQ(on->query("SELECT SUM(size), COALESCE(SUM(id), 0) FROM claude_proxy.things"),
              (std::vector<database::row>{{highest, std::int64_t{3}}}));
    // On its way a sum may leave the range, and what leaves a window is taken off exactly.
    add(3, "c", {}, std::int64_t{-7});
    EXPECT_EQ(on->query("SELECT SUM(size), SUM(size) FILTER (WHERE id = 3) FROM claude_proxy.things"),
              (std::vector<database::row>{{highest - 2, std::int64_t{-7}}}));
    EXPECT_EQ(on->query("SELECT SUM(size) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) "
                        "FROM claude_proxy.things ORDER BY id"),
              (std::vector<database::row>{{highest}, {highest}, {std::int64_t{-2}}}));
    on->execute("UPDATE claude_proxy.things SET size = $1 WHERE id < 3", {lowest});
    EXPECT_EQ(on->query("SELECT SUM(size) FROM claude_proxy.things"), (std::vector<database::row>{{lowest}}));
    EXPECT_EQ(on->query("SELECT SUM(id * 0.5) FROM claude_proxy.things"),
              (std::vector<database::row>{{std::int64_t{3}}}));
}

TEST_P(statements, a_unique_or_foreign_key_that_is_violated_is_a_conflict) {
    add(1, "one");
    EXPECT_EQ(kind_of_failure([&] { add(1, "other"); }), failure_kind::conflict);
    EXPECT_EQ(kind_of_failure([&] { add(2, "one"); }), failure_kind::conflict);
    EXPECT_EQ(kind_of_failure([&] { on->execute("INSERT INTO claude_proxy.parts VALUES ($1, $2)", {9, 1}); }),
              failure_kind::conflict);
    on->execute("INSERT INTO claude_proxy.parts VALUES ($1, $2)", {1, 1});
    EXPECT_EQ(kind_of_failure([&] { on->execute("DELETE FROM claude_proxy.things"); }), failure_kind::conflict);
    add(2, "the connection still works");
}

TEST_P(statements, what_is_no_sql_or_names_what_is_not_there_is_invalid) {
    for (const char* sql : {"SELEC 1", "SELECT * FROM claude_proxy.nowhere", "SELECT nothing FROM claude_proxy.things",
                            "", "SELECT 1; SELECT 2", "SELECT ?"}) {
        EXPECT_EQ(kind_of_failure([&] { on->query(sql); }), failure_kind::invalid) << sql;
    }
    EXPECT_EQ(on->query("SELECT 1;"), (std::vector<database::row>{{std::int64_t{1}}}));
}

TEST_P(statements, no_text_is_ever_read_as_sql) {
    const std::string bad = "'); DROP TABLE claude_proxy.things; --";
    add(1, bad, std::string("\"quoted\" 'single' \\ $1 $2 %s {} claude_proxy.things"));
    EXPECT_EQ(on->query("SELECT name, note, 'claude_proxy.things' FROM claude_proxy.things WHERE name = $1", {bad}),
              (std::vector<database::row>{{bad, std::string("\"quoted\" 'single' \\ $1 $2 %s {} claude_proxy.things"),
                                           std::string("claude_proxy.things")}}));
}

TEST_P(statements, texts_are_unicode_and_what_is_not_is_replaced) {
    const std::string good = "\u00e4\u00f6\u4e2d\U0001F600 \n\t\r\x01\x7f";
    add(1, good);
    EXPECT_EQ(on->query("SELECT name FROM claude_proxy.things WHERE name = $1", {good}),
              (std::vector<database::row>{{good}}));
    using namespace std::string_literals;
    add(2, "nul\0byte"s, "\xff\xfe \xc3( \xed\xa0\x80 \xf4\x90\x80\x80 \xe4\xb8"s);
    const auto r = [](int count) {
        std::string made;
        while (count-- > 0) made += "\xEF\xBF\xBD";
        return made;
    };
    EXPECT_EQ(on->query("SELECT name, note FROM claude_proxy.things WHERE name = $1", {"nul\0byte"s}),
              (std::vector<database::row>{
                  {"nul" + r(1) + "byte", r(2) + " " + r(1) + "( " + r(3) + " " + r(4) + " " + r(2)}}));
}

TEST_P(statements, a_script_happens_as_a_whole_or_not_at_all) {
    on->run_script(
        "INSERT INTO claude_proxy.things (id, name) VALUES (1, 'a;b'); -- it's a comment; with a quote\n"
        "INSERT INTO claude_proxy.things (id, name) VALUES (2, 'c');");
    EXPECT_EQ(integer_of(on->query("SELECT COUNT(*) FROM claude_proxy.things")[0][0]), 2);
    EXPECT_EQ(kind_of_failure([&] {
                  on->run_script(
                      "DELETE FROM claude_proxy.things; "
                      "INSERT INTO claude_proxy.things (id, name) VALUES (3, 'a'), (3, 'b')");
              }),
              failure_kind::conflict);
    EXPECT_EQ(integer_of(on->query("SELECT COUNT(*) FROM claude_proxy.things")[0][0]), 2);
}

TEST_P(statements, more_kinds_of_statements_than_are_kept_still_work) {
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 300; ++i) {
            EXPECT_EQ(on->query("SELECT CAST($1 AS BIGINT) + " + std::to_string(i), {1}),
                      (std::vector<database::row>{{std::int64_t{i} + 1}}));
        }
    }
}

TEST_P(statements, a_table_that_changes_its_shape_is_seen_by_connections_that_used_it) {
    const auto other = connect();
    add(1, "one");
    EXPECT_EQ(other->query("SELECT * FROM claude_proxy.things")[0].size(), 4u);
    on->run_script("ALTER TABLE claude_proxy.things ADD COLUMN extra BIGINT NOT NULL DEFAULT 7");
    EXPECT_EQ(other->query("SELECT * FROM claude_proxy.things"),
              (std::vector<database::row>{{std::int64_t{1}, std::string("one"), value{}, value{}, std::int64_t{7}}}));
}

RUN_ON_EVERY_DATABASE(statements);

}  // namespace
}  // namespace contract
