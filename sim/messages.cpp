// POST /v1/messages and /v1/messages/count_tokens.
#include <fmt/format.h>

#include "answer.hpp"
#include "exchange.hpp"
#include "handlers.hpp"
#include "message_json.hpp"
#include "prompt.hpp"
#include "state.hpp"
#include "stream.hpp"
#include "text.hpp"

namespace sim {

namespace {

std::optional<std::uint64_t> wished_number(const exchange& ex, std::string_view name, std::string_view text) {
    const std::string value = ex.wish(name, text);
    std::uint64_t number = 0;
    if (value.empty()) return {};
    if (!read_number(value, number)) throw invalid(fmt::format("{}: not a number: '{}'", name, value));
    return number;
}

void add_rate_limit_headers(exchange& ex) {
    for (const auto& [name, value] : ex.world.limiter.headers(ex.key)) ex.out.add_header(name, value);
}

void refuse_over_limit(exchange& ex, std::uint64_t input_tokens) {
    const auto refusal = ex.world.limiter.admit(ex.key, input_tokens);
    add_rate_limit_headers(ex);
    if (!refusal) return;
    throw api_error{
        .status = 429, .type = "rate_limit_error", .message = refusal->message, .retry_after = refusal->retry_after};
}

prompt_rules rules_of(const exchange& ex, prompt_use use) {
    return {.use = use,
            .refuses_sampling = ex.asked.value("anthropic-version") == "2026-10-21",
            .refuses_extra_fields = ex.world.chosen.strict_body};
}

void send_whole(exchange& ex, const message_facts& facts, const answer& said) {
    std::string text = message_json(facts, said);
    const fault_plan& plan = ex.out.plan;
    if (plan.trailing_spaces) text += "   ";
    if (plan.garbage_json) text.resize(text.size() / 2);
    if (plan.garbage) text.insert(0, base64_noise(facts.usage.input, *plan.garbage + 3).substr(0, *plan.garbage));
    ex.row.billed = facts.usage;
    ex.row.output_tokens_sent = facts.usage.output;
    ex.send_json(text);
}

}  // namespace

void messages(exchange& ex) {
    const prompt asked = read_prompt(ex.read_json(message_bytes_max), rules_of(ex, prompt_use::message));
    ex.row.model = asked.model;
    ex.row.stream = asked.stream;
    ex.row.service_tier = "standard";
    ex.row.inference_geo = asked.inference_geo;

    // Faults may also stand in the prompt, for clients that cannot set headers.
    if (ex.asked.count("x-sim-fault") == 0) {
        const std::string faults = ex.wish("x-sim-fault", asked.last_user_text);
        if (!faults.empty()) {
            if (const auto wrong = ex.out.plan.add(faults)) throw invalid(*wrong);
            ex.row.faults += faults;
            if (ex.play_early_faults()) return;
        }
    }
    const token_usage estimate = ex.world.cache.estimate(ex.key, asked);
    refuse_over_limit(ex, estimate.input + estimate.cache_write());

    message_facts facts{.id = unique_id("msg_"),
                        .model = asked.model,
                        .inference_geo = asked.inference_geo,
                        .usage = ex.world.cache.account(ex.key, asked),
                        .shows_thinking = asked.shows_thinking,
                        .shows_usage = !ex.out.plan.no_usage};
    const answer_wishes wishes{.output_tokens = wished_number(ex, "x-sim-output-tokens", asked.last_user_text),
                               .text = ex.wish("x-sim-text", asked.last_user_text).empty()
                                           ? std::optional<std::string>{}
                                           : ex.wish("x-sim-text", asked.last_user_text),
                               .tool_calls = wished_number(ex, "x-sim-tools", asked.last_user_text).value_or(1)};
    const answer said = compose_answer(asked, wishes, ex.world.chosen.seed);
    facts.usage.output = said.output_tokens();
    facts.usage.thinking = said.thinking_tokens();
    ex.row.message_id = facts.id;

    if (ex.world.chosen.latency.count() > 0) ex.out.peer().sleep_for(ex.world.chosen.latency);
    struct charge_on_exit {
        exchange& ex;
        ~charge_on_exit() { ex.world.limiter.charge_output(ex.key, ex.row.billed.output); }
    } const charging{ex};
    if (!asked.stream) return send_whole(ex, facts, said);
    ex.out.add_header("Cache-Control", "no-cache");
    send_stream(ex, facts, said,
                {.pings = wished_number(ex, "x-sim-pings", asked.last_user_text).value_or(0),
                 .tokens_per_event = wished_number(ex, "x-sim-event-tokens", asked.last_user_text).value_or(0),
                 .seed = mix(ex.world.chosen.seed) ^ asked.fingerprint()});
}

void count_tokens(exchange& ex) {
    const prompt asked = read_prompt(ex.read_json(message_bytes_max), rules_of(ex, prompt_use::count));
    ex.row.model = asked.model;
    ex.send_json(fmt::format(R"({{"input_tokens":{}}})", asked.tokens()));
}

}  // namespace sim
