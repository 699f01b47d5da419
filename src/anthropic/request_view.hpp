// What the gateway governs on in the body of POST /v1/messages and count_tokens; the upstream validates the rest.
// Plain functions of bytes: no I/O, no clock, free to call from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace anthropic {

struct request_view {
    std::string model;              // decoded; never empty
    std::uint64_t model_begin = 0;  // span of the value's bytes (quotes included) in the body, for splicing an alias
    std::uint64_t model_end = 0;
    bool stream = false;
    std::uint64_t max_tokens = 0;  // 0 when absent
    bool has_max_tokens = false;
    bool fast = false;     // speed: fast
    bool us_only = false;  // inference_geo: us
    bool has_tools = false;
    bool has_mcp = false;        // mcp_servers
    bool has_fallbacks = false;  // the answer may come from another model
    std::string user_id;         // metadata.user_id, decoded, at most 256 bytes; empty when absent
};

// Errors: invalid_json (not a JSON object), duplicate_field (a governed member occurs twice: model, stream, max_tokens,
// metadata, service_tier, speed, inference_geo, tools, mcp_servers, fallbacks; the upstream might read the other one),
// missing_field (no usable model). A governed member of an unexpected type (stream: 1, max_tokens: "5") is left for the
// upstream to refuse, and read here as absent.
base::result<request_view> read_request(std::string_view body);

}  // namespace anthropic
