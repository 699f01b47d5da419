#include "gateway/accounting.hpp"

#include <algorithm>

namespace gateway {
namespace {

constexpr std::int64_t day_ms = 86'400'000;
constexpr std::int64_t last_of_day(std::int64_t ms) { return ms - ms % day_ms + day_ms - 1; }

constexpr std::uint64_t characters_per_token = 4;  // of output that was seen and not counted (docs/protocol.md, prices)

// Output that was not counted. With iterations, those have the price: the last one of an answer is under way.
void add_output(anthropic::usage& usage, std::uint64_t more) {
    usage.tokens.output_tokens += more;
    if (usage.iterations.empty()) return;
    const auto answers = [](const anthropic::iteration& one) {
        return one.type == "message" || one.type == "fallback_message";
    };
    const auto last = std::ranges::find_if(usage.iterations.rbegin(), usage.iterations.rend(), answers);
    auto& added_to = last != usage.iterations.rend() ? *last : usage.iterations.emplace_back();
    if (added_to.type.empty()) added_to.type = "message";
    added_to.tokens.output_tokens += more;
}

}  // namespace

bill bill_of(const pricing::price_table& prices, const anthropic::metered& seen, const bill_facts& how,
             const pricing::answer_facts& asked, const pricing::bound& bound, std::uint64_t body_bytes) {
    using anthropic::answer_state;
    bill made;
    made.usage = seen.counts;
    const auto price = [&](const anthropic::usage& usage) { return prices.cost_of(usage, seen.model, asked); };
    // A request that failed is not billed, and neither is a stream that began with an error.
    if (!how.sent || how.error_before_content || (how.answered && how.status >= 400)) {
        made.usage = {};
        return made;
    }
    if (seen.state == answer_state::complete) {  // whether or not the client took it all
        made.result = ledger::outcome::complete;
        // A refusal before any output shows tokens, but they are not billed.
        const bool no_output = seen.events > 0 ? seen.content_bytes == 0 : made.usage.tokens.output_tokens == 0;
        if (seen.stop_reason == "refusal" && no_output) return made;
        const auto cost = price(made.usage);
        made.cost = made.low = made.high = cost.amount;
        made.unknown_model = cost.unknown_model;
        return made;
    }
    made.result = ledger::outcome::estimated;
    if (seen.state == answer_state::partial) {
        // A stream that was left before its first content may still have ended in an error, which is not billed.
        const bool may_have_failed = seen.events > 0 && seen.content_bytes == 0;
        made.low = may_have_failed ? 0 : price(made.usage).amount;
        const std::uint64_t counted = made.usage.tokens.output_tokens;
        add_output(made.usage, std::max(counted, seen.text_bytes / characters_per_token) - counted);
        const std::uint64_t estimated = made.usage.tokens.output_tokens;
        const auto cost = price(made.usage);
        made.cost = cost.amount;
        made.unknown_model = cost.unknown_model;
        anthropic::usage most = made.usage;
        add_output(most, std::max(estimated, bound.output_tokens) - estimated);
        made.high = std::max(made.cost, price(most).amount);
        return made;
    }
    // Sent, and nothing is known of the answer: the upstream may have worked for nothing, or for the whole of it.
    anthropic::usage least;
    least.tokens.input_tokens = body_bytes / characters_per_token;
    const auto cost = price(least);
    made.cost = cost.amount;
    made.unknown_model = cost.unknown_model;
    made.high = std::max(bound.cost, made.cost);
    return made;
}

accounting::accounting(exchange& x, service& s, const anthropic::request_view& view, admission& admitted)
    : x_(x), s_(s), view_(view), admitted_(admitted) {
    row_.request_id = x.record.request_id;
    row_.team_id = x.caller->team_id;
    row_.key_id = x.caller->key_id;
    row_.tags = x.caller->tags;
    row_.subject = x.caller->subject.empty() ? std::string_view(view.user_id) : std::string_view(x.caller->subject);
    row_.model_asked = view.model;
    row_.model = view.model;
    row_.route = x.record.route;
    row_.price_table = s.who.prices.id();
    row_.hold = admitted.bound.cost;
    row_.cost_high = admitted.bound.cost;
    row_.user_agent = x.record.user_agent;
}

accounting::~accounting() {
    if (slot_ == ledger::lane::no_slot) return;
    relay_outcome abandoned;
    abandoned.failure = base::error{base::errc::shutting_down};
    abandoned.sent = true;
    finish(abandoned);
}

bool accounting::begin(std::uint32_t number) {
    row_.number = number;
    // Days are those of budgets: what is paid for with the money of one is spent in it, also when it begins just after.
    const std::int64_t held_at = admitted_.budgets.moment();
    row_.started_ms = admitted_.budgets.empty() ? now_at_ms(x_) : std::min(now_at_ms(x_), last_of_day(held_at));
    row_.stream = view_.stream;
    if (number > 1) x_.record.answer = {};  // of the attempt before
    x_.record.upstream_request_id.clear();
    slot_ = s_.journal.open(row_);
    return slot_ != ledger::lane::no_slot;
}

void accounting::end(const relay_outcome& how) { finish(how); }

bool accounting::covers_another() {
    const auto needed = base::add_saturated(admitted_.cost, admitted_.bound.cost);
    const auto missing = needed - admitted_.budgets.amount();
    return admitted_.budgets.empty() || missing <= 0 || admitted_.budgets.raise(missing, now_at_ms(x_));
}

void accounting::finish(const relay_outcome& how) {
    const anthropic::metered& seen = x_.record.answer;
    const bill_facts facts{.answered = how.upstream_status != 0,
                           .status = how.upstream_status,
                           .sent = how.sent,
                           .error_before_content = seen.began_with_error};
    const pricing::answer_facts asked{.at_ms = admitted_.facts.at_ms,
                                      .model_asked = view_.model,
                                      .one_hour_writes = admitted_.facts.one_hour_writes,
                                      .us_only = admitted_.facts.us_only,
                                      .batch = false};
    bill made = bill_of(s_.who.prices, seen, facts, asked, admitted_.bound, admitted_.facts.body_bytes);

    row_.total_us = x_.elapsed_us();
    row_.finished_ms = began_at_ms(x_) + static_cast<std::int64_t>(row_.total_us / 1000);
    row_.model = seen.model.empty() ? std::string_view(view_.model) : std::string_view(seen.model);
    row_.status = how.upstream_status;
    row_.result = made.result;
    row_.reason = how.failure ? base::facts_of(how.failure->kind).reason : std::string_view();
    row_.unknown_model = made.unknown_model;
    row_.cost = made.cost;
    row_.cost_low = made.low;
    row_.cost_high = made.high;
    row_.upstream_request_id = x_.record.upstream_request_id;
    row_.message_id = seen.message_id;
    row_.stop_reason = seen.stop_reason;
    row_.bytes_in = x_.record.bytes_in;
    row_.bytes_out = x_.record.bytes_out;
    row_.overhead_us = x_.record.overhead_us;

    admitted_.cost = base::add_saturated(admitted_.cost, made.cost);
    const auto& tokens = made.usage.tokens;
    if (made.result == ledger::outcome::complete || seen.state != anthropic::answer_state::none) {
        admitted_.input_used = static_cast<std::int64_t>(tokens.input_tokens + tokens.cache_creation_input_tokens);
        admitted_.output_used = static_cast<std::int64_t>(tokens.output_tokens);
    } else if (made.result == ledger::outcome::failed) {
        admitted_.input_used = 0;
    }
    x_.record.cost_pico = admitted_.cost;
    x_.record.price_unknown = made.unknown_model;
    row_.usage = std::move(made.usage);

    std::array<std::uint32_t, ledger::accounts_max> accounts;
    const std::size_t held = admitted_.budgets.account_numbers(accounts);
    s_.journal.finish(slot_, row_, std::span(accounts).first(held));
    slot_ = ledger::lane::no_slot;
}

}  // namespace gateway
