// What parse refuses, in which words, and how two documents become one table.
#include "pricing/price_document.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "pricing/pricing.hpp"

namespace {

using pricing::price_table;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view head = R"(families: [opus, haiku]
batch_factor: 0.5
us_factor: 1.1
dollars_per_1000_web_searches: 10
models:
)";
// Lines 6 to 11 behind `head`.
constexpr std::string_view row = R"(  - model: claude-opus-1
    aliases: [opus-alias]
    context_window: 200000
    output_max: 32000
    us_inference: true
    prices: {input: 4, cache_write_5m: 5, cache_write_1h: 8, cache_read: 0.4, output: 20}
)";

std::string document(std::string_view rows = row) { return std::string(head).append(rows); }

std::string replaced(std::string text, std::string_view what, std::string_view by) {
    const auto place = text.find(what);
    EXPECT_NE(place, text.npos) << what;
    return text.replace(place, what.size(), by);
}

std::vector<std::string> problems_of(std::string_view base, std::string_view overrides = {}) {
    const auto parsed = price_table::parse(base, overrides);
    return parsed ? std::vector<std::string>() : parsed.error();
}

// Of a million tokens.
std::string price(const price_table& table, std::string_view model, std::int64_t at_ms = 0) {
    anthropic::usage usage;
    usage.tokens.input_tokens = 1'000'000;
    return base::dollars_text(table.cost_of(usage, model, {.at_ms = at_ms}).amount);
}

TEST(price_document, a_document_is_read) {
    EXPECT_THAT(problems_of(document()), IsEmpty());
    const auto table = price_table::parse(document());
    ASSERT_TRUE(table);
    EXPECT_EQ(price(*table, "claude-opus-1"), "4");
    EXPECT_EQ(price(*table, "opus-alias"), "4");
}

TEST(price_document, every_problem_is_told_at_once_with_its_line) {
    const auto text = document(R"(  - model: claude-opus-1
    colour: red
    output_max: 0
    us_inference: perhaps
    effective_from: 2026-02-30
    prices: {input: -4, cache_write_5m: 1e3, cache_read: 0.0000001, output: 20}
)");
    EXPECT_THAT(problems_of(text),
                ElementsAre("line 7: `colour` is unknown in a row; known are model, aliases, effective_from, "
                            "context_window, output_max, us_inference, prices, long_prompt, fast",
                            "line 10: `effective_from` must be a day of the calendar, such as 2026-10-07",
                            "line 6: the row of `claude-opus-1` lacks `context_window`",
                            "line 8: `output_max` must be a number of tokens from 1 to 1000000000",
                            "line 9: `us_inference` must be true or false",
                            "line 11: `input` must be dollars as a decimal number, such as 0.25, and not negative",
                            "line 11: `cache_write_5m` must be dollars as a decimal number, such as 0.25, and not "
                            "negative",
                            "line 11: `prices` of `claude-opus-1` lacks `cache_write_1h`",
                            "line 11: `cache_read` is finer than one pico-dollar each; write fewer decimals"));
}

TEST(price_document, what_the_document_must_have_is_named) {
    EXPECT_THAT(problems_of(""),
                ElementsAre("line 1: the document lacks `batch_factor`", "line 1: the document lacks `us_factor`",
                            "line 1: the document lacks `dollars_per_1000_web_searches`",
                            "line 1: the document lacks `families`", "line 1: the document lacks `models`"));
    EXPECT_THAT(problems_of(std::string(head)),
                ElementsAre("line 5: `models` has no value; give one or remove the line",
                            "line 1: the document lacks `models`"));
    EXPECT_THAT(problems_of(document("  []\n")), ElementsAre("line 6: `models` must be a list of rows"));
    EXPECT_THAT(problems_of(document("  - 5\n")),
                ElementsAre("line 6: a row must be a mapping: lines of `name: value`"));
    EXPECT_THAT(problems_of("- 1\n"), ElementsAre("line 1: the document must be a mapping: lines of `name: value`"));
}

