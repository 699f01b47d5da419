#include <gtest/gtest.h>

#include "ledger/usage_query.hpp"

namespace ledger {
namespace {

usage_report sample() {
    usage_report of;
    of.group_by = {usage_group::team, usage_group::tag};
    of.from_ms = 1'780'000'000'000 / 3'600'000 * 3'600'000;
    usage_counts sum{.attempts = 2,
                     .input_tokens = 30,
                     .output_tokens = 4,
                     .cost = 1'500'000'000'001,
                     .cost_low = 1,
                     .cost_high = 2'000'000'000'000};
    of.rows = {{{"team_a", "=HYPERLINK(\"x\")"}, sum}, {{"team, \"b\"", "+1"}, sum}, {{"team\nc", ""}, {}}};
    of.totals = sum;
    return of;
}

TEST(usage_text, csv_has_quotes_where_they_are_needed_and_no_formulas) {
    EXPECT_EQ(to_csv(sample()),
              "team,tag,attempts,input_tokens,cache_write_5m_tokens,cache_write_1h_tokens,cache_read_tokens,"
              "output_tokens,web_searches,cost_pico,cost_dollars,cost_low_pico,cost_low_dollars,cost_high_pico,"
              "cost_high_dollars\r\n"
              "team_a,\"'=HYPERLINK(\"\"x\"\")\",2,30,0,0,0,4,0,1500000000001,1.500000000001,1,0.000000000001,"
              "2000000000000,2\r\n"
              "\"team, \"\"b\"\"\",\"'+1\",2,30,0,0,0,4,0,1500000000001,1.500000000001,1,0.000000000001,2000000000000,2"
              "\r\n"
              "\"team\nc\",,0,0,0,0,0,0,0,0,0,0,0,0,0\r\n");
}

TEST(usage_text, csv_of_a_report_without_groups_begins_with_the_numbers) {
    usage_report of;
    of.rows = {{{}, {.attempts = 1}}};
    EXPECT_TRUE(to_csv(of).starts_with("attempts,input_tokens,"));
    EXPECT_NE(to_csv(of).find("\r\n1,0,"), std::string::npos);
}

TEST(usage_text, json_has_money_as_an_integer_and_as_dollars) {
    usage_report of = sample();
    of.rows.resize(1);
    const std::string counts =
        R"("attempts":2,"input_tokens":30,"cache_write_5m_tokens":0,"cache_write_1h_tokens":0,"cache_read_tokens":0,)"
        R"("output_tokens":4,"web_searches":0,"cost_pico":1500000000001,"cost_dollars":"1.500000000001",)"
        R"("cost_low_pico":1,"cost_low_dollars":"0.000000000001","cost_high_pico":2000000000000,)"
        R"("cost_high_dollars":"2"})";
    EXPECT_EQ(to_json(of),
              R"json({"from":1779998400000,"to":null,"group_by":["team","tag"],"complete":true,"totals":{)json" +
                  counts + R"json(,"rows":[{"team":"team_a","tag":"=HYPERLINK(\"x\")",)json" + counts + "]}");
}

TEST(usage_text, groups_have_names_and_names_have_groups) {
    for (const auto* name : {"team", "key", "model", "tag", "day", "hour", "outcome"}) {
        const auto found = usage_group_named(name);
        ASSERT_TRUE(found) << name;
        EXPECT_EQ(name_of(*found), name);
    }
    EXPECT_FALSE(usage_group_named("weather"));
}

}  // namespace
}  // namespace ledger
