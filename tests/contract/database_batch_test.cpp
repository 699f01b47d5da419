// Many rows at once: the ledger's way into every database.
#include <cstdio>

#include "database/migrations.hpp"
#include "database_fixture.hpp"

namespace contract {
namespace {

constexpr auto integer = column::type::integer;
constexpr auto text = column::type::text;

constexpr column thing_columns[] = {{"name", text}, {"size", integer}, {"note", text}};

class batches : public database_suite {
public:
    void SetUp() override {
        database_suite::SetUp();
        if (HasFatalFailure()) return;
        on = connect();
        if (!is_sqlite()) on->run_script("CREATE SCHEMA claude_proxy");
        on->run_script("CREATE TABLE claude_proxy.things (name TEXT PRIMARY KEY, size BIGINT, note TEXT)");
    }
    std::int64_t count() { return integer_of(on->query("SELECT COUNT(*) FROM claude_proxy.things")[0][0]); }
    std::unique_ptr<connection> on;
};

TEST_P(batches, only_rows_that_were_inserted_are_returned) {
    on->execute("INSERT INTO claude_proxy.things (name, size) VALUES ('thing 7', 70), ('thing 4999', 70)");
    batch rows("claude_proxy.things", thing_columns, "ON CONFLICT (name) DO NOTHING", "name");
    const auto add = [&](int number, std::int64_t size) {
        rows.add("thing " + std::to_string(number));
        rows.add(size);
        rows.add("a note");
    };
    for (int i = 0; i < 4'000; ++i) add(i, i);
    for (int i = 3'500; i < 4'500; ++i) add(i, -1);  // half of them twice in this batch
    ASSERT_EQ(rows.rows(), 5'000u);
    const auto inserted = on->insert(rows);
    ASSERT_EQ(inserted.size(), 4'499u);  // not thing 7
    std::vector<std::string> names;
    for (const auto& name : inserted) names.push_back(text_of(name));
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
    EXPECT_FALSE(std::binary_search(names.begin(), names.end(), "thing 7"));
    EXPECT_EQ(on->query("SELECT COUNT(*), SUM(size), COUNT(*) FILTER (WHERE size = -1) FROM claude_proxy.things"),
              (std::vector<database::row>{
                  {std::int64_t{4'501}, std::int64_t{3'999 * 4'000 / 2 - 7 + 140 - 500}, std::int64_t{500}}}));
    EXPECT_TRUE(on->insert(rows).empty());
    EXPECT_EQ(count(), 4'501);
}

TEST_P(batches, the_column_that_is_returned_may_be_an_integer) {
    batch rows("claude_proxy.things", thing_columns, "ON CONFLICT (name) DO NOTHING", "size");
    rows.add("a");
    rows.add(-5);
    rows.add_null();
    EXPECT_EQ(on->insert(rows), (std::vector<value>{std::int64_t{-5}}));
}

TEST_P(batches, every_value_arrives_as_it_was) {
    using namespace std::string_literals;
    const auto lowest = std::numeric_limits<std::int64_t>::min(), highest = std::numeric_limits<std::int64_t>::max();
    batch rows("claude_proxy.things", thing_columns, "");
    const auto add = [&](std::string_view name, std::int64_t size, std::string_view note) {
        rows.add(name);
        rows.add(size);
        rows.add(note);
    };
    add("", 0, "");
    add("'); DROP TABLE claude_proxy.things; --", lowest, "{\"json\": [1, \"two\"], \"NULL\": \"{}\\\\\"}");
    add("\u00e4\u4e2d\U0001F600\n\t", highest, std::string(200'000, 'x'));
    add("NULL", -1, "nul\0byte\xff"s);
    rows.add_null();
    rows.add_null();
    rows.add_null();
    EXPECT_EQ(kind_of_failure([&] {
                  batch nameless("claude_proxy.things", thing_columns, "");
                  nameless.add("good");
                  nameless.add(1);
                  nameless.add_null();
                  nameless.add("good");
                  nameless.add(2);
                  nameless.add_null();
                  on->insert(nameless);
              }),
              failure_kind::conflict);
    EXPECT_EQ(count(), 0) << "a batch is written as a whole or not at all";
    on->execute("DROP TABLE claude_proxy.things");
    on->run_script("CREATE TABLE claude_proxy.things (name TEXT, size BIGINT, note TEXT)");
    EXPECT_TRUE(on->insert(rows).empty());
    EXPECT_EQ(
        on->query("SELECT name, size, note FROM claude_proxy.things ORDER BY size IS NULL, size"),
        (std::vector<database::row>{
            {"'); DROP TABLE claude_proxy.things; --"s, lowest, "{\"json\": [1, \"two\"], \"NULL\": \"{}\\\\\"}"s},
            {"NULL"s, std::int64_t{-1},
             "nul\xEF\xBF\xBD"
             "byte\xEF\xBF\xBD"s},
            {""s, std::int64_t{0}, ""s},
            {"\u00e4\u4e2d\U0001F600\n\t"s, highest, std::string(200'000, 'x')},
            {value{}, value{}, value{}},
        }));
}

TEST_P(batches, an_empty_one_does_nothing_and_a_cleared_one_starts_over) {
    batch rows("claude_proxy.things", thing_columns, "", "name");
    EXPECT_TRUE(on->insert(rows).empty());
    for (int round = 0; round < 3; ++round) {
        rows.clear();
        rows.add("round " + std::to_string(round));
        rows.add(round);
        rows.add_null();
        EXPECT_EQ(on->insert(rows), (std::vector<value>{"round " + std::to_string(round)}));
    }
    EXPECT_EQ(count(), 3);
}

TEST_P(batches, an_update_on_conflict_adds_up) {
    for (int round = 1; round <= 3; ++round) {
        batch rows("claude_proxy.things", thing_columns,
                   "ON CONFLICT (name) DO UPDATE SET size = claude_proxy.things.size + EXCLUDED.size");
        for (const char* name : {"a", "b"}) {
            rows.add(name);
            rows.add(round);
            rows.add_null();
        }
        on->insert(rows);
    }
    EXPECT_EQ(on->query("SELECT size FROM claude_proxy.things"),
              (std::vector<database::row>{{std::int64_t{6}}, {std::int64_t{6}}}));
}

TEST_P(batches, belong_to_the_transaction_around_them) {
    batch rows("claude_proxy.things", thing_columns, "");
    rows.add("a");
    rows.add(1);
    rows.add_null();
    {
        transaction whole(*on);
        on->insert(rows);
        EXPECT_EQ(count(), 1);
    }
    EXPECT_EQ(count(), 0);
    transaction whole(*on);
    on->insert(rows);
    whole.commit();
    EXPECT_EQ(count(), 1);
}

constexpr column ledger_columns[] = {
    {"attempt_id", text},
    {"started_at", integer},
    {"finished_at", integer},
    {"replica", text},
    {"team_id", text},
    {"key_id", text},
    {"model", text},
    {"tags", text},
    {"status", integer},
    {"outcome", text},
    {"input_tokens", integer},
    {"cache_write_5m_tokens", integer},
    {"cache_write_1h_tokens", integer},
    {"cache_read_tokens", integer},
    {"output_tokens", integer},
    {"web_searches", integer},
    {"cost_pico", integer},
    {"cost_low_pico", integer},
    {"cost_high_pico", integer},
    {"price_table", text},
    {"details", text},
};

void add_attempt(batch& rows, int number) {
    const std::int64_t started = 1'796'000'000'000 + number * 7;
    char id[48];
    std::snprintf(id, sizeof id, "req_%08x%016llx.1", number, number * 0x9E3779B97F4A7C15ULL);
    rows.add(id);
    rows.add(started);
    rows.add(started + 2'345);
    rows.add("replica-5f6d8c7b9-x2x4z");
    rows.add("team_01HZX4V7Q2M8");
    rows.add("key_01HZX4V7Q2M8K3J5");
    rows.add("claude-sonnet-4-5-20250929");
    rows.add("[\"support\",\"europe\"]");
    rows.add(200);
    rows.add("complete");
    for (const std::int64_t tokens : {1'234, 2'048, 0, 16'384, 512, 0}) rows.add(tokens);
    for (int i = 0; i < 3; ++i) rows.add(std::int64_t{24'117'600'000});
    rows.add("2026-11-24-3f2a9c");
    rows.add(
        "{\"route\":\"messages\",\"stream\":true,\"stop_reason\":\"end_turn\",\"message_id\":\"msg_"
        "013Zva2CMHLNnXjNJKqJ2EF\","
        "\"upstream_request_id\":\"req_018EeWyXxfu5pfWkrYcMdjWG\",\"user_agent\":\"anthropic-sdk-python/0.71.0\","
        "\"bytes_in\":48213,\"bytes_out\":9120,\"overhead_us\":180,\"total_us\":2345000}");
}

// TEST_THROUGHPUT=1 in a release build on a quiet machine: the bar below.
TEST_P(batches, throughput) {
    constexpr int batch_rows = 2'000, rows_per_second_min = 20'000;
    const bool is_measured = environment("TEST_THROUGHPUT") == "1";
    const int total = is_measured ? 100'000 : 10'000;
    database::migrate(*on);
    database::ensure_partitions(*on, 1'796'000'000'000);
    batch rows("claude_proxy.attempts", ledger_columns, "ON CONFLICT (attempt_id, started_at) DO NOTHING",
               "attempt_id");
    std::chrono::steady_clock::duration built{};
    std::size_t inserted = 0;
    const auto began = std::chrono::steady_clock::now();
    for (int first = 0; first < total; first += batch_rows) {
        const auto build_began = std::chrono::steady_clock::now();
        rows.clear();
        for (int i = first; i < first + batch_rows; ++i) add_attempt(rows, i);
        built += std::chrono::steady_clock::now() - build_began;
        inserted += on->insert(rows).size();
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    const double cells = static_cast<double>(total) * std::size(ledger_columns);
    const double per_second = total / seconds;
    std::printf("%s: %.0f ledger rows/s, %.1f ns to build a cell\n", GetParam(), per_second,
                std::chrono::duration<double, std::nano>(built).count() / cells);
    EXPECT_EQ(inserted, static_cast<std::size_t>(total));
    EXPECT_EQ(on->query("SELECT COUNT(*), SUM(cost_pico), SUM(input_tokens) FROM claude_proxy.attempts"),
              (std::vector<database::row>{
                  {std::int64_t{total}, std::int64_t{total} * 24'117'600'000, std::int64_t{total} * 1'234}}));
    if (is_measured) EXPECT_GE(per_second, rows_per_second_min);
}

RUN_ON_EVERY_DATABASE(batches);

}  // namespace
}  // namespace contract
