// Reads the small JSON texts of an answer that carry usage: the data of `message_start`, `message_delta` and `error`
// events, and the `usage` object of a JSON answer. Used by the meters.
//
// Never throws for what the text contains. A count that is no plain non-negative number sets `damaged` and is left out,
// the rest is read; a text that is not JSON at all sets `damaged` and gives nothing. Free to call from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "anthropic/usage.hpp"

namespace anthropic {

// Named limits of what is believed.
struct answer_limits {
    static constexpr std::uint64_t tokens_max = 1'000'000'000;  // a thousand of the largest context windows
    static constexpr std::size_t name_bytes_max = 256;          // ids, models, tiers, reasons
    static constexpr std::size_t iterations_max = 256;
};

// Counts as one usage object gives them. Members that are absent or null are empty.
struct counts_reading {
    std::optional<std::uint64_t> input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens;
    std::optional<std::uint64_t> cache_creation_5m, cache_creation_1h;
};

struct usage_reading {
    counts_reading tokens;
    std::optional<std::uint64_t> thinking_tokens, web_search_requests, web_fetch_requests;
    std::optional<std::string> service_tier, inference_geo, speed;
    std::vector<iteration> iterations;
};

struct answer_reading {
    std::optional<std::string> message_id, model, stop_reason, error_type;
    std::optional<usage_reading> usage;
    bool damaged = false;
};

answer_reading read_message_start(std::string_view data);
answer_reading read_message_delta(std::string_view data);
answer_reading read_error(std::string_view data);         // {"type":"error","error":{"type":...}}
answer_reading read_error_object(std::string_view text);  // {"type":...}, the inner object
answer_reading read_usage(std::string_view text);         // {"input_tokens":...}

// The overwrite rule: what is present replaces; a non-zero count of the prompt is kept when the new one is 0.
void overwrite(usage& counts, const usage_reading& with);

}  // namespace anthropic
