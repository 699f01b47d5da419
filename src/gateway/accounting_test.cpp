#include "gateway/accounting.hpp"

#include <gtest/gtest.h>

namespace gateway {
namespace {

using anthropic::answer_state;
using ledger::outcome;

// claude-opus-4-8: 5 dollars a million input tokens, 25 a million output tokens.
constexpr base::pico_dollars input_price = 5'000'000, output_price = 25'000'000;
const pricing::answer_facts asked{.at_ms = 1'795'000'000'000, .model_asked = "claude-opus-4-8"};
const pricing::bound most{
    .input_tokens = 1'000, .output_tokens = 500, .cost = 1'000 * input_price + 500 * output_price};
constexpr std::uint64_t body_bytes = 400;

anthropic::metered seen(answer_state state, std::uint64_t input, std::uint64_t output) {
    anthropic::metered made;
    made.state = state;
    made.model = "claude-opus-4-8";
    made.counts.tokens.input_tokens = input;
    made.counts.tokens.output_tokens = output;
    return made;
}

bill bill_for(const anthropic::metered& answer, const bill_facts& how) {
    return bill_of(pricing::price_table::shipped(), answer, how, asked, most, body_bytes);
}

TEST(bill, a_whole_answer_costs_what_it_says) {
    const auto made = bill_for(seen(answer_state::complete, 10, 3), {.answered = true, .status = 200, .sent = true});
    EXPECT_EQ(made.result, outcome::complete);
    EXPECT_EQ(made.cost, 10 * input_price + 3 * output_price);
    EXPECT_EQ(made.low, made.cost);
    EXPECT_EQ(made.high, made.cost);
    EXPECT_FALSE(made.unknown_model);
}

TEST(bill, what_was_refused_failed_or_never_sent_costs_nothing) {
    const auto answer = seen(answer_state::complete, 10, 3);
    for (const bill_facts& how :
         {bill_facts{.answered = true, .status = 529, .sent = true}, bill_facts{},
          bill_facts{.answered = true, .status = 200, .sent = true, .error_before_content = true}}) {
        const auto made = bill_for(answer, how);
        EXPECT_EQ(made.result, outcome::failed);
        EXPECT_EQ(made.high, 0);
        EXPECT_EQ(made.usage, anthropic::usage());
    }
}

TEST(bill, a_refusal_before_any_output_is_free_and_one_after_it_is_not) {
    auto answer = seen(answer_state::complete, 10, 3);
    answer.stop_reason = "refusal";
    answer.events = 4;
    EXPECT_EQ(bill_for(answer, {.answered = true, .status = 200, .sent = true}).cost, 0);
    answer.content_bytes = 90;
    EXPECT_GT(bill_for(answer, {.answered = true, .status = 200, .sent = true}).cost, 0);
}

TEST(bill, a_stream_that_was_left_is_estimated_between_what_was_told_and_what_was_allowed) {
    auto answer = seen(answer_state::partial, 100, 1);
    answer.text_bytes = 80;
    const auto made = bill_for(answer, {.answered = true, .status = 200, .sent = true});
    EXPECT_EQ(made.result, outcome::estimated);
    EXPECT_EQ(made.low, 100 * input_price + 1 * output_price);
    EXPECT_EQ(made.cost, 100 * input_price + 20 * output_price);
    EXPECT_EQ(made.high, 100 * input_price + 500 * output_price);
}

TEST(bill, a_stream_that_was_left_before_its_first_content_may_have_cost_nothing) {
    auto answer = seen(answer_state::partial, 100, 1);
    answer.events = 1;
    const auto left = bill_for(answer, {.answered = true, .status = 200, .sent = true});
    EXPECT_EQ(left.low, 0) << "an error may have followed, and that is not billed";
    EXPECT_EQ(left.cost, 100 * input_price + 1 * output_price);
    answer.events = 3;
    answer.content_bytes = 90;
    EXPECT_EQ(bill_for(answer, {.answered = true, .status = 200, .sent = true}).low, left.cost);
}

TEST(bill, a_stream_that_was_left_is_estimated_also_when_it_tells_of_iterations) {
    auto answer = seen(answer_state::partial, 100, 1);
    answer.text_bytes = 80;
    answer.counts.iterations = {
        {.type = "compaction", .model = "", .tokens = {.input_tokens = 50, .output_tokens = 10}},
        {.type = "message", .model = "claude-opus-4-8", .tokens = {.input_tokens = 100, .output_tokens = 1}}};
    const auto made = bill_for(answer, {.answered = true, .status = 200, .sent = true});
    const auto before = 50 * input_price + 10 * output_price;
    EXPECT_EQ(made.low, before + 100 * input_price + 1 * output_price);
    EXPECT_EQ(made.cost, before + 100 * input_price + 20 * output_price);
    EXPECT_EQ(made.high, before + 100 * input_price + 500 * output_price);
    EXPECT_EQ(made.usage.tokens.output_tokens, 20u);

    answer.counts.iterations.pop_back();  // the answer's own is not told of yet
    const auto early = bill_for(answer, {.answered = true, .status = 200, .sent = true});
    EXPECT_EQ(early.cost, before + 19 * output_price);
    EXPECT_EQ(early.high, before + 499 * output_price);
}

TEST(bill, a_fallback_that_was_left_is_billed_at_its_own_price_and_what_declined_is_free) {
    auto answer = seen(answer_state::partial, 100, 1);
    answer.text_bytes = 80;
    answer.counts.iterations = {
        {.type = "message", .model = "claude-opus-4-8", .tokens = {.input_tokens = 100}},
        {.type = "fallback_message", .model = "claude-haiku-4-5", .tokens = {.input_tokens = 100, .output_tokens = 1}}};
    const auto made = bill_for(answer, {.answered = true, .status = 200, .sent = true});
    EXPECT_EQ(made.cost, (100 * input_price + 20 * output_price) / 5);
}

TEST(bill, an_answer_that_never_came_may_have_cost_nothing_or_everything) {
    const auto made = bill_for(anthropic::metered(), {.sent = true});
    EXPECT_EQ(made.result, outcome::estimated);
    EXPECT_EQ(made.low, 0);
    EXPECT_EQ(made.cost, 100 * input_price);
    EXPECT_EQ(made.high, most.cost);
}

}  // namespace
}  // namespace gateway
