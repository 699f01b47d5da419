// What the simulated model says: content blocks made from a seed and the prompt, so that the same question always gets
// the same answer. Values only, no I/O.
//
// Token rule: a block of C characters is ceil(C / 4) output tokens; for a tool call the characters of its JSON count.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prompt.hpp"

namespace sim {

constexpr std::size_t characters_per_token = 4;

enum class block_kind { thinking, text, tool_use };

struct content_block {
    block_kind kind = block_kind::text;
    std::string text;       // the words, or the JSON of a tool's input
    std::string name;       // of the tool
    std::string id;         // of the tool call
    std::string signature;  // of the thinking
    std::uint64_t tokens() const;
};

struct answer {
    std::vector<content_block> blocks;
    std::string stop_reason = "end_turn";
    std::string stop_sequence;
    std::uint64_t output_tokens() const;
    std::uint64_t thinking_tokens() const;
};

// What a caller may ask of the answer beyond the API: x-sim-output-tokens, x-sim-text, x-sim-tools.
struct answer_wishes {
    std::optional<std::uint64_t> output_tokens;  // all blocks together, before max_tokens cuts
    std::optional<std::string> text;
    std::uint64_t tool_calls = 1;
};

answer compose_answer(const prompt& asked, const answer_wishes& wishes, std::uint64_t seed);

}  // namespace sim
