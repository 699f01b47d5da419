#include "anthropic/message_assembly.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "anthropic/event_text.hpp"
#include "anthropic/json_text.hpp"
#include "anthropic/raw_json.hpp"

namespace anthropic {
namespace {

using base::errc;

template <class T>
using named = std::pair<std::string_view, T>;

template <class T, std::size_t N>
T look_up(const named<T> (&table)[N], std::string_view name, T otherwise) {
    const auto* const found = std::ranges::find(table, name, &named<T>::first);
    return found == std::end(table) ? otherwise : found->second;
}

std::string_view text_between_quotes(std::optional<std::string_view> json) {
    return json && is_string(*json) ? between_quotes(*json) : std::string_view();
}

std::string type_of(std::optional<std::string_view> json) {
    return unescape(text_between_quotes(json)).value_or(std::string());
}

// A member to be written instead of the one that the block began with. `parts` follow each other without anything
// between them.
struct replacement {
    std::string_view key;
    std::array<std::string_view, 4> parts;
    bool is_written = false;

    void write(std::string& to) {
        for (const auto part : parts) to += part;
        is_written = true;
    }
};

void write_key(std::string& to, std::string_view key) {
    if (to.back() != '{') to += ',';
    to += '"';
    to += key;
    to += "\":";
}

// The object as it is but for what is replaced; a replacement for which it has no place comes last.
void write_object(std::string& to, std::string_view object, std::span<replacement> replaced) {
    to += '{';
    for (raw_cursor member(object); member.next();) {
        write_key(to, member.key());
        const auto instead = std::ranges::find_if(replaced, [&](const auto& one) { return member.is(one.key); });
        if (instead == replaced.end()) {
            to += member.value();
        } else {
            instead->write(to);
        }
    }
    for (auto& missing : replaced) {
        if (missing.is_written) continue;
        write_key(to, missing.key);
        missing.write(to);
    }
    to += '}';
}

bool is_any_of(const raw_cursor& member, std::initializer_list<std::string_view> names) {
    return std::ranges::any_of(names, [&](std::string_view name) { return member.is(name); });
}

}  // namespace

struct message_assembler::delta_text {
    enum class kind : std::uint8_t { text, thinking, signature, input, citations, compaction, other };

    kind type = kind::other;
    std::optional<std::string_view> text, thinking, signature, partial_json, citation, content, encrypted_content;

