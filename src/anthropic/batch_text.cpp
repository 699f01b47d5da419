#include "anthropic/batch_text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "anthropic/json_text.hpp"
#include "anthropic/member_scanner.hpp"
#include "anthropic/usage_meter.hpp"

namespace anthropic {
namespace {

using base::errc;
using base::fail;

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view body_members[] = {"requests"};
constexpr std::string_view item_members[] = {"custom_id", "params"};
constexpr std::string_view line_members[] = {"custom_id", "result"};
constexpr std::string_view result_members[] = {"type", "message", "error"};

// The bytes are all here, so that spans suffice and no text is kept.
member_scanner scan(std::string_view text, std::span<const std::string_view> wanted) {
    member_scanner scanner(wanted, {.value_bytes_max = 0});
    scanner.feed(text);
    return scanner;
}

std::string_view value_of(std::string_view text, const member_scanner::member* found) {
    return found ? text.substr(found->begin, found->end - found->begin) : std::string_view();
}

const member_scanner::member* twice(const member_scanner& scanner) {
    for (const auto& found : scanner.members()) {
        if (std::ranges::count(scanner.members(), found.key, &member_scanner::member::key) > 1) return &found;
    }
    return nullptr;
}

void skip_blanks(std::string_view& text) { text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size())); }

}  // namespace

base::result<batch_reader> batch_reader::open(std::string_view body) {
    const auto scanner = scan(body, body_members);
    if (scanner.failed() || !scanner.complete()) {
        return fail(errc::invalid_json, "The request body is not a whole JSON object.");
    }
    if (twice(scanner)) {
        return fail(errc::duplicate_field, "`requests` occurs more than once in the request body; send it once.");
    }
    std::string_view list = value_of(body, scanner.find("requests"));
    if (!list.starts_with('[')) return batch_reader({});
    list.remove_prefix(1);
    skip_blanks(list);
    return batch_reader(list.starts_with(']') ? std::string_view() : list);
}

base::result<std::optional<batch_item>> batch_reader::next() {
    if (left_.empty()) return std::optional<batch_item>();
    const auto scanner = scan(left_, item_members);
    // It fails at the byte behind the object: the comma, or the end of the list.
    if (!scanner.complete() || !scanner.failed()) {
        return fail(errc::invalid_json, fmt::format("requests.{} is not a JSON object.", taken_));
    }
    if (const auto* const found = twice(scanner)) {
        return fail(errc::duplicate_field,
                    fmt::format("requests.{}: `{}` occurs more than once; send it once.", taken_, found->key));
    }
    batch_item item;
    item.params = value_of(left_, scanner.find("params"));
    item.custom_id = decode_string(value_of(left_, scanner.find("custom_id"))).value_or(std::string());
    const auto end = static_cast<std::size_t>(scanner.failed_at());
    const char behind = left_[end];
    if (behind != ',' && behind != ']') {
        return fail(errc::invalid_json, fmt::format("Something unexpected stands behind requests.{}.", taken_));
    }
    left_.remove_prefix(end + 1);
    if (behind == ']') {
        if (!left_.empty()) return fail(errc::invalid_json, "Something unexpected stands behind the requests.");
    } else if (left_.empty()) {
        return fail(errc::invalid_json, "The list of requests is not closed.");
    }
    ++taken_;
    return std::optional(std::move(item));
}

std::optional<batch_state> read_batch_state(std::string_view object) {
    try {
        simdjson::ondemand::parser parser;
        const simdjson::padded_string padded(object);
        auto document = parser.iterate(padded);
        batch_state read;
        for (auto field : document.get_object()) {
            const std::string_view key = field.unescaped_key();
            if (key == "id") read.id = std::string_view(field.value().get_string().value());
            if (key == "processing_status") {
                read.processing_status = std::string_view(field.value().get_string().value());
            }
            if (key == "created_at") read.created_at = std::string_view(field.value().get_string().value());
            if (key != "request_counts") continue;
            for (auto count : field.value().get_object()) read.requests += count.value().get_uint64().value();
        }
        if (read.id.empty() || read.processing_status.empty()) return std::nullopt;
        return read;
    } catch (const simdjson::simdjson_error&) {
        return std::nullopt;
    }
}

std::optional<batch_result> read_batch_result(std::string_view line) {
    const auto outer = scan(line, line_members);
    if (outer.failed() || !outer.complete()) return std::nullopt;
    auto custom_id = decode_string(value_of(line, outer.find("custom_id")));
    const std::string_view result = value_of(line, outer.find("result"));
    const auto inner = scan(result, result_members);
    const auto type = decode_string(value_of(result, inner.find("type")));
    if (!custom_id || !type || inner.failed() || !inner.complete()) return std::nullopt;
    batch_result read{.custom_id = std::move(*custom_id),
                      .succeeded = *type == "succeeded",
                      .seen = {},
                      .kind = std::move(*type),
                      .body = {}};
    read.body = value_of(result, inner.find(read.succeeded ? "message" : "error"));
    if (!read.succeeded) return read;
    json_meter meter;
    meter.feed(read.body);
    meter.finish();
    read.seen = meter.result();
    return read;
}

}  // namespace anthropic
