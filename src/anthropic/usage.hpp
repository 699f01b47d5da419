// Token usage of one answer, as the upstream reported it (docs/protocol.md). A value type; the pricing and the ledger
// read it, nothing here knows about money.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace anthropic {

// The four counters stay apart: total prompt = input + cache_creation + cache_read.
struct token_counts {
    std::uint64_t input_tokens = 0;                 // uncached input only
    std::uint64_t cache_creation_input_tokens = 0;  // both TTLs together
    std::uint64_t cache_read_input_tokens = 0;
    std::uint64_t output_tokens = 0;  // thinking included
    // Split of the writes by TTL. Absent on old platforms: then the whole is to be priced by the request's TTL. When
    // the sum of the split differs from cache_creation_input_tokens, the difference cannot be attributed.
    std::optional<std::uint64_t> cache_creation_5m;
    std::optional<std::uint64_t> cache_creation_1h;

    bool operator==(const token_counts&) const = default;
};

// One billed piece of an answer. When the list is present, the bill is the sum over it, never also the top level.
struct iteration {
    std::string type;   // message | compaction | advisor_message | fallback_message | a future kind
    std::string model;  // empty on compaction: priced at the request's model
    token_counts tokens;

    bool operator==(const iteration&) const = default;
};

struct usage {
    token_counts tokens;
    std::uint64_t thinking_tokens = 0;  // a subset of output_tokens
    std::uint64_t web_search_requests = 0;
    std::uint64_t web_fetch_requests = 0;
    std::string service_tier;   // standard | priority | batch, empty when not told
    std::string inference_geo;  // global | us | ..., empty when not told
    std::string speed;          // standard | fast, empty when not told
    std::vector<iteration> iterations;

    bool operator==(const usage&) const = default;
};

enum class answer_state : std::uint8_t {
    none,      // no usage seen
    partial,   // usage seen, but not the answer's end: the output count of a stream may still be a placeholder
    complete,  // usage and message_stop seen, or usage in a whole JSON answer
};

// What the meter knows about one answer.
struct metered {
    answer_state state = answer_state::none;
    usage counts;
    std::string message_id;
    std::string model;                // the response's model: price by this one, not by the request's
    std::string stop_reason;          // empty until known
    std::string error_type;           // of an `error` event or an error body, else empty
    bool began_with_error = false;    // the `error` event came before any content
    std::uint64_t events = 0;         // server-sent events seen
    std::uint64_t text_bytes = 0;     // of them, without what every such event has beside its text
    std::uint64_t content_bytes = 0;  // payload bytes of content_block_delta events, for estimates of aborted streams
    bool damaged = false;             // something could not be read: the counts may be too low
};

}  // namespace anthropic
