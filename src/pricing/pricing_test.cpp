// Bounds, and the promise that no answer costs more than the bound of its request. What answers cost is in
// price_golden_test.cpp.
#include "pricing/pricing.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <string>

namespace {

using pricing::price_table;
using pricing::request_facts;

constexpr std::int64_t november_25_2026 = 1'795'564'800'000;
constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

std::string dollars(const pricing::bound& of) { return base::dollars_text(of.cost); }

request_facts plain_request() {
    return {.at_ms = november_25_2026, .body_bytes = 10'000, .max_tokens = 1'000, .has_max_tokens = true};
}

pricing::bound bound_of(std::string_view model, const request_facts& facts) {
    return price_table::shipped().bound_of(model, facts);
}

// Opus 5.5: 4, 5, 8, 0.20 and 20 dollars per million. 1,000 tokens beside the body, 16,000 with tools.
TEST(price_bound, a_byte_is_at_most_a_token) {
    const auto bound = bound_of("claude-opus-5-5", plain_request());
    EXPECT_EQ(bound.input_tokens, 11'000U);
    EXPECT_EQ(bound.output_tokens, 1'000U);
    EXPECT_FALSE(bound.by_context_window);
    EXPECT_EQ(dollars(bound), "0.064");  // 11,000 x 4 + 1,000 x 20
}

TEST(price_bound, cache_writes_take_their_class) {
    auto facts = plain_request();
    facts.cache_writes = true;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.075");  // 11,000 x 5 + 20,000
    facts.one_hour_writes = true;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.108");  // 11,000 x 8 + 20,000
    facts.cache_writes = false;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.108");
}

TEST(price_bound, tools_and_images_add_hidden_tokens) {
    auto facts = plain_request();
    facts.tools = true;
    facts.images = 2;
    const auto bound = bound_of("claude-opus-5-5", facts);
    EXPECT_EQ(bound.input_tokens, 10'000U + 16'000 + 2 * 4'784);
    EXPECT_EQ(dollars(bound), "0.162272");  // 35,568 x 4 + 20,000
}

TEST(price_bound, the_context_window_bounds_what_bytes_do_not) {
    auto facts = plain_request();
    facts.unbounded_input = true;
    const auto unbounded = bound_of("claude-haiku-4-5", facts);
    EXPECT_TRUE(unbounded.by_context_window);
    EXPECT_EQ(unbounded.input_tokens, 200'000U);
    EXPECT_EQ(dollars(unbounded), "0.205");  // 200,000 x 1 + 1,000 x 5
    facts.unbounded_input = false;
    facts.body_bytes = 32'000'000;
    const auto large = bound_of("claude-haiku-4-5", facts);
    EXPECT_TRUE(large.by_context_window);
    EXPECT_EQ(large.input_tokens, 200'000U);
    facts.body_bytes = 199'000;
    EXPECT_FALSE(bound_of("claude-haiku-4-5", facts).by_context_window);
    facts.body_bytes = 199'001;
    EXPECT_TRUE(bound_of("claude-haiku-4-5", facts).by_context_window);
}

TEST(price_bound, without_max_tokens_the_longest_output_is_assumed) {
    auto facts = plain_request();
    facts.has_max_tokens = false;
    EXPECT_EQ(bound_of("claude-opus-5-5", facts).output_tokens, 128'000U);
    EXPECT_EQ(bound_of("claude-3-haiku", facts).output_tokens, 4'096U);
    facts.has_max_tokens = true;
    facts.max_tokens = 0;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.044");  // 11,000 x 4
}

TEST(price_bound, absurd_numbers_make_no_absurd_money) {
    auto facts = plain_request();
    facts.max_tokens = most;
    facts.web_searches_max = most;
    facts.iterations_max = 4;
    EXPECT_EQ(bound_of("claude-opus-5-5", facts).output_tokens, 40'000'000U);
    EXPECT_LT(bound_of("claude-opus-5-5", facts).cost, base::pico_dollars_max / 100);
}

TEST(price_bound, a_prompt_that_may_be_long_is_priced_as_long) {
    auto facts = plain_request();
    facts.body_bytes = 99'000;
    EXPECT_EQ(dollars(bound_of("claude-haiku-5-5", facts)), "0.0105");  // 100,000 x 0.10 + 1,000 x 0.50
    facts.body_bytes = 99'001;
    EXPECT_EQ(dollars(bound_of("claude-haiku-5-5", facts)), "0.0525005");  // 100,001 x 0.50 + 1,000 x 2.50
}

TEST(price_bound, speed_geography_and_batch_have_their_factors) {
    auto facts = plain_request();
    facts.us_only = true;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.0704");  // 0.064 x 1.1
    EXPECT_EQ(dollars(bound_of("claude-haiku-4-5", facts)), "0.016");  // no factor: 11,000 x 1 + 1,000 x 5
    facts.batch = true;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.0352");  // 0.064 x 1.1 x 0.5
    facts = plain_request();
    facts.fast = true;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.128");  // 11,000 x 8 + 1,000 x 40
    facts.batch = true;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.128");
    EXPECT_EQ(dollars(bound_of("claude-opus-4-6", plain_request())), "0.08");  // 11,000 x 5 + 1,000 x 25
    facts.batch = false;
    EXPECT_EQ(dollars(bound_of("claude-opus-4-6", facts)), "0.08");  // fast is ignored
}

TEST(price_bound, searches_and_iterations_multiply) {
    auto facts = plain_request();
    facts.web_searches_max = 5;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.114");  // 0.064 + 5 x 0.01
    facts.iterations_max = 3;
    const auto bound = bound_of("claude-opus-5-5", facts);
    EXPECT_EQ(dollars(bound), "0.242");  // 3 x 0.064 + 0.05
    EXPECT_EQ(bound.input_tokens, 33'000U);
    EXPECT_EQ(bound.output_tokens, 3'000U);
    facts.iterations_max = 0;
    EXPECT_EQ(dollars(bound_of("claude-opus-5-5", facts)), "0.114");
}

TEST(price_bound, another_model_may_answer) {
    auto facts = plain_request();
    facts.any_model = true;
    EXPECT_EQ(dollars(bound_of("claude-haiku-4-5", facts)), "0.24");  // Opus 4.1: 11,000 x 15 + 1,000 x 75
    EXPECT_EQ(dollars(bound_of("claude-opus-9", plain_request())), "0.24");
}

TEST(price_bound, the_row_of_the_day_is_taken) {
    auto facts = plain_request();
    facts.fast = true;
    constexpr std::int64_t december_1_2026 = 1'796'083'200'000;
    facts.at_ms = december_1_2026 - 1;
    EXPECT_EQ(dollars(bound_of("claude-opus-4-8", facts)), "0.16");  // 11,000 x 10 + 1,000 x 50
    facts.at_ms = december_1_2026;
    EXPECT_EQ(dollars(bound_of("claude-opus-4-8", facts)), "0.08");
}

TEST(price_bound, absurd_requests_have_absurd_bounds) {
    const request_facts facts{.body_bytes = most,
                              .images = most,
                              .max_tokens = most,
                              .has_max_tokens = true,
                              .tools = true,
                              .iterations_max = most,
                              .web_searches_max = most};
    const auto bound = bound_of("claude-opus-5-5", facts);
    EXPECT_EQ(bound.cost, base::pico_dollars_max);
    EXPECT_EQ(bound.input_tokens, most);
    EXPECT_EQ(bound.output_tokens, most);
}

TEST(price_cost, absurd_counts_saturate) {
    anthropic::usage usage;
    usage.tokens = {.input_tokens = most,
                    .cache_creation_input_tokens = most,
                    .cache_read_input_tokens = most,
                    .output_tokens = most,
                    .cache_creation_5m = most,
                    .cache_creation_1h = most};
    usage.web_search_requests = most;
    const auto& table = price_table::shipped();
    EXPECT_EQ(table.cost_of(usage, "claude-haiku-5-5", {}).amount, base::pico_dollars_max);
    usage.iterations.assign(3, {.type = "message", .model = "", .tokens = usage.tokens});
    EXPECT_EQ(table.cost_of(usage, "claude-haiku-5-5", {}).amount, base::pico_dollars_max);
    // Counts that wrap around to a short prompt would be priced as one.
    usage = {};
    usage.tokens.input_tokens = 1;
    usage.tokens.cache_read_input_tokens = most;
    EXPECT_EQ(table.cost_of(usage, "claude-haiku-5-5", {}).amount, base::pico_dollars_max);
}

// A random request, and random answers that it may get. The answer is made from what the API promises, not from the
// code under test: tokens of the text at most its bytes, hidden tokens as documented, never more than the window.
class random_exchange {
public:
    explicit random_exchange(std::uint32_t seed) : random_(seed) {}

    std::uint64_t up_to(std::uint64_t largest) {
        return std::uniform_int_distribution<std::uint64_t>(0, largest)(random_);
    }
    // Often the very end of the range.
    std::uint64_t near_to(std::uint64_t largest) {
        const auto kind = up_to(3);
        if (kind == 0) return largest;
        if (kind == 1) return largest - std::min<std::uint64_t>(largest, up_to(3));
        return up_to(largest);
    }
    bool coin() { return up_to(1) == 1; }

    std::string_view model() {
        constexpr std::string_view models[] = {"claude-fable-5-2",
                                               "claude-mythos-5-1",
                                               "claude-fable-5",
                                               "claude-opus-5-5",
                                               "claude-opus-5",
                                               "claude-opus-4-8",
                                               "claude-opus-4-6",
                                               "claude-opus-4-5-20251101",
                                               "claude-opus-4-1",
                                               "claude-sonnet-5-5",
                                               "claude-sonnet-4-6",
                                               "claude-sonnet-4-5",
                                               "us.anthropic.claude-sonnet-4-20250514-v1:0",
                                               "claude-haiku-5-5",
                                               "claude-haiku-5-5[1m]",
                                               "claude-3-5-haiku@20241022",
                                               "claude-3-haiku",
                                               "claude-opus-9",
                                               "claude-sonnet-9",
                                               "claude-haiku-9",
                                               "claude-fable-9",
                                               "something-else"};
        return models[up_to(std::size(models) - 1)];
    }

    request_facts request() {
        constexpr std::uint64_t sizes[] = {500, 99'000, 99'100, 199'000, 300'000, 2'000'000, 32'000'000};
        request_facts facts;
        // From September 2026 to the end of the year: both dated changes lie in between.
        facts.at_ms = 1'788'220'800'000 + static_cast<std::int64_t>(up_to(10'540'800'000));
        facts.body_bytes = near_to(sizes[up_to(std::size(sizes) - 1)]);
        facts.images = coin() ? 0 : up_to(40);
        facts.max_tokens = coin() ? up_to(100) : up_to(200'000);
        facts.has_max_tokens = up_to(4) != 0;
        facts.cache_writes = coin();
        facts.one_hour_writes = facts.cache_writes && coin();
        facts.tools = coin();
        facts.unbounded_input = up_to(5) == 0;
        facts.iterations_max = coin() ? 1 : 1 + up_to(4);
        facts.web_searches_max = coin() ? 0 : up_to(10);
        facts.fast = up_to(3) == 0;
        facts.us_only = up_to(3) == 0;
        facts.batch = up_to(3) == 0;
        facts.any_model = up_to(3) == 0;
        return facts;
    }

    anthropic::token_counts tokens(const request_facts& facts, std::string_view model) {
        request_facts whole = facts;
        whole.unbounded_input = true;
        whole.iterations_max = 1;
        const auto window = price_table::shipped().bound_of(model, whole);
        const auto hidden = facts.tools ? 804U + 325 + 700 + 4'500 + 6'600 : 500U;
        const auto told = facts.body_bytes + facts.images * 4'784 + hidden;
        auto left = near_to(facts.unbounded_input ? window.input_tokens : std::min(told, window.input_tokens));
        anthropic::token_counts counts;
        const auto take = [&] {
            const auto taken = coin() ? near_to(left) : 0;
            left -= taken;
            return taken;
        };
        if (facts.cache_writes) {
            const auto five = take();
            const auto hour = facts.one_hour_writes ? take() : 0;
            counts.cache_creation_input_tokens = five + hour;
            if (coin()) counts.cache_creation_5m = near_to(five);
            if (coin()) counts.cache_creation_1h = near_to(hour);
            counts.cache_read_input_tokens = take();
        }
        counts.input_tokens = left;
        counts.output_tokens = near_to(facts.has_max_tokens ? facts.max_tokens : window.output_tokens);
        return counts;
    }

    anthropic::usage answer(const request_facts& facts, std::string_view model) {
        anthropic::usage usage;
        usage.tokens = tokens(facts, model);
        const auto iterations = coin() ? up_to(facts.iterations_max) : 0;
        for (std::uint64_t i = 0; i < iterations; ++i) {
            const auto its_model = facts.any_model ? this->model() : model;
            usage.iterations.push_back(
                {.type = coin() ? "message" : "compaction", .model = std::string(its_model), .tokens = {}});
            usage.iterations.back().tokens = tokens(facts, its_model);
            if (its_model == model && coin()) usage.iterations.back().model.clear();
        }
        usage.web_search_requests = up_to(facts.web_searches_max);
        if (coin()) usage.speed = facts.fast && coin() ? "fast" : "standard";
        if (coin()) usage.inference_geo = facts.us_only ? "us" : "global";
        if (coin()) usage.service_tier = facts.batch ? "batch" : "standard";
        return usage;
    }

private:
    std::mt19937 random_;
};

TEST(price_bound, no_answer_costs_more) {
    const auto& table = price_table::shipped();
    std::uint64_t close = 0;
    for (std::uint32_t seed = 0; seed < 100'000; ++seed) {
        random_exchange random(seed);
        const auto facts = random.request();
        const auto asked = random.model();
        const auto answered = facts.any_model ? random.model() : asked;
        const auto usage = random.answer(facts, answered);
        const auto cost = table.cost_of(usage, random.coin() || facts.any_model ? answered : "",
                                        {.at_ms = facts.at_ms,
                                         .model_asked = asked,
                                         .one_hour_writes = facts.one_hour_writes,
                                         .us_only = facts.us_only,
                                         .batch = facts.batch});
        const auto bound = table.bound_of(asked, facts);
        ASSERT_LE(cost.amount, bound.cost) << "seed " << seed << ", " << asked << ", " << answered;
        close += cost.amount > bound.cost / 10 * 9;
    }
    // The answers come near to the bounds, else this test would prove nothing.
    EXPECT_GT(close, 1'000U);
}

// Both run on every request on the reactors. The limit is far above what they take, so that a busy machine does not
// fail the test; the number printed is what to look at.
template <class F>
double nanoseconds_each(F call) {
    constexpr int calls = 100'000;
    double best = 1e9;
    for (int round = 0; round < 5; ++round) {
        const auto begin = std::chrono::steady_clock::now();
        for (int i = 0; i < calls; ++i) call();
        const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;
        best = std::min(best, taken.count() / calls);
    }
    return best;
}

TEST(price_speed, a_cost_and_a_bound_take_less_than_two_microseconds) {
    const auto& table = price_table::shipped();
    anthropic::usage usage;
    usage.tokens = {.input_tokens = 1'000,
                    .cache_creation_input_tokens = 500,
                    .cache_read_input_tokens = 50'000,
                    .output_tokens = 800,
                    .cache_creation_5m = 500,
                    .cache_creation_1h = 0};
    usage.service_tier = "standard";
    usage.inference_geo = "global";
    auto facts = plain_request();
    facts.cache_writes = true;
    base::pico_dollars seen = 0;  // so that no call is left out
    for (const auto* model : {"claude-sonnet-5-5", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-opus-9"}) {
        const auto cost = nanoseconds_each([&] {
            ++usage.tokens.output_tokens;
            seen |= table.cost_of(usage, model, {.at_ms = november_25_2026}).amount;
        });
        const auto bound = nanoseconds_each([&] {
            ++facts.max_tokens;
            seen |= table.bound_of(model, facts).cost;
        });
        fmt::print("{}: cost_of {:.0f} ns, bound_of {:.0f} ns\n", model, cost, bound);
        EXPECT_LT(cost, 2'000) << model;
        EXPECT_LT(bound, 2'000) << model;
    }
    EXPECT_GT(seen, 0);
}

}  // namespace
