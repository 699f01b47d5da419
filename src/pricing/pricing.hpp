// What tokens cost: the price table as data (data/prices.yaml), the cost of an answer, and the bound of a request.
//
// Prices are dated rows in integer pico-dollars per token; the sums are exact. Rules and sources: docs/protocol.md,
// prices. No I/O, no clock: the time is an argument. Thread rule: a table is immutable; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "anthropic/usage.hpp"
#include "base/money.hpp"

namespace pricing {

// What is known of a request before it is sent; everything that can make it dearer.
struct request_facts {
    std::int64_t at_ms = 0;        // milliseconds since 1970: which dated row applies
    std::uint64_t body_bytes = 0;  // a token is at least one byte of the body
    std::uint64_t images = 0;      // image blocks: few bytes may be many tokens
    std::uint64_t max_tokens = 0;  // 0 with has_max_tokens: a cache pre-warm, no output
    bool has_max_tokens = false;   // else the model's largest output is assumed
    bool cache_writes = false;     // cache_control occurs
    bool one_hour_writes = false;  // with ttl 1h
    bool tools = false;            // tools add a hidden system prompt
    bool unbounded_input = false;  // content by URL or file id, PDFs, server tools, MCP: the context window bounds it
    std::uint64_t iterations_max = 1;    // how often the prompt may be billed: fallbacks, compaction, server tools
    std::uint64_t web_searches_max = 0;  // what the server tools may search
    bool fast = false;                   // speed: fast
    bool us_only = false;                // inference_geo: us
    bool batch = false;
    bool any_model = false;  // fallbacks: the answer may come from a dearer model
};

struct bound {
    std::uint64_t input_tokens = 0;   // at most
    std::uint64_t output_tokens = 0;  // at most
    bool by_context_window = false;   // the bytes could not bound the input: the model's context window does
    base::pico_dollars cost = 0;      // at most; saturated
};

// How a request was sent, for the cost of its answer.
struct answer_facts {
    std::int64_t at_ms = 0;
    std::string_view model_asked{};  // priced when the answer names no model
    bool one_hour_writes = false;    // cache writes without a split are priced by it
    bool us_only = false;            // when usage.inference_geo is absent
    bool batch = false;              // also when usage.service_tier says so
};

struct cost {
    base::pico_dollars amount = 0;
    bool unknown_model = false;  // priced at the highest price of its family
};

class price_table {
public:
    // Every problem of the text, each a sentence with its line ("line 12: ...", "overrides, line 3: ..."). `overrides`
    // (may be empty) is a second document of the same form: its row replaces the row of `base` with the same model and
    // effective_from, other rows of it are added, and its other values replace those of `base`.
    static std::expected<price_table, std::vector<std::string>> parse(std::string_view base,
                                                                      std::string_view overrides = {});
    static const price_table& shipped();  // data/prices.yaml, in the binary; its yaml() is the `base` to override

    price_table(price_table&&) noexcept;
    price_table& operator=(price_table&&) noexcept;
    ~price_table();

    // Names this table in every ledger row: 16 hex characters, a hash (FNV-1a) of yaml(). Tells tables apart that
    // differ by mistake or on purpose, not by malice.
    const std::string& id() const;
    std::string_view yaml() const;  // for the database: the document, then after a line "---" the overrides, if any

    // Never less than what the answer can cost, as far as bytes and the context window can tell. It holds for a cost
    // computed with the same at_ms.
    bound bound_of(std::string_view model, const request_facts& facts) const;

    // The cost of what the upstream reported: the sum over its iterations, else of its top level (docs/protocol.md).
    // That an answer is not billed at all (a refusal before any output) is not to be seen in usage: the caller knows.
    cost cost_of(const anthropic::usage& usage, std::string_view model_answered, const answer_facts& facts) const;

    // False: the model is priced at the highest price of its family.
    bool knows(std::string_view model) const;

private:
    struct rows;
    explicit price_table(std::unique_ptr<rows> made);
    std::unique_ptr<rows> rows_;
};

}  // namespace pricing
