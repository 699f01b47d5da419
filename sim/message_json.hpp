// How messages and usage are written, in upstream's field order.
#pragma once

#include <string>
#include <string_view>

#include "answer.hpp"
#include "ledger.hpp"

namespace sim {

struct message_facts {
    std::string id;
    std::string model;
    std::string service_tier = "standard";
    std::string inference_geo = "global";
    token_usage usage;
    bool shows_thinking = true;
    bool shows_usage = true;
};

// A whole Message.
std::string message_json(const message_facts& facts, const answer& said);
// The Message of message_start: no content, a placeholder for the output.
std::string opening_message_json(const message_facts& facts);
// The usage of message_delta: cumulative, without the split by lifetime.
std::string final_usage_json(const token_usage& usage, bool thinks);

// A content block as content_block_start shows it: empty, to be filled by deltas.
std::string opening_block_json(const content_block& block);

// What message_start says before anything was generated.
constexpr std::uint64_t opening_output_tokens = 1;

}  // namespace sim
