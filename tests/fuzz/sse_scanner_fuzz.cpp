// Any bytes, in any pieces, give the same events as a plain reading of the whole text by the rules of server-sent
// events, and the meter survives them. The first byte of the input seeds the sizes of the pieces.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "anthropic/sse_scanner.hpp"
#include "anthropic/usage_meter.hpp"

namespace {

using anthropic::event_kind;

constexpr std::size_t data_bytes_max = 100;

struct event {
    event_kind kind;
    std::string data;
    std::uint64_t data_bytes;
    bool oversized;

    bool operator==(const event&) const = default;
};

struct recorder final : anthropic::event_sink {
    std::vector<event> events;
    anthropic::stream_meter meter;

    void on_event(event_kind kind, std::string_view data, std::uint64_t data_bytes, bool oversized) override {
        events.push_back({kind, std::string(data), data_bytes, oversized});
        meter.on_event(kind, data, data_bytes, oversized);
    }
};

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

struct reading {
    std::vector<event> events;  // those with a known or unknown name; unnamed ones have kind `other` and no data
    std::vector<bool> named;
    bool between_events = true;
};

event_kind kind_of(std::string_view name) {
    constexpr std::string_view names[] = {"message_start",
                                          "content_block_start",
                                          "content_block_delta",
                                          "content_block_stop",
                                          "message_delta",
                                          "message_stop",
                                          "ping",
                                          "error"};
    return static_cast<event_kind>(std::find(std::begin(names), std::end(names), name) - std::begin(names));
}

bool has_text(event_kind kind) {
    return kind == event_kind::message_start || kind == event_kind::content_block_start ||
           kind == event_kind::message_delta || kind == event_kind::error;
}

// The plain way: all at once, line by line. Events whose name comes after some of their data are left to the other
// comparisons, because the scanner may then have lost that data.
reading read_plainly(std::string_view text, bool& is_comparable) {
    reading result;
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    std::string name, data;
    bool has_data = false, in_event = false;
    while (!text.empty()) {
        const auto line_end = text.find_first_of("\r\n");
        if (line_end == text.npos) {
            result.between_events = false;
            return result;
        }
        const auto line = text.substr(0, line_end);
        const bool is_crlf = text.substr(line_end, 2) == "\r\n";
        result.between_events = line.empty() && (text[line_end] == '\n' || is_crlf || line_end + 1 < text.size());
        text.remove_prefix(line_end + (is_crlf ? 2 : 1));
        if (line.empty()) {
            if (has_data) {
                const auto kind = name.empty() ? event_kind::other : kind_of(name);
                const bool oversized = has_text(kind) && data.size() > data_bytes_max;
                result.events.push_back({kind, has_text(kind) && !oversized ? data : "", data.size(), oversized});
                result.named.push_back(!name.empty());
            }
            name.clear();
            data.clear();
            has_data = in_event = false;
            continue;
        }
        in_event = true;
        const auto colon = std::min(line.find(':'), line.size());
        auto value = line.substr(std::min(colon + 1, line.size()));
        if (value.starts_with(' ')) value.remove_prefix(1);
        if (line.substr(0, colon) == "event") {
            if (has_data) is_comparable = false;
            name = value;
        } else if (line.substr(0, colon) == "data") {
            if (has_data) data += '\n';
            has_data = true;
            data += value;
        }
    }
    if (in_event) result.between_events = false;
    return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size == 0) return 0;
    std::uint32_t random = bytes[0];
    const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);

    recorder whole;
    anthropic::sse_scanner whole_scanner(data_bytes_max);
    whole_scanner.feed(text, whole);

    recorder bytewise;
    anthropic::sse_scanner bytewise_scanner(data_bytes_max);
    std::vector<bool> between{bytewise_scanner.between_events()};
    for (const char& byte : text) {
        bytewise_scanner.feed({&byte, 1}, bytewise);
        between.push_back(bytewise_scanner.between_events());
    }
    require(whole.events == bytewise.events, "whole and bytewise give the same events");
    require(whole_scanner.between_events() == between.back(), "whole and bytewise end alike");

    recorder pieces;
    anthropic::sse_scanner pieces_scanner(data_bytes_max);
    for (std::size_t position = 0; position < text.size();) {
        random = random * 1664525 + 1013904223;
        const std::string piece(
            text.substr(position, random >> 27));  // a copy of its own, so that ASan guards its ends
        pieces_scanner.feed(piece, pieces);
        position += piece.size();
        require(pieces_scanner.between_events() == between[position], "pieces are between events where bytes are");
    }
    require(whole.events == pieces.events, "whole and pieces give the same events");

    bool is_comparable = true;
    const auto plain = read_plainly(text, is_comparable);
    require(plain.events.size() == whole.events.size(), "the plain reading gives as many events");
    const bool in_mark = !text.empty() && text.size() < 3 && std::string_view("\xEF\xBB\xBF").starts_with(text);
    require(in_mark || plain.between_events == whole_scanner.between_events(), "the plain reading ends alike");
    for (std::size_t index = 0; is_comparable && index < plain.events.size(); ++index) {
        require(plain.events[index].data_bytes == whole.events[index].data_bytes,
                "data has the plain reading's length");
        if (plain.named[index]) require(plain.events[index] == whole.events[index], "the event is the plain reading's");
    }

    const auto& one = whole.meter.result();
    const auto& other = pieces.meter.result();
    require(one.counts == other.counts && one.state == other.state && one.damaged == other.damaged, "meters agree");
    require(one.events == whole.events.size(), "the meter counts the events");
    return 0;
}
