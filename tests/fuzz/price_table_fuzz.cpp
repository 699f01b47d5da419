// Arbitrary text as a price document. Properties: no crash; problems are sentences with a line; a document that is
// accepted overrides itself without a problem, and by its prices no answer costs more than the bound of its request.
#include <cstdlib>
#include <string_view>

#include "pricing/pricing.hpp"

namespace {
void check(bool holds) {
    if (!holds) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto table = pricing::price_table::parse(text);
    if (!table) {
        check(!table.error().empty());
        for (const auto& problem : table.error()) check(problem.starts_with("line "));
        return 0;
    }
    check(pricing::price_table::parse(text, text).has_value());

    const auto prompt = static_cast<std::uint64_t>(size) * 100;
    anthropic::usage usage;
    usage.tokens = {.input_tokens = prompt / 4,
                    .cache_creation_input_tokens = prompt / 2,
                    .cache_read_input_tokens = prompt / 4,
                    .output_tokens = 1'000,
                    .cache_creation_5m = prompt / 5,
                    .cache_creation_1h = prompt / 5};
    for (unsigned bits = 0; bits < 8; ++bits) {
        const bool fast = (bits & 1) != 0, us = (bits & 2) != 0, batch = (bits & 4) != 0;
        usage.speed = fast ? "fast" : "";
        const pricing::request_facts request{.at_ms = 1'795'564'800'000,
                                             .body_bytes = prompt,
                                             .max_tokens = 1'000,
                                             .has_max_tokens = true,
                                             .cache_writes = true,
                                             .one_hour_writes = true,
                                             .fast = fast,
                                             .us_only = us,
                                             .batch = batch};
        for (const std::string_view model : {"claude-opus-1", "claude-haiku-9", "a"}) {
            const auto bound = table->bound_of(model, request);
            if (bound.by_context_window) continue;  // the answer above does not fit the window
            const auto cost = table->cost_of(
                usage, model, {.at_ms = request.at_ms, .one_hour_writes = true, .us_only = us, .batch = batch});
            check(cost.amount >= 0 && cost.amount <= bound.cost);
        }
    }
    return 0;
}