TEST(price_document, what_is_no_yaml_is_told_with_its_line) {
    EXPECT_THAT(problems_of(document() + "    - [\n"), ElementsAre(testing::StartsWith("line ")));
    EXPECT_THAT(problems_of(document() + "---\n" + document()),
                ElementsAre("line 1: must be one YAML document, with nothing after it"));
    EXPECT_THAT(problems_of(std::string(2'000'000, ' ')),
                ElementsAre("line 1: the document is longer than 1048576 bytes"));
    EXPECT_THAT(problems_of(std::string(100'000, '[')), ElementsAre(testing::HasSubstr("is not YAML")));
}

TEST(price_document, what_stands_behind_the_document_is_refused) {
    for (const auto* rest : {"]", "}", ",", "---\n", "--- a", "...\na: 1"})
        EXPECT_THAT(problems_of(document() + rest), testing::SizeIs(1)) << rest;
    for (const auto* text : {",", "]", "}", ": ", "- ", "?", "%", "!", "&", "*", "\"", "'", "|", "\t", "@"})
        EXPECT_THAT(problems_of(text), testing::Not(IsEmpty())) << text;
    EXPECT_THAT(problems_of("---\n" + document() + "...\n"), IsEmpty());
}

TEST(price_document, merge_keys_and_repeated_keys_are_refused) {
    EXPECT_THAT(problems_of(document(std::string(row) + "    <<: {output_max: 1}\n")),
                ElementsAre("line 12: merge keys (`<<`) are not supported; write the values out"));
    EXPECT_THAT(problems_of(document(std::string(row) + "    output_max: 1\n")),
                ElementsAre("line 12: `output_max` is set a second time in a row; remove one of the two"));
    EXPECT_THAT(problems_of(document(std::string(row) + "    fast:\n")),
                ElementsAre("line 12: `fast` has no value; give one or remove the line"));
}

TEST(price_document, a_model_has_one_row_a_day_and_a_name_one_model) {
    EXPECT_THAT(problems_of(document(std::string(row).append(row))),
                ElementsAre("line 12: `claude-opus-1` has a row with the same effective_from on line 6; remove one of "
                            "the two"));
    const auto other = replaced(std::string(row), "claude-opus-1", "claude-opus-2");
    EXPECT_THAT(problems_of(document(std::string(row) + other)),
                ElementsAre("line 12: `opus-alias` is a name of `claude-opus-1` already; give the prices of that model "
                            "there"));
    const auto named_as_alias = replaced(std::string(row), "claude-opus-1", "opus-alias");
    EXPECT_THAT(problems_of(document(std::string(row) + named_as_alias)), testing::SizeIs(1));
}

TEST(price_document, odd_values_are_refused) {
    const auto refuses = [](std::string_view what, std::string_view by) {
        EXPECT_THAT(problems_of(replaced(document(), what, by)), testing::SizeIs(1)) << by;
    };
    for (const auto* price : {"input: $4", "input: .4", "input: 4.", "input: 0x4", "input: [4]", "input: +4",
                              "input: 1_000", "input: nan", "input: 9000001", "input: ''", "input: 4 5"})
        refuses("input: 4", price);
    for (const auto* factor : {"batch_factor: 1.1", "batch_factor: -1", "batch_factor: 0.5000001", "batch_factor: x"})
        refuses("batch_factor: 0.5", factor);
    for (const auto* factor : {"us_factor: 0.9", "us_factor: 10.1", "us_factor: {}"}) refuses("us_factor: 1.1", factor);
    for (const auto* names : {"aliases: x", "aliases: [[x]]", "aliases: [\"\"]", "aliases: [\"a b\"]"})
        refuses("aliases: [opus-alias]", names);
    for (const auto* words : {"families: []", "families: opus", "families: [opus, opus]"})
        refuses("families: [opus, haiku]", words);
    for (const auto* count : {"context_window: -1", "context_window: 1.5", "context_window: 1000000001"})
        refuses("context_window: 200000", count);
}

TEST(price_document, days_are_days_of_the_calendar) {
    const auto with_date = [](const std::string& date) {
        return problems_of(document(std::string(row) + "    effective_from: " + date + "\n"));
    };
    EXPECT_THAT(with_date("2028-02-29"), IsEmpty());
    for (const auto* date : {"2026-02-29", "2026-13-01", "2026-1-1", "2026-10-07T00:00:00Z", "20261007", "today"})
        EXPECT_THAT(with_date(date), testing::SizeIs(1)) << date;
}

TEST(price_document, a_threshold_belongs_to_long_prompts_only) {
    const std::string prices = "input: 4, cache_write_5m: 5, cache_write_1h: 8, cache_read: 0.4, output: 20}\n";
    EXPECT_THAT(problems_of(document(std::string(row) + "    long_prompt: {above: 5, " + prices)), IsEmpty());
    EXPECT_THAT(problems_of(document(std::string(row) + "    long_prompt: {" + prices)),
                ElementsAre("line 12: `long_prompt` of `claude-opus-1` lacks `above`"));
    EXPECT_THAT(problems_of(document(std::string(row) + "    fast: {above: 5, " + prices)),
                ElementsAre(testing::StartsWith("line 12: `above` is unknown in `fast` of `claude-opus-1`")));
}

TEST(price_document, a_fraction_of_a_pico_dollar_is_charged_whole) {
    // A millionth of a dollar per million tokens is 1 pico-dollar a token; half of it and 1.1 of it are fractions.
    const auto table = price_table::parse(replaced(document(), "input: 4", "input: 0.000001"));
    ASSERT_TRUE(table);
    anthropic::usage usage;
    usage.tokens.input_tokens = 10;
    EXPECT_EQ(table->cost_of(usage, "claude-opus-1", {}).amount, 10);
    EXPECT_EQ(table->cost_of(usage, "claude-opus-1", {.batch = true}).amount, 10);
    EXPECT_EQ(table->cost_of(usage, "claude-opus-1", {.us_only = true}).amount, 20);
}

TEST(price_document, rows_may_stand_in_any_order) {
    const auto dated = [](std::string_view input, std::string_view day) {
        return replaced(replaced(std::string(row), "input: 4", input), "    output_max",
                        std::string("    effective_from: ").append(day).append("\n    output_max"));
    };
    const auto table = price_table::parse(
        document(dated("input: 3", "1970-01-03") + std::string(row) + dated("input: 2", "1970-01-02")));
    ASSERT_TRUE(table);
    constexpr std::int64_t day = 86'400'000;
    EXPECT_EQ(price(*table, "claude-opus-1", 0), "4");
    EXPECT_EQ(price(*table, "claude-opus-1", day), "2");
    EXPECT_EQ(price(*table, "claude-opus-1", 2 * day), "3");
}

TEST(price_document, an_unknown_model_is_never_cheaper_than_its_family) {
    // Long prompts that are cheaper, with two thresholds: between them the short price of the second model is higher
    // than both long ones.
    const auto with_long = [](std::string_view model, std::string_view price, std::string_view long_price) {
        return replaced(replaced(replaced(std::string(row), "    aliases: [opus-alias]\n", ""), "claude-opus-1", model),
                        "input: 4", std::string("input: ").append(price)) +
               std::string("    long_prompt: {cache_write_5m: 5, cache_write_1h: 8, cache_read: 0.4, output: 20, ")
                   .append(long_price)
                   .append("}\n");
    };
    const auto table = price_table::parse(document(with_long("claude-opus-1", "2", "above: 1000, input: 1") +
                                                   with_long("claude-opus-2", "3", "above: 5000000, input: 1")));
    ASSERT_TRUE(table);
    EXPECT_EQ(price(*table, "claude-opus-1"), "1");
    EXPECT_EQ(price(*table, "claude-opus-2"), "3");
    EXPECT_EQ(price(*table, "claude-opus-3"), "3");
}

TEST(price_overrides, replace_rows_of_the_same_day_and_keep_the_names) {
    const auto changed =
        replaced(replaced(std::string(row), "input: 4", "input: 3"), "    aliases: [opus-alias]\n", "");
    const auto table = price_table::parse(document(), "models:\n" + changed);
    ASSERT_TRUE(table);
    EXPECT_EQ(price(*table, "claude-opus-1"), "3");
    EXPECT_EQ(price(*table, "opus-alias"), "3");
    EXPECT_TRUE(table->knows("opus-alias"));
    // What was replaced is no longer the highest of its family.
    EXPECT_EQ(price(*table, "claude-opus-9"), "3");
}

TEST(price_overrides, add_rows_models_and_names) {
    const auto later = replaced(replaced(std::string(row), "input: 4", "input: 2"), "    output_max",
                                "    effective_from: 2026-10-07\n    output_max");
    const auto other = replaced(replaced(replaced(std::string(row), "input: 4", "input: 0.1"), "opus-1", "own-1"),
                                "opus-alias", "my-deployment");
    const auto table = price_table::parse(document(), "models:\n" + later + other);
    ASSERT_TRUE(table);
    constexpr std::int64_t october_7 = 1'791'331'200'000;
    EXPECT_EQ(price(*table, "claude-opus-1", october_7 - 1), "4");
    EXPECT_EQ(price(*table, "claude-opus-1", october_7), "2");
    EXPECT_EQ(price(*table, "my-deployment"), "0.1");
    EXPECT_TRUE(table->knows("claude-own-1"));
}

TEST(price_overrides, replace_the_values_above_the_rows) {
    const auto table = price_table::parse(document(), "batch_factor: 0.25\ndollars_per_1000_web_searches: 20\n");
    ASSERT_TRUE(table);
    anthropic::usage usage;
    usage.tokens.input_tokens = 1'000'000;
    usage.web_search_requests = 1;
    EXPECT_EQ(base::dollars_text(table->cost_of(usage, "claude-opus-1", {.batch = true}).amount), "1.02");
}

TEST(price_overrides, problems_name_the_document) {
    EXPECT_THAT(problems_of(document(), "modles: []\n"),
                ElementsAre(testing::StartsWith("overrides, line 1: `modles` is unknown in the document")));
    const auto as_alias = replaced(std::string(row), "claude-opus-1", "opus-alias");
    EXPECT_THAT(problems_of(document(), "models:\n" + as_alias),
                ElementsAre(testing::StartsWith("overrides, line 2: `opus-alias` is a name of `claude-opus-1`")));
}

TEST(price_overrides, may_be_nothing_but_comments) {
    const auto table = price_table::parse(document(), "# nothing yet\n");
    ASSERT_TRUE(table);
    EXPECT_EQ(price(*table, "claude-opus-1"), "4");
}

TEST(price_table, its_id_changes_with_its_documents) {
    const auto table = price_table::parse(document());
    const auto again = price_table::parse(document());
    const auto with_override = price_table::parse(document(), "batch_factor: 0.25\n");
    ASSERT_TRUE(table && again && with_override);
    EXPECT_THAT(table->id(), testing::MatchesRegex("[0-9a-f]{16}"));
    EXPECT_EQ(table->id(), again->id());
    EXPECT_NE(table->id(), with_override->id());
    EXPECT_EQ(table->yaml(), document());
    EXPECT_EQ(with_override->yaml(), document() + "---\nbatch_factor: 0.25\n");
}

TEST(price_table, the_shipped_one_is_the_file_of_the_repository) {
    const auto& table = price_table::shipped();
    EXPECT_EQ(&table, &price_table::shipped());
    EXPECT_TRUE(table.knows("claude-opus-5-5"));
    EXPECT_TRUE(table.knows("us.anthropic.claude-haiku-4-5-20251001-v1:0"));
    EXPECT_FALSE(table.knows("claude-opus-9"));
    // It can be its own override: each row finds its twin.
    const auto twice = price_table::parse(table.yaml(), table.yaml());
    ASSERT_TRUE(twice) << twice.error().front();
    EXPECT_EQ(price(*twice, "claude-sonnet-5-5"), "2");
}

}  // namespace
