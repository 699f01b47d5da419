// What a Messages body asks for: validated as upstream does, measured in tokens, cut into the segments that the prompt
// cache works on. Values only, no I/O.
//
// Token rule: every content block, system block and tool is a segment of ceil(B / 4) tokens, at least 1, where B is the
// number of bytes of all string values in it (keys, `type`, `role` and `cache_control` do not count; other scalars
// count 4 bytes; base64 `data` counts at most 4,000 bytes). The prompt is the sum of its segments: tools, system,
// messages.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sim {

enum class cache_lifetime { none, five_minutes, one_hour };

struct segment {
    std::uint64_t hash = 0;
    std::uint64_t tokens = 0;
    cache_lifetime breakpoint = cache_lifetime::none;  // a cache_control mark sits on this segment
};

struct wanted_tool {
    std::string name;
    boost::json::object properties;  // of its input_schema
};

struct prompt {
    std::string model;  // resolved
    std::uint64_t max_tokens = 0;
    bool stream = false;
    bool thinks = false;
    bool shows_thinking = true;
    bool forces_tool = false;
    std::vector<wanted_tool> tools;  // those the answer may call; the first is the one it will
    std::vector<std::string> stop_sequences;
    std::vector<segment> segments;
    std::string last_user_text;
    bool ends_with_tool_result = false;
    std::string inference_geo = "global";

    std::uint64_t tokens() const;
    std::uint64_t fingerprint() const;  // of everything that decides the answer
};

enum class prompt_use { message, count, batch_item };

struct prompt_rules {
    prompt_use use = prompt_use::message;
    bool refuses_sampling = false;      // anthropic-version 2026-10-21
    bool refuses_extra_fields = false;  // --strict-body
};

// Throws api_error (exchange.hpp) with upstream's words when the body is not acceptable.
prompt read_prompt(const boost::json::value& body, const prompt_rules& rules);

}  // namespace sim
