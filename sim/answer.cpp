#include "answer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "text.hpp"

namespace sim {

namespace json = boost::json;

std::uint64_t content_block::tokens() const {
    return (characters(text) + characters_per_token - 1) / characters_per_token;
}

std::uint64_t answer::output_tokens() const {
    std::uint64_t sum = 0;
    for (const content_block& block : blocks) sum += block.tokens();
    return sum;
}

std::uint64_t answer::thinking_tokens() const {
    std::uint64_t sum = 0;
    for (const content_block& block : blocks) sum += block.kind == block_kind::thinking ? block.tokens() : 0;
    return sum;
}

namespace {

// Mostly plain words, some with characters of two, three and four bytes, quotes, backslashes and line ends.
constexpr std::array<std::string_view, 64> words = {
    "the",   "answer",    "depends", "on",        "how",    "you",     "look",       "at",       "it",     "because",
    "every", "stream",    "has",     "its",       "own",    "source",  "and",        "a",        "river",  "is",
    "never", "quite",     "same",    "when",      "we",     "measure", "carefully",  "then",     "small",  "things",
    "add",   "up",        "to",      "something", "larger", "than",    "their",      "parts",    "which",  "is",
    "why",   "engineers", "like",    "to",        "count",  "before",  "they",       "believe",  "one",    "café",
    "naïve", "über",      "Zürich",  "日本語",    "→",      "🙂",      "\"quoted\"", "C:\\path", "line\n", "tab\t",
    "it’s",  "€5",        "done.",   "next:"};

// Exactly `tokens` tokens of text.
std::string make_text(random_source& random, std::uint64_t tokens) {
    if (tokens == 0) return {};
    const std::size_t length = tokens * characters_per_token - 1;
    std::string text;
    std::size_t have = 0;
    while (have < length) {
        const std::string_view word = words[random.below(words.size())];
        if (have > 0) text += ' ';
        text += word;
        have += characters(word) + (have > 0 ? 1 : 0);
    }
    text.resize(offset_of(text, length));
    return text + '.';
}

std::string tool_value(const json::value& schema, random_source& random) {
    const json::object* fields = schema.if_object();
    const json::value* type = fields == nullptr ? nullptr : fields->if_contains("type");
    const json::value* choices = fields == nullptr ? nullptr : fields->if_contains("enum");
    if (choices != nullptr && choices->is_array() && !choices->get_array().empty()) {
        const auto& list = choices->get_array();
        return json::serialize(list[random.below(list.size())]);
    }
    if (type != nullptr && (*type == "integer" || *type == "number")) return std::to_string(1 + random.below(9));
    if (type != nullptr && *type == "boolean") return random.below(2) == 0 ? "false" : "true";
    if (type != nullptr && *type == "array") return "[]";
    if (type != nullptr && *type == "object") return "{}";
    constexpr std::array<std::string_view, 6> values = {"Bern", "Zürich", "São \"Paulo\"", "東京", "a\\b", "🙂 town"};
    return quote(values[random.below(values.size())]);
}

content_block make_tool_call(const wanted_tool& tool, random_source& random) {
    content_block block{
        .kind = block_kind::tool_use, .text = {}, .name = tool.name, .id = unique_id("toolu_"), .signature = {}};
    for (const auto& [name, schema] : tool.properties) {
        block.text += fmt::format("{}{}: {}", block.text.empty() ? "{" : ", ", quote(std::string_view(name)),
                                  tool_value(schema, random));
    }
    if (!block.text.empty()) block.text += '}';  // a tool without properties streams no JSON at all, as upstream does
    return block;
}

bool wants_tool(const prompt& asked) {
    if (asked.tools.empty()) return false;
    if (asked.forces_tool) return true;
    const std::string text = lower(asked.last_user_text);
    return !asked.ends_with_tool_result &&
           (text.find("weather") != std::string::npos || text.find("use the tool") != std::string::npos);
}

// The first stop sequence in the text ends it, and the answer.
void apply_stop_sequences(answer& result, const prompt& asked) {
    for (auto block = result.blocks.begin(); block != result.blocks.end(); ++block) {
        if (block->kind != block_kind::text) continue;
        std::size_t first = std::string::npos;
        for (const std::string& stop : asked.stop_sequences) {
            const auto at = block->text.find(stop);
            if (at == std::string::npos || at >= first) continue;
            first = at;
            result.stop_sequence = stop;
        }
        if (first == std::string::npos) continue;
        block->text.resize(first);
        result.stop_reason = "stop_sequence";
        result.blocks.erase(block + 1, result.blocks.end());
        return;
    }
}

void apply_max_tokens(answer& result, std::uint64_t max_tokens) {
    std::uint64_t left = max_tokens;
    for (auto block = result.blocks.begin(); block != result.blocks.end(); ++block) {
        const std::uint64_t tokens = block->tokens();
        if (tokens <= left) {
            left -= tokens;
            continue;
        }
        block->text.resize(offset_of(block->text, left * characters_per_token));
        result.blocks.erase(left == 0 ? block : block + 1, result.blocks.end());
        result.stop_reason = "max_tokens";
        result.stop_sequence.clear();
        return;
    }
}

}  // namespace

answer compose_answer(const prompt& asked, const answer_wishes& wishes, std::uint64_t seed) {
    answer result;
    random_source random(mix(seed) ^ asked.fingerprint());
    if (asked.max_tokens == 0) {
        result.stop_reason = "max_tokens";  // only warms the cache
        return result;
    }
    std::uint64_t thinking = 8 + random.below(16);
    std::uint64_t text = 24 + random.below(48);
    if (wishes.output_tokens) {
        thinking = asked.thinks ? std::min(thinking, *wishes.output_tokens / 4) : 0;
        text = *wishes.output_tokens - thinking;
    }
    if (asked.thinks) {
        result.blocks.push_back({.kind = block_kind::thinking,
                                 .text = make_text(random, thinking),
                                 .name = {},
                                 .id = {},
                                 .signature = base64_noise(random.next(), 200)});
    }
    if (wants_tool(asked)) {
        std::vector<content_block> calls;
        for (std::uint64_t call = 0; call < wishes.tool_calls; ++call) {
            const auto named = std::ranges::find_if(
                asked.tools, [](const wanted_tool& tool) { return tool.name.find("weather") != std::string::npos; });
            const bool by_name = named != asked.tools.end() && call == 0;
            calls.push_back(make_tool_call(by_name ? *named : asked.tools[call % asked.tools.size()], random));
            const std::uint64_t used = calls.back().tokens();
            text -= std::min(text, used);
        }
        if (!wishes.output_tokens) text = 9;
        if (!asked.forces_tool && text > 0) {
            result.blocks.push_back(
                {.kind = block_kind::text, .text = make_text(random, text), .name = {}, .id = {}, .signature = {}});
        }
        result.blocks.insert(result.blocks.end(), std::make_move_iterator(calls.begin()),
                             std::make_move_iterator(calls.end()));
        result.stop_reason = "tool_use";
    } else {
        result.blocks.push_back({.kind = block_kind::text,
                                 .text = wishes.text ? *wishes.text : make_text(random, text),
                                 .name = {},
                                 .id = {},
                                 .signature = {}});
    }
    apply_stop_sequences(result, asked);
    apply_max_tokens(result, asked.max_tokens);
    return result;
}

}  // namespace sim
