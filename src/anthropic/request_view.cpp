#include "anthropic/request_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "anthropic/json_text.hpp"
#include "anthropic/member_scanner.hpp"

namespace anthropic {
namespace {

using base::errc;
using base::fail;

constexpr std::string_view governed[] = {"model", "stream",        "max_tokens", "metadata",    "service_tier",
                                         "speed", "inference_geo", "tools",      "mcp_servers", "fallbacks"};
constexpr std::string_view metadata_members[] = {"user_id"};

// Longer than any model id, also than the resource names of the cloud platforms; it bounds what logs and metrics carry.
constexpr std::size_t model_bytes_max = 2048;
constexpr std::size_t user_id_bytes_max = 256;

// The bytes are all here, so that spans suffice and no text is kept.
member_scanner scan(std::string_view text, std::span<const std::string_view> wanted) {
    member_scanner scanner(wanted, {.value_bytes_max = 0});
    scanner.feed(text);
    return scanner;
}

std::string_view value_of(std::string_view text, const member_scanner::member& found) {
    return text.substr(found.begin, found.end - found.begin);
}

// A sentence for a client who has to find the mistake; it never repeats bytes of the body.
std::string what_is_wrong(std::string_view body, const member_scanner& scanner) {
    const auto first = body.find_first_not_of(" \t\r\n");
    if (first == body.npos) return "The request body is empty; a JSON object is expected.";
    if (body.starts_with("\xEF\xBB\xBF")) {
        return "The request body begins with a byte order mark; send plain UTF-8 without one.";
    }
    if (body[first] != '{') return "The request body is not a JSON object: it does not begin with a brace.";
    if (!scanner.failed()) {
        return fmt::format(
            "The request body is not complete JSON: it ends after {} bytes, before its object is closed.", body.size());
    }
    if (scanner.complete()) {
        return fmt::format("The request body has something after the end of its JSON object, at byte {}.",
                           scanner.failed_at());
    }
    return fmt::format("The request body is not valid JSON: something unexpected stands at byte {}.",
                       scanner.failed_at());
}

std::string read_user_id(std::string_view metadata) {
    const auto scanner = scan(metadata, metadata_members);
    const auto* const found = scanner.find("user_id");
    if (found == nullptr || !scanner.complete()) return {};
    const auto user_id = decode_string(value_of(metadata, *found));
    return user_id ? std::string(utf8_prefix(*user_id, user_id_bytes_max)) : std::string();
}

}  // namespace

base::result<request_view> read_request(std::string_view body) {
    const auto scanner = scan(body, governed);
    if (scanner.failed() || !scanner.complete()) return fail(errc::invalid_json, what_is_wrong(body, scanner));

    for (const auto& found : scanner.members()) {
        if (std::ranges::count(scanner.members(), found.key, &member_scanner::member::key) > 1) {
            return fail(errc::duplicate_field,
                        fmt::format("`{}` occurs more than once in the request body; send it once.", found.key));
        }
    }

    const auto* const model = scanner.find("model");
    if (model == nullptr) return fail(errc::missing_field, "`model` is missing in the request body.");
    if (model->end - model->begin > model_bytes_max) {
        return fail(errc::missing_field, fmt::format("`model` is longer than {} bytes.", model_bytes_max));
    }
    auto name = decode_string(value_of(body, *model));
    if (!name || name->empty()) return fail(errc::missing_field, "`model` must be a string that is not empty.");

    request_view view;
    view.model = std::move(*name);
    view.model_begin = model->begin;
    view.model_end = model->end;
    if (const auto* const stream = scanner.find("stream")) view.stream = value_of(body, *stream) == "true";
    if (const auto* const max_tokens = scanner.find("max_tokens")) {
        const auto count = plain_count(value_of(body, *max_tokens));
        view.has_max_tokens = count.has_value();
        view.max_tokens = count.value_or(0);
    }
    // Anything but the plain spelling of the cheap value counts as the dear one.
    const auto is_not = [&](std::string_view key, std::string_view cheap) {
        const auto* const found = scanner.find(key);
        return found != nullptr && value_of(body, *found) != cheap && value_of(body, *found) != "null";
    };
    view.fast = is_not("speed", "\"standard\"");
    view.us_only = is_not("inference_geo", "\"global\"");
    view.has_tools = is_not("tools", "[]");
    view.has_mcp = is_not("mcp_servers", "[]");
    view.has_fallbacks = is_not("fallbacks", "[]");
    if (const auto* const metadata = scanner.find("metadata")) view.user_id = read_user_id(value_of(body, *metadata));
    return view;
}

}  // namespace anthropic
