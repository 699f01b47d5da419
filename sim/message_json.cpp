#include "message_json.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "text.hpp"

namespace sim {

namespace {

std::string usage_json(const message_facts& facts, std::uint64_t output_tokens, bool thinks) {
    const token_usage& usage = facts.usage;
    return fmt::format(
        R"({{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},)"
        R"("cache_creation":{{"ephemeral_5m_input_tokens":{},"ephemeral_1h_input_tokens":{}}},"output_tokens":{},{})"
        R"("server_tool_use":null,"service_tier":{},"inference_geo":{}}})",
        usage.input, usage.cache_write(), usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, output_tokens,
        thinks ? fmt::format(R"("output_tokens_details":{{"thinking_tokens":{}}},)", usage.thinking) : "",
        quote(facts.service_tier), quote(facts.inference_geo));
}

std::string block_json(const content_block& block, bool shows_thinking) {
    switch (block.kind) {
        case block_kind::thinking:
            return fmt::format(R"({{"type":"thinking","thinking":{},"signature":{}}})",
                               shows_thinking ? quote(block.text) : "\"\"", quote(block.signature));
        case block_kind::tool_use: {
            // Cut by max_tokens the input may be no JSON; a complete message cannot show half of it.
            const bool whole = block.text.ends_with('}');
            return fmt::format(R"({{"type":"tool_use","id":{},"name":{},"input":{},"caller":{{"type":"direct"}}}})",
                               quote(block.id), quote(block.name), whole ? block.text : "{}");
        }
        case block_kind::text:
            break;
    }
    return fmt::format(R"({{"type":"text","text":{}}})", quote(block.text));
}

std::string whole_json(const message_facts& facts, std::string_view content, std::string_view stop_reason,
                       std::string_view stop_sequence, std::string_view usage) {
    return fmt::format(R"({{"id":{},"type":"message","role":"assistant","model":{},"content":[{}],"container":null,)"
                       R"("stop_reason":{},"stop_sequence":{},"stop_details":null{}{}}})",
                       quote(facts.id), quote(facts.model), content, quote_or_null(stop_reason),
                       quote_or_null(stop_sequence), facts.shows_usage ? R"(,"usage":)" : "",
                       facts.shows_usage ? usage : "");
}

}  // namespace

std::string message_json(const message_facts& facts, const answer& said) {
    std::string content;
    for (const content_block& block : said.blocks) {
        if (!content.empty()) content += ',';
        content += block_json(block, facts.shows_thinking);
    }
    return whole_json(facts, content, said.stop_reason, said.stop_sequence,
                      usage_json(facts, facts.usage.output, said.thinking_tokens() > 0));
}

std::string opening_message_json(const message_facts& facts) {
    return whole_json(facts, {}, {}, {}, usage_json(facts, std::min(opening_output_tokens, facts.usage.output), false));
}

std::string final_usage_json(const token_usage& usage, bool thinks) {
    return fmt::format(
        R"({{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{},"output_tokens":{}{}}})",
        usage.input, usage.cache_write(), usage.cache_read, usage.output,
        thinks ? fmt::format(R"(,"output_tokens_details":{{"thinking_tokens":{}}})", usage.thinking) : "");
}

std::string opening_block_json(const content_block& block) {
    switch (block.kind) {
        case block_kind::thinking:
            return R"({"type":"thinking","thinking":"","signature":""})";
        case block_kind::tool_use:
            return fmt::format(R"({{"type":"tool_use","id":{},"name":{},"input":{{}},"caller":{{"type":"direct"}}}})",
                               quote(block.id), quote(block.name));
        case block_kind::text:
            break;
    }
    return R"({"type":"text","text":""})";
}

}  // namespace sim