    explicit delta_text(std::string_view json) {
        static constexpr named<kind> kinds[] = {
            {"text_delta", kind::text},           {"thinking_delta", kind::thinking},
            {"signature_delta", kind::signature}, {"input_json_delta", kind::input},
            {"citations_delta", kind::citations}, {"compaction_delta", kind::compaction},
        };
        const named<std::optional<std::string_view>*> members[] = {
            {"text", &text},
            {"thinking", &thinking},
            {"signature", &signature},
            {"partial_json", &partial_json},
            {"citation", &citation},
            {"content", &content},
            {"encrypted_content", &encrypted_content},
        };
        for (raw_cursor member(json); member.next();) {
            if (member.is("type")) type = look_up(kinds, type_of(member.value()), kind::other);
            for (const auto& [name, value] : members) {
                if (member.is(name)) *value = member.value();
            }
        }
    }
};

void message_assembler::event(std::string_view name, std::string_view data) {
    using action = void (message_assembler::*)(std::string_view);
    static constexpr named<action> actions[] = {
        {"content_block_delta", &message_assembler::add_delta},
        {"content_block_start", &message_assembler::begin_block},
        {"message_start", &message_assembler::begin_message},
        {"message_delta", &message_assembler::end_message},
    };
    if (failure_ || complete_) return;
    if (name == "error") {
        if (data.size() <= error_bytes_max && is_json(data)) upstream_error_ = trimmed(data);
        return fail(errc::upstream_error_event, "The upstream reported an error inside the stream.");
    }
    if (name == "message_stop") {
        complete_ = has_begun_;
        return;
    }
    const auto act = look_up<action>(actions, name, nullptr);
    if (act == nullptr || data.empty() || (!has_begun_ && name != "message_start")) return;
    if (!is_json(data) || !is_object(data)) {
        return fail(errc::upstream_protocol_error, fmt::format("The data of a {} event is not a JSON object.", name));
    }
    (this->*act)(data);
}

void message_assembler::events(std::string_view text) {
    for (event_text next(text); next.next();) {
        if (next.name() == "restart") {
            reset();
        } else {
            event(next.name(), next.data());
        }
    }
}

void message_assembler::begin_message(std::string_view data) {
    if (has_begun_) return fail(errc::upstream_protocol_error, "A second message began before the first had ended.");
    const auto message = find_member(data, "message");
    if (!message || !is_object(*message)) return fail(errc::upstream_protocol_error, "message_start has no message.");
    has_begun_ = true;
    fill(message_, *message);
    if (const auto* const usage = find(message_, "usage"); usage != nullptr && is_object(usage->value)) {
        has_usage_ = true;
        fill(usage_, usage->value);
    }
    if (const auto* const content = find(message_, "content"); content != nullptr && is_array(content->value)) {
        for (raw_cursor element(content->value); element.next();) add_block(element.value());
    }
}

void message_assembler::begin_block(std::string_view data) {
    const auto text = find_member(data, "content_block");
    if (!text) return fail(errc::upstream_protocol_error, "content_block_start has no content_block.");
    add_block(*text);
}

void message_assembler::add_block(std::string_view text) {
    static constexpr named<block_type> types[] = {
        {"text", block_type::text},         {"thinking", block_type::thinking},
        {"tool_use", block_type::tool},     {"server_tool_use", block_type::tool},
        {"mcp_tool_use", block_type::tool}, {"compaction", block_type::compaction},
        {"fallback", block_type::fallback},
    };
    if (!is_object(text)) return fail(errc::upstream_protocol_error, "A content block is not an object.");
    if (!fits(sizeof(block) + text.size())) return;
    auto& added = blocks_.emplace_back();
    added.start = text;
    added.type = look_up(types, type_of(find_member(text, "type")), block_type::other);
    if (added.type != block_type::fallback) return;
    const auto to = find_member(text, "to");
    const auto model = to ? find_member(*to, "model") : std::nullopt;
    if (model) served_by_ = *model;
}

void message_assembler::add_delta(std::string_view data) {
    std::optional<std::uint64_t> index;
    std::string_view delta;
    for (raw_cursor member(data); member.next();) {
        if (member.is("index")) index = plain_count(member.value());
        if (member.is("delta")) delta = member.value();
    }
    if (!index || *index >= blocks_.size()) {
        return fail(errc::upstream_protocol_error, "A delta belongs to a content block that has not begun.");
    }
    change_block(blocks_[*index], delta_text(delta));
}

void message_assembler::change_block(block& changed, const delta_text& delta) {
    using enum delta_text::kind;
    const auto missing = [&](std::string_view what) {
        fail(errc::upstream_protocol_error, fmt::format("A delta of a content block lacks its `{}`.", what));
    };
    const auto replace = [&](std::string& target, std::string_view value) {
        if (fits(value.size())) target = value;
    };
    if (delta.type == text && changed.type == block_type::text) {
        join(changed, "text", delta.text);
    } else if (delta.type == thinking && changed.type == block_type::thinking) {
        join(changed, "thinking", delta.thinking);
    } else if (delta.type == input && changed.type == block_type::tool) {
        join(changed, "partial_json", delta.partial_json);
    } else if (delta.type == signature && changed.type == block_type::thinking) {
        if (!delta.signature) return missing("signature");
        replace(changed.signature, *delta.signature);
    } else if (delta.type == citations && changed.type == block_type::text) {
        if (!delta.citation) return missing("citation");
        if (!fits(delta.citation->size() + 1)) return;
        changed.citations += ',';
        changed.citations += *delta.citation;
    } else if (delta.type == compaction && changed.type == block_type::compaction) {
        if (!delta.content) return missing("content");
        replace(changed.content, *delta.content);
        if (delta.encrypted_content) replace(changed.encrypted_content, *delta.encrypted_content);
    } else {
        ++ignored_deltas_;
    }
}

// Appends what stands between the quotes, escapes as they are: the two halves of a surrogate pair that came in two
// deltas are then one character again.
void message_assembler::join(block& changed, std::string_view key, std::optional<std::string_view> text) {
    if (!text || !is_string(*text)) {
        return fail(errc::upstream_protocol_error, fmt::format("A delta of a content block lacks its `{}`.", key));
    }
    if (!changed.is_joined) {
        changed.is_joined = true;
        // The deltas of an input replace what the block began with, those of texts follow it.
        if (changed.type != block_type::tool) changed.joined = text_between_quotes(find_member(changed.start, key));
    }
    const auto added = between_quotes(*text);
    if (fits(added.size())) changed.joined += added;
}

void message_assembler::end_message(std::string_view data) {
    for (raw_cursor member(data); member.next();) {
        if (member.is("delta")) {
            for (raw_cursor changed(member.value()); changed.next();) change_message(changed);
        } else if (member.is("usage")) {
            has_usage_ = has_usage_ || is_object(member.value());
            for (raw_cursor changed(member.value()); changed.next();) {
                if (changed.value() != "null") set(usage_, changed);
            }
        } else {
            change_message(member);
        }
    }
}

void message_assembler::change_message(const raw_cursor& changed) {
    if (is_any_of(changed, {"id", "type", "role", "model", "content", "usage"})) return;
    const bool may_be_null = is_any_of(changed, {"stop_reason", "stop_sequence", "stop_details"});
    if (may_be_null || changed.value() != "null") set(message_, changed);
}

void message_assembler::fill(object& target, std::string_view text) {
    for (raw_cursor member(text); member.next();) set(target, member);
}

void message_assembler::set(object& target, const raw_cursor& changed) {
    if (!fits(changed.key().size() + changed.value().size())) return;
    for (auto& one : target) {
        if (!changed.is(one.name)) continue;
        one.value = changed.value();
        return;
    }
    if (target.size() == members_max) {
        return fail(errc::upstream_protocol_error, fmt::format("The message has more than {} members.", members_max));
    }
    target.push_back({.key = std::string(changed.key()),
                      .name = unescape(changed.key()).value_or(std::string()),
                      .value = std::string(changed.value())});
}

// Counts bytes that are about to be kept.
bool message_assembler::fits(std::size_t bytes) {
    if (bytes > limits_.answer_bytes_max - kept_bytes_) {
        fail(errc::upstream_protocol_error,
             fmt::format("The answer is longer than {} bytes.", limits_.answer_bytes_max));
        return false;
    }
    kept_bytes_ += bytes;
    return true;
}

void message_assembler::fail(errc kind, std::string detail) {
    if (!failure_) failure_ = base::error{kind, std::move(detail)};
}

const message_assembler::member* message_assembler::find(const object& in, std::string_view name) {
    const auto found = std::ranges::find(in, name, &member::name);
    return found == in.end() ? nullptr : &*found;
}

// The text of a tool's input, as JSON.
base::result<std::string> message_assembler::input_of(const block& tool, std::size_t number) {
    auto text = unescape(tool.joined);
    if (text && trimmed(*text).empty()) return "{}";
    auto input = text ? completed_json(*text) : std::nullopt;
    if (input) return std::move(*input);
    return base::fail(errc::upstream_protocol_error,
                      fmt::format("The input of content block {} (a tool's) is not JSON.", number));
}

base::result<void> message_assembler::write_block(std::string& to, const block& written, std::size_t number) {
    std::string input;
    std::vector<replacement> replaced;
    const auto replace = [&](std::string_view key, std::array<std::string_view, 4> parts) {
        replaced.push_back({key, parts});
    };
    if (written.is_joined && written.type == block_type::tool) {
        auto json = input_of(written, number);
        if (!json) return std::unexpected(json.error());
        input = std::move(*json);
        replace("input", {input});
    } else if (written.is_joined) {
        replace(written.type == block_type::text ? "text" : "thinking", {"\"", written.joined, "\""});
    }
    if (!written.signature.empty()) replace("signature", {written.signature});
    if (!written.content.empty()) replace("content", {written.content});
    if (!written.encrypted_content.empty()) replace("encrypted_content", {written.encrypted_content});
    if (!written.citations.empty()) {
        auto first = trimmed(find_member(written.start, "citations").value_or(""));
        first = first.starts_with('[') ? trimmed(first.substr(1, first.size() - 2)) : std::string_view();
        replace("citations", {"[", first, std::string_view(written.citations).substr(first.empty() ? 1 : 0), "]"});
    }
    write_object(to, written.start, replaced);
    return {};
}

base::result<std::string> message_assembler::take() {
    if (failure_) return std::unexpected(*failure_);
    if (!complete_) {
        return base::fail(errc::upstream_cut, has_begun_ ? "The stream ended before its message was complete."
                                                         : "The stream ended before a message had begun.");
    }
    std::string text;
    text.reserve(kept_bytes_ + 2);
    const auto write_content = [&]() -> base::result<void> {
        text += '[';
        for (std::size_t number = 0; number < blocks_.size(); ++number) {
            if (number > 0) text += ',';
            if (auto done = write_block(text, blocks_[number], number); !done) return done;
        }
        text += ']';
        return {};
    };
    const auto write_usage = [&] {
        text += '{';
        for (const auto& one : usage_) {
            write_key(text, one.key);
            text += one.value;
        }
        text += '}';
    };
    text += '{';
    for (const auto& one : message_) {
        write_key(text, one.key);
        if (one.name == "content") {
            if (auto done = write_content(); !done) return std::unexpected(done.error());
        } else if (one.name == "usage" && has_usage_) {
            write_usage();
        } else {
            text += one.name == "model" && !served_by_.empty() ? served_by_ : one.value;
        }
    }
    if (find(message_, "content") == nullptr) {
        write_key(text, "content");
        if (auto done = write_content(); !done) return std::unexpected(done.error());
    }
    if (has_usage_ && find(message_, "usage") == nullptr) {
        write_key(text, "usage");
        write_usage();
    }
    text += '}';
    reset();
    return text;
}

}  // namespace anthropic
