#include "anthropic/usage_meter.hpp"

#include <algorithm>

#include "anthropic/answer_reader.hpp"
#include "anthropic/json_text.hpp"

namespace anthropic {
namespace {

constexpr std::string_view answer_members[] = {"id", "model", "type", "stop_reason", "usage", "error"};

// Room for a usage object with all the iterations we believe; error bodies and names are far smaller.
constexpr std::size_t value_bytes_max = 256 * 1024;

// {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}
constexpr std::uint64_t delta_frame_bytes = 79;

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view space = " \t\r\n";
    text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
    return text.substr(0, text.find_last_not_of(space) + 1);
}

// The raw value of the last member called `key` in the object `text`, empty when there is none.
std::string_view raw_member(std::string_view text, const std::string_view (&key)[1]) {
    member_scanner scanner(key, {.value_bytes_max = 0});
    scanner.feed(text);
    const auto* const found = scanner.find(key[0]);
    return found ? text.substr(found->begin, found->end - found->begin) : std::string_view();
}

// A block of these types begins empty and grows by deltas; any other is complete when it begins. What cannot be read
// is taken for content, because then nobody can say that the caller has seen nothing.
bool begins_empty(std::string_view content_block_start) {
    static constexpr std::string_view block[] = {"content_block"}, type[] = {"type"};
    static constexpr std::string_view growing[] = {"\"text\"", "\"thinking\"", "\"tool_use\"", "\"server_tool_use\"",
                                                   "\"mcp_tool_use\""};
    return std::ranges::find(growing, raw_member(raw_member(content_block_start, block), type)) != std::end(growing);
}

void take(std::string& to, std::optional<std::string>& from) {
    if (from) to = std::move(*from);
}

// What an answer tells of itself besides errors, be it in an event or in a JSON body.
void take_over(metered& result, answer_reading& reading) {
    if (reading.damaged) result.damaged = true;
    take(result.message_id, reading.message_id);
    take(result.model, reading.model);
    take(result.stop_reason, reading.stop_reason);
    if (!reading.usage) return;
    overwrite(result.counts, *reading.usage);
    result.state = answer_state::partial;
}

}  // namespace

// Oversized text comes empty: a block start then counts as content, anything else as damage.
void stream_meter::on_event(event_kind kind, std::string_view data, std::uint64_t data_bytes, bool /*oversized*/) {
    ++result_.events;
    switch (kind) {
        case event_kind::content_block_delta:
            result_.content_bytes += data_bytes;
            result_.text_bytes += data_bytes > delta_frame_bytes ? data_bytes - delta_frame_bytes : 1;
            content_seen_ = true;
            return;
        case event_kind::content_block_start:
            if (!content_seen_) content_seen_ = !begins_empty(data);
            return;
        case event_kind::content_block_stop:
        case event_kind::other:
            content_seen_ = true;
            return;
        case event_kind::ping:
            return;
        case event_kind::message_stop:
            on_message_stop();
            return;
        case event_kind::message_start:
        case event_kind::message_delta:
        case event_kind::error:
            break;
    }
    if (kind == event_kind::message_start) on_message_start(data);
    if (kind == event_kind::message_delta) on_message_delta(data);
    if (kind == event_kind::error) on_error(data);
}

void stream_meter::on_message_start(std::string_view data) {
    if (result_.state == answer_state::complete) return;
    if (started_) {
        result_.damaged = true;
        return;
    }
    started_ = true;
    auto reading = read_message_start(data);
    take_over(result_, reading);
}

void stream_meter::on_message_delta(std::string_view data) {
    content_seen_ = true;
    if (result_.state == answer_state::complete) return;
    auto reading = read_message_delta(data);
    take_over(result_, reading);
}

void stream_meter::on_message_stop() {
    content_seen_ = true;
    if (result_.state == answer_state::partial) result_.state = answer_state::complete;
}

void stream_meter::on_error(std::string_view data) {
    if (error_seen_) return;
    error_seen_ = true;
    result_.began_with_error = !content_seen_;
    error_data_ = trimmed(data);
    auto reading = read_error(data);
    if (reading.damaged) result_.damaged = true;
    take(result_.error_type, reading.error_type);
}

json_meter::json_meter() : scanner_(answer_members, {.value_bytes_max = value_bytes_max}) {}

void json_meter::feed(std::string_view bytes) { scanner_.feed(bytes); }

void json_meter::finish() {
    const bool is_whole = scanner_.complete() && !scanner_.failed();
    if (!is_whole) result_.damaged = true;

    // The text of a member that is there and not null.
    const auto text_of = [&](std::string_view key) -> std::string_view {
        const auto* const found = scanner_.find(key);
        if (found == nullptr || found->text == "null") return {};
        if (found->oversized) result_.damaged = true;
        return found->text;
    };
    const auto name_of = [&](std::string_view key, std::string& to) {
        const auto text = text_of(key);
        if (text.empty()) return;
        auto name = decode_string(text);
        if (name && name->size() <= answer_limits::name_bytes_max) {
            to = std::move(*name);
        } else {
            result_.damaged = true;
        }
    };
    name_of("id", result_.message_id);
    name_of("model", result_.model);
    name_of("stop_reason", result_.stop_reason);
    if (const auto usage = text_of("usage"); !usage.empty()) {
        auto reading = read_usage(usage);
        take_over(result_, reading);
    }
    if (const auto error = text_of("error"); !error.empty()) {
        auto reading = read_error_object(error);
        if (reading.damaged) result_.damaged = true;
        take(result_.error_type, reading.error_type);
    }
    if (is_whole && result_.state == answer_state::partial) result_.state = answer_state::complete;
}

}  // namespace anthropic
