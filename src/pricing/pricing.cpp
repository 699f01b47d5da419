#include "pricing/pricing.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/embedded.hpp"
#include "pricing/price_rows.hpp"

namespace pricing {
namespace {

// What a request may ask for and never gets: the upstream refuses more. An absurd number would make absurd money.
constexpr std::uint64_t output_tokens_max = 10'000'000;
constexpr std::uint64_t web_searches_max = 1'000'000;

// What the upstream adds to a prompt beyond the bytes of the body. Known overheads are those of tools: a system prompt
// (at most 804 tokens) and the definitions of Anthropic's own tools, should all of them be there: bash 325, text editor
// 700, computer 4,500, browser 6,600. The rest is room for what is not documented, structured outputs for one.
constexpr std::uint64_t hidden_tokens = 1'000;
constexpr std::uint64_t hidden_tokens_of_tools = 804 + 325 + 700 + 4'500 + 6'600 + 3'071;
constexpr std::uint64_t image_tokens_max = 4'784;

std::uint64_t sum_of(std::uint64_t a, std::uint64_t b) {
    std::uint64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::uint64_t>::max() : sum;
}

std::uint64_t product_of(std::uint64_t a, std::uint64_t b) {
    std::uint64_t product = 0;
    return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<std::uint64_t>::max() : product;
}

base::pico_dollars price_of(const std::array<std::uint64_t, token_classes>& tokens, const class_rates& rates) {
    base::pico_dollars sum = 0;
    for (std::size_t i = 0; i < token_classes; ++i) {
        sum = base::add_saturated(sum, base::multiply_saturated(tokens[i], rates[i]));
    }
    return sum;
}

// By class; writes that the split does not explain have the time to live that the request asked for.
std::array<std::uint64_t, token_classes> by_class(const anthropic::token_counts& counts, bool one_hour_writes) {
    std::array<std::uint64_t, token_classes> tokens{};
    tokens[input] = counts.input_tokens;
    tokens[cache_write_5m] = counts.cache_creation_5m.value_or(0);
    tokens[cache_write_1h] = counts.cache_creation_1h.value_or(0);
    tokens[cache_read] = counts.cache_read_input_tokens;
    tokens[output] = counts.output_tokens;
    const auto explained = sum_of(tokens[cache_write_5m], tokens[cache_write_1h]);
    if (counts.cache_creation_input_tokens > explained) {
        auto& rest = tokens[one_hour_writes ? cache_write_1h : cache_write_5m];
        rest = sum_of(rest, counts.cache_creation_input_tokens - explained);
    }
    return tokens;
}

// Whether an attempt was declined before any output, and another model asked instead: such an attempt is free.
bool is_declined(std::span<const anthropic::iteration> iterations, std::size_t at) {
    const auto& one = iterations[at];
    if (one.tokens.output_tokens != 0 || (one.type != "message" && one.type != "fallback_message")) return false;
    return std::ranges::any_of(iterations.subspan(at + 1),
                               [](const auto& later) { return later.type == "fallback_message"; });
}

// FNV-1a, 64 bits.
std::string hash_of(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return fmt::format("{:016x}", hash);
}

class_rates highest(const class_rates& a, const class_rates& b) {
    class_rates both = a;
    for (std::size_t i = 0; i < token_classes; ++i) both[i] = std::max(a[i], b[i]);
    return both;
}

}  // namespace

struct price_table::rows {
    price_rows prices;
    std::string yaml;
    std::string id;
};

price_table::price_table(std::unique_ptr<rows> made) : rows_(std::move(made)) {}
price_table::price_table(price_table&&) noexcept = default;
price_table& price_table::operator=(price_table&&) noexcept = default;
price_table::~price_table() = default;

std::expected<price_table, std::vector<std::string>> price_table::parse(std::string_view base,
                                                                        std::string_view overrides) {
    auto prices = build_price_rows(base, overrides);
    if (!prices) return std::unexpected(std::move(prices.error()));
    std::string yaml(base);
    if (!overrides.empty()) yaml.append(yaml.ends_with('\n') ? "" : "\n").append("---\n").append(overrides);
    auto id = hash_of(yaml);
    return price_table(std::make_unique<rows>(*std::move(prices), std::move(yaml), std::move(id)));
}

const price_table& price_table::shipped() {
    static const price_table table = [] {
        const auto files = base::embedded_files();
        const auto file = std::ranges::find(files, "data/prices.yaml", &base::embedded_file::path);
        auto parsed = parse(file == files.end() ? std::string_view() : file->text);
        if (!parsed) throw std::logic_error(fmt::format("data/prices.yaml: {}", fmt::join(parsed.error(), "; ")));
        return *std::move(parsed);
    }();
    return table;
}

const std::string& price_table::id() const { return rows_->id; }
std::string_view price_table::yaml() const { return rows_->yaml; }
bool price_table::knows(std::string_view model) const { return rows_->prices.find(model, 0).known; }

bound price_table::bound_of(std::string_view model, const request_facts& facts) const {
    const auto& row = facts.any_model ? rows_->prices.dearest : rows_->prices.find(model, facts.at_ms).row;
    const auto text = sum_of(facts.body_bytes, facts.tools ? hidden_tokens_of_tools : hidden_tokens);
    const auto told = sum_of(text, product_of(facts.images, image_tokens_max));
    bound made;
    made.by_context_window = facts.unbounded_input || told > row.context_window;
    made.input_tokens = made.by_context_window ? row.context_window : told;
    made.output_tokens = facts.has_max_tokens ? std::min(facts.max_tokens, output_tokens_max) : row.output_max;

    // Asking for fast does not mean getting it, and a short prompt may be dearer than a long one.
    billing how{.us = facts.us_only, .batch = facts.batch};
    class_rates rates = row.rates_for(how);
    const auto consider = [&] { rates = highest(rates, row.rates_for(how)); };
    for (const bool is_long : {false, true}) {
        how.long_prompt = is_long;
        if (is_long && made.input_tokens <= row.long_prompt_above) break;
        how.fast = false;
        consider();
        how.fast = facts.fast;
        consider();
    }
    auto dearest_input = std::max(rates[input], rates[cache_read]);
    if (facts.cache_writes || facts.one_hour_writes) dearest_input = std::max(dearest_input, rates[cache_write_5m]);
    if (facts.one_hour_writes) dearest_input = std::max(dearest_input, rates[cache_write_1h]);

    const auto iterations = std::max<std::uint64_t>(facts.iterations_max, 1);
    made.input_tokens = product_of(made.input_tokens, iterations);
    made.output_tokens = product_of(made.output_tokens, iterations);
    const auto tokens = base::add_saturated(base::multiply_saturated(made.input_tokens, dearest_input),
                                            base::multiply_saturated(made.output_tokens, rates[output]));
    const auto searches = std::min(facts.web_searches_max, web_searches_max);
    made.cost = base::add_saturated(tokens, base::multiply_saturated(searches, rows_->prices.web_search));
    return made;
}

cost price_table::cost_of(const anthropic::usage& usage, std::string_view model_answered,
                          const answer_facts& facts) const {
    const auto model = model_answered.empty() ? facts.model_asked : model_answered;
    billing how{.fast = usage.speed == "fast",
                .us = usage.inference_geo.empty() ? facts.us_only : usage.inference_geo == "us",
                .batch = facts.batch || usage.service_tier == "batch"};
    cost sum;
    const auto add = [&](const anthropic::token_counts& counts, std::string_view its_model) {
        const auto found = rows_->prices.find(its_model, facts.at_ms);
        const auto tokens = by_class(counts, facts.one_hour_writes);
        const auto writes = sum_of(tokens[cache_write_5m], tokens[cache_write_1h]);
        const auto prompt = sum_of(sum_of(tokens[input], tokens[cache_read]), writes);
        how.long_prompt = prompt > found.row.long_prompt_above;
        sum.amount = base::add_saturated(sum.amount, price_of(tokens, found.row.rates_for(how)));
        sum.unknown_model |= !found.known;
    };
    if (usage.iterations.empty()) add(usage.tokens, model);
    for (std::size_t i = 0; i < usage.iterations.size(); ++i) {
        const auto& one = usage.iterations[i];
        if (!is_declined(usage.iterations, i)) add(one.tokens, one.model.empty() ? model : one.model);
    }
    sum.amount =
        base::add_saturated(sum.amount, base::multiply_saturated(usage.web_search_requests, rows_->prices.web_search));
    return sum;
}

}  // namespace pricing
