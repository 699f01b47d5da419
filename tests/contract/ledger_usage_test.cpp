// What the database answers about usage and about one request.
#include "ledger/explain.hpp"
#include "ledger/usage_query.hpp"
#include "ledger_fixture.hpp"

namespace contract {
namespace {

using ledger::usage_filter;
using ledger::usage_group;

constexpr std::int64_t midnight = 1'780'012'800'000;  // 2026-05-29
constexpr std::int64_t hour = 3'600'000;

class ledger_usage : public ledger_suite {
public:
    void SetUp() override {
        ledger_suite::SetUp();
        if (HasFatalFailure()) return;
        ledger::journal journal(settings);
        ledger::lane& lane = journal.add_lane();
        const auto add = [&](const char* id, const char* team, const char* key, const char* tags, std::int64_t at,
                             base::pico_dollars cost) {
            const kept_attempt each{id, team, key, "claude-a", tags, at, cost, 10};
            lane.finish(lane.open(each.made()), each.made(), {});
        };
        add("r1", "t1", "k1", R"(["blue","red"])", midnight, 1);
        add("r2", "t1", "k1", R"(["blue"])", midnight + hour, 20);
        add("r3", "t1", "k2", "[]", midnight + 25 * hour, 300);
        add("r4", "t2", "k3", R"(["a\"b\u00fc"])", midnight - 1, 4'000);
        kept_attempt again{"r4", "t2", "k3", "claude-b", "[]", midnight, 50'000, 10};
        ledger::attempt failed = again.made();
        failed.number = 2;
        failed.result = ledger::outcome::failed;
        lane.finish(lane.open(failed), failed, {});
        lane.refuse({.request_id = "r5",
                     .at_ms = midnight,
                     .team_id = "t1",
                     .key_id = "k1",
                     .model = "claude-a",
                     .status = 429,
                     .reason = "budget_exhausted",
                     .detail = "The budget is used up."});
        ASSERT_TRUE(writer_of(journal)->flush(in(30)).is_complete());
    }
    // "group,group cost" a row.
    std::vector<std::string> rows(const usage_filter& filter) {
        std::vector<std::string> lines;
        for (const auto& row : ledger::query_usage(*on, filter).rows) {
            std::string line;
            for (const auto& group : row.group) line += group + ",";
            lines.push_back(line + std::to_string(row.sum.cost));
        }
        return lines;
    }
    using lines = std::vector<std::string>;
};

TEST_P(ledger_usage, without_groups_there_is_one_row_with_everything) {
    const auto report = ledger::query_usage(*on, {});
    ASSERT_EQ(report.rows.size(), 1u);
    EXPECT_EQ(report.rows[0].sum, report.totals);
    EXPECT_EQ(report.totals.attempts, 5);
    EXPECT_EQ(report.totals.cost, 54'321);
    EXPECT_EQ(report.totals.input_tokens, 50);
    EXPECT_EQ(report.totals.output_tokens, 35);
    EXPECT_TRUE(report.is_complete);
}

TEST_P(ledger_usage, rows_are_grouped_and_sorted_and_add_up) {
    EXPECT_EQ(rows({.group_by = {usage_group::team}}), (lines{"t1,321", "t2,54000"}));
    EXPECT_EQ(rows({.group_by = {usage_group::key, usage_group::model}}),
              (lines{"k1,claude-a,21", "k2,claude-a,300", "k3,claude-a,4000", "k3,claude-b,50000"}));
    EXPECT_EQ(rows({.group_by = {usage_group::day}}), (lines{"2026-05-28,4000", "2026-05-29,50021", "2026-05-30,300"}));
    EXPECT_EQ(
        rows({.group_by = {usage_group::hour, usage_group::hour}}),
        (lines{"2026-05-28T23:00Z,4000", "2026-05-29T00:00Z,50001", "2026-05-29T01:00Z,20", "2026-05-30T01:00Z,300"}));
    EXPECT_EQ(rows({.group_by = {usage_group::outcome}}), (lines{"complete,4321", "failed,50000"}));
    const auto report = ledger::query_usage(*on, {.group_by = {usage_group::hour, usage_group::model}});
    ledger::usage_counts sum;
    for (const auto& row : report.rows) sum += row.sum;
    EXPECT_EQ(sum, report.totals);
}

TEST_P(ledger_usage, an_attempt_counts_in_each_of_its_tags_and_once_in_the_totals) {
    const usage_filter by_tag{.group_by = {usage_group::tag}};
    EXPECT_EQ(rows(by_tag), (lines{",50300", "a\"b\xc3\xbc,4000", "blue,21", "red,1"}));
    EXPECT_EQ(ledger::query_usage(*on, by_tag).totals.cost, 54'321);
    EXPECT_EQ(rows({.tag = "blue", .group_by = {usage_group::team}}), (lines{"t1,21"}));
    EXPECT_EQ(rows({.tag = "blue", .group_by = {usage_group::tag}}), (lines{"blue,21", "red,1"}));
    EXPECT_EQ(rows({.tag = "a\"b\xc3\xbc"}), (lines{"4000"}));
    EXPECT_EQ(rows({.tag = "gre%"}), (lines{"0"}));
}

TEST_P(ledger_usage, filters_and_whole_hours) {
    EXPECT_EQ(rows({.team_id = "t2"}), (lines{"54000"}));
    EXPECT_EQ(rows({.key_id = "k1", .from_ms = midnight + 1, .to_ms = midnight + 1}), (lines{"1"}));
    EXPECT_EQ(rows({.model = "claude-b"}), (lines{"50000"}));
    EXPECT_EQ(rows({.from_ms = midnight}), (lines{"50321"}));
    EXPECT_EQ(rows({.to_ms = midnight}), (lines{"4000"}));
    EXPECT_EQ(rows({.team_id = "nobody", .group_by = {usage_group::team}}), lines{});
    const auto report = ledger::query_usage(*on, {.from_ms = midnight + 5, .to_ms = midnight + hour + 1});
    EXPECT_EQ(report.from_ms, midnight);
    EXPECT_EQ(report.to_ms, midnight + 2 * hour);
}

TEST_P(ledger_usage, a_report_that_is_too_long_says_so_and_has_all_in_its_totals) {
    const auto report = ledger::query_usage(*on, {.group_by = {usage_group::hour}, .rows_max = 2});
    EXPECT_EQ(report.rows.size(), 2u);
    EXPECT_FALSE(report.is_complete);
    EXPECT_EQ(report.totals.cost, 54'321);
}

TEST_P(ledger_usage, a_request_is_explained) {
    const auto one = ledger::explain(*on, "r4");
    ASSERT_EQ(one.attempts.size(), 2u);
    EXPECT_EQ(one.attempts[0].attempt_id, "r4.1");
    EXPECT_EQ(one.attempts[1].attempt_id, "r4.2");
    EXPECT_EQ(one.attempts[1].outcome, "failed");
    EXPECT_FALSE(one.refused);
    const auto json = ledger::to_json(one, "r4");
    EXPECT_TRUE(json.starts_with(R"({"request_id":"r4","attempts":[{"attempt_id":"r4.1","started_at":1780012799999,)"))
        << json;
    EXPECT_NE(json.find(R"("tags":["a\"b\u00fc"],)"), std::string::npos) << json;
    EXPECT_NE(json.find(R"("details":{"route":"messages","hold_pico":8000}})"), std::string::npos) << json;
    EXPECT_TRUE(json.ends_with(R"("refusal":null,"cost_pico":54000,"cost_dollars":"0.000000054"})")) << json;

    const auto refused = ledger::explain(*on, "r5");
    EXPECT_TRUE(refused.attempts.empty());
    ASSERT_TRUE(refused.refused);
    EXPECT_EQ(refused.refused->reason, "budget_exhausted");
    EXPECT_NE(ledger::to_json(refused, "r5").find(R"("details":{"detail":"The budget is used up."})"),
              std::string::npos);
    EXPECT_FALSE(ledger::explain(*on, "r").is_known());
}

TEST_P(ledger_usage, sums_that_do_not_add_up_are_found) {
    EXPECT_TRUE(ledger::verify_sums(*on).add_up());
    on->execute("UPDATE claude_proxy.usage_hourly SET cost_pico = cost_pico + 1 WHERE key_id = $1", {"k2"});
    on->execute("DELETE FROM claude_proxy.spend_daily WHERE scope = $1 AND scope_id = $2", {"team", "t2"});
    const auto check = ledger::verify_sums(*on);
    EXPECT_EQ(check.attempts, 5u);
    EXPECT_EQ(check.differences.size(), 4u) << "one hour twice, two days of a team";
    const auto later = ledger::verify_sums(*on, midnight + 1);
    EXPECT_EQ(later.attempts, 1u);
    EXPECT_EQ(later.differences.size(), 2u);
}

RUN_ON_EVERY_DATABASE(ledger_usage);

}  // namespace
}  // namespace contract
