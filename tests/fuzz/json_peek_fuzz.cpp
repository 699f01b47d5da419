// The request peek on any bytes: it never crashes, any split gives the same, and on every body that a strict parser
// takes for a JSON object it finds what a walk over that parser's document finds.
#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "anthropic/content_features.hpp"
#include "anthropic/json_text.hpp"
#include "anthropic/member_scanner.hpp"
#include "anthropic/references.hpp"
#include "anthropic/request_view.hpp"
#include "anthropic/usage_meter.hpp"

namespace {

using anthropic::member_scanner;
namespace dom = simdjson::dom;

constexpr std::string_view governed[] = {"model",        "stream", "max_tokens",   "metadata",
                                         "service_tier", "speed",  "inference_geo"};

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

void require_same(const member_scanner& one, const member_scanner& other) {
    require(one.complete() == other.complete(), "both complete");
    require(one.failed() == other.failed() && one.failed_at() == other.failed_at(), "both failed at the same byte");
    const auto is_same = [](const member_scanner::member& left, const member_scanner::member& right) {
        return left.key == right.key && left.begin == right.begin && left.end == right.end && left.text == right.text &&
               left.oversized == right.oversized;
    };
    require(std::ranges::equal(one.members(), other.members(), is_same), "both found the same members");
}

void require_split_does_not_matter(std::string_view text, std::uint32_t random) {
    const member_scanner::options limits{.value_bytes_max = 24};
    member_scanner whole(governed, limits), bytewise(governed, limits), pieces(governed, limits);
    whole.feed(text);
    for (const char& byte : text) bytewise.feed({&byte, 1});
    for (std::size_t position = 0; position < text.size();) {
        random = random * 1664525 + 1013904223;
        const std::string piece(
            text.substr(position, random >> 24));  // a copy of its own, so that ASan guards its ends
        pieces.feed(piece);
        position += piece.size();
    }
    require_same(whole, bytewise);
    require_same(whole, pieces);
    for (const auto& found : whole.members()) {
        if (!found.oversized)
            require(found.text == text.substr(found.begin, found.end - found.begin), "text is the span");
    }
}

void require_same_meter(std::string_view text) {
    anthropic::json_meter whole, bytewise;
    whole.feed(text);
    for (const char& byte : text) bytewise.feed({&byte, 1});
    whole.finish();
    bytewise.finish();
    const auto &one = whole.result(), &other = bytewise.result();
    require(one.counts == other.counts && one.state == other.state && one.damaged == other.damaged, "meters agree");
}

// The last `user_id` of the metadata, cut as read_request cuts it.
std::string user_id_of(dom::element metadata) {
    std::string user_id;
    dom::object object;
    if (metadata.get(object)) return user_id;
    for (const auto member : object) {
        if (member.key != "user_id") continue;
        std::string_view value;
        user_id = member.value.get(value) ? std::string_view() : anthropic::utf8_prefix(value, 256);
    }
    return user_id;
}

void require_like_document(std::string_view body, dom::object document) {
    const auto view = anthropic::read_request(body);
    std::map<std::string_view, int> occurrences;
    dom::element model, stream, max_tokens, metadata;
    for (const auto member : document) {
        if (std::ranges::find(governed, member.key) == std::end(governed)) continue;
        ++occurrences[member.key];
        if (member.key == "model") model = member.value;
        if (member.key == "stream") stream = member.value;
        if (member.key == "max_tokens") max_tokens = member.value;
        if (member.key == "metadata") metadata = member.value;
    }
    const bool has_duplicate = std::ranges::any_of(occurrences, [](const auto& entry) { return entry.second > 1; });
    if (has_duplicate) {
        require(!view && view.error().kind == base::errc::duplicate_field, "a duplicate is refused");
        return;
    }
    std::string_view name;
    if (!occurrences.contains("model") || model.get(name) || name.empty()) {
        require(!view && view.error().kind == base::errc::missing_field, "a missing model is refused");
        return;
    }
    if (!view) {
        require(view.error().kind == base::errc::missing_field && body.size() > 2048, "only a huge model is refused");
        return;
    }
    require(view->model == name, "the model is the document's");
    bool is_stream = false;
    if (occurrences.contains("stream") && stream.get(is_stream)) is_stream = false;
    require(view->stream == is_stream, "stream is the document's");
    std::uint64_t count = 0;
    const bool has_count = occurrences.contains("max_tokens") && !max_tokens.get(count);
    // -0 is a number for the document and no plain count for us.
    require(view->has_max_tokens == has_count || count == 0, "max_tokens is there when the document has it");
    require(view->max_tokens == count, "max_tokens is the document's");
    if (occurrences.contains("metadata")) require(view->user_id == user_id_of(metadata), "user_id is the document's");
}

// Every model that the fallbacks name is known, however it is spelled.
void require_fallbacks(std::string_view body, dom::object document) {
    const auto found = anthropic::read_features(body);
    for (const auto member : document) {
        dom::array fallbacks;
        if (member.key != "fallbacks" || member.value.get(fallbacks)) continue;
        for (const dom::element each : fallbacks) {
            dom::object fallback;
            if (each.get(fallback)) continue;
            for (const auto part : fallback) {
                std::string_view name;
                if (part.key != "model" || part.value.get(name)) continue;
                require(found.unnamed_model || std::ranges::find(found.models, name) != found.models.end(),
                        "a fallback's model is known");
            }
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string body(reinterpret_cast<const char*>(bytes), size);
    require_split_does_not_matter(body, static_cast<std::uint32_t>(size));
    require_same_meter(body);

    dom::parser parser;
    dom::object document;
    const bool is_object = parser.parse(body).get(document) == simdjson::SUCCESS;
    if (is_object) {
        require_like_document(body, document);
        require_fallbacks(body, document);
    } else {
        (void)anthropic::read_request(body);
        (void)anthropic::read_features(body);
    }
    (void)anthropic::read_references(body);
    return 0;
}
