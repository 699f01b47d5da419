#include "anthropic/message_events.hpp"

#include <fmt/format.h>

#include "anthropic/json_text.hpp"
#include "anthropic/raw_json.hpp"

namespace anthropic {
namespace {

using base::errc;
using base::fail;

bool is_stop(const raw_cursor& member) {
    return member.is("stop_reason") || member.is("stop_sequence") || member.is("stop_details");
}

void add_event(std::string& to, std::string_view name, std::string_view rest) {
    to += fmt::format("event: {0}\ndata: {{\"type\":\"{0}\"", name);
    const auto begins = to.size();
    to += rest;
    // Between the tokens of JSON a line may end; in an event it must not.
    for (std::size_t i = begins; i < to.size(); ++i) {
        if (to[i] == '\n' || to[i] == '\r') to[i] = ' ';
    }
    to += "}\n\n";
}

void add_delta(std::string& to, std::size_t index, std::string_view type, std::string_view key,
               std::string_view value) {
    add_event(to, "content_block_delta",
              fmt::format(R"(,"index":{},"delta":{{"type":"{}","{}":{}}})", index, type, key, value));
}

std::string quoted(std::string_view text) {
    std::string made = "\"";
    append_escaped(made, text);
    return made + '"';
}

// What a block begins with, and the deltas that follow.
class block_parts {
public:
    block_parts(std::string_view block, std::size_t index) : index_(index) {
        const auto type_json = find_member(block, "type");
        const std::string type = type_json ? decode_string(*type_json).value_or("") : "";
        const bool is_text = type == "text", is_thinking = type == "thinking";
        const bool is_tool = type == "tool_use" || type == "server_tool_use" || type == "mcp_tool_use";
        for (raw_cursor member(block); member.next();) {
            const auto value = member.value();
            std::string_view first = value;
            if (is_text && member.is("text") && is_string(value)) {
                first = "\"\"";
                later("text_delta", "text", value);
            } else if (is_text && member.is("citations") && is_array(value)) {
                first = "[]";
                for (raw_cursor each(value); each.next();) later("citations_delta", "citation", each.value());
            } else if (is_thinking && member.is("thinking") && is_string(value)) {
                first = "\"\"";
                later("thinking_delta", "thinking", value);
            } else if (is_thinking && member.is("signature") && is_string(value)) {
                first = "\"\"";
                later("signature_delta", "signature", value);
            } else if (is_tool && member.is("input")) {
                first = "{}";
                later("input_json_delta", "partial_json", quoted(value));
            }
            start += fmt::format("{}\"{}\":{}", start.empty() ? "" : ",", member.key(), first);
        }
    }

    std::string start;
    std::string deltas;

private:
    void later(std::string_view type, std::string_view key, std::string_view value) {
        if (value != "\"\"") add_delta(deltas, index_, type, key, value);
    }
    std::size_t index_;
};

}  // namespace

base::result<std::string> events_of_message(std::string_view message) {
    if (!is_json(message) || !is_object(message)) {
        return fail(errc::upstream_protocol_error, "The message in a batch's result is no JSON object.");
    }
    const auto content = find_member(message, "content");
    if (!content || !is_array(*content)) {
        return fail(errc::upstream_protocol_error, "The message in a batch's result has no content.");
    }
    std::string started;  // members of the message as it begins
    std::string stopped;  // those that are known at its end
    std::string_view usage = "{}";
    for (raw_cursor member(message); member.next();) {
        std::string_view first = member.value();
        if (member.is("usage") && is_object(first)) usage = first;
        if (member.is("content")) first = "[]";
        if (is_stop(member)) {
            stopped += fmt::format("{}\"{}\":{}", stopped.empty() ? "" : ",", member.key(), first);
            first = "null";
        }
        started += fmt::format("{}\"{}\":{}", started.empty() ? "" : ",", member.key(), first);
    }
    std::string made;
    add_event(made, "message_start", fmt::format(",\"message\":{{{}}}", started));
    std::size_t index = 0;
    for (raw_cursor block(*content); block.next(); ++index) {
        const block_parts parts(block.value(), index);
        add_event(made, "content_block_start",
                  fmt::format(",\"index\":{},\"content_block\":{{{}}}", index, parts.start));
        made += parts.deltas;
        add_event(made, "content_block_stop", fmt::format(",\"index\":{}", index));
    }
    add_event(made, "message_delta", fmt::format(",\"delta\":{{{}}},\"usage\":{}", stopped, usage));
    add_event(made, "message_stop", "");
    return made;
}

}  // namespace anthropic
