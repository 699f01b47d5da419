#include "anthropic/event_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "anthropic/json_text.hpp"

namespace anthropic {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::string_view id_field = "id: ";

const char* find(char byte, const char* from, const char* end) {
    const auto* const found = static_cast<const char*>(std::memchr(from, byte, static_cast<std::size_t>(end - from)));
    return found ? found : end;
}

std::string_view field_of(std::string_view line) { return line.substr(0, line.find(':')); }

bool is_line_begin(std::string_view text, std::size_t at) {
    return at == 0 || text[at - 1] == '\n' || text[at - 1] == '\r';
}

}  // namespace

base::result<void> event_numbering::feed(std::string_view bytes, std::string& log) {
    const char* next = bytes.data();
    const char* const end = next + bytes.size();
    const char* cr = find('\r', next, end);  // most streams have none, then each line costs one search
    while (next != end && !failed_) {
        if (after_cr_) {
            if (*next == '\n') event_ += *next++;
            end_line(log);
            continue;
        }
        const char* const stop = find('\n', next, cr);
        const auto size = static_cast<std::size_t>(stop - next);
        failed_ = size > chosen_.event_bytes_max - std::min(chosen_.event_bytes_max, event_.size());
        if (failed_) break;
        event_.append(next, size);
        next = stop;
        if (stop == end) break;
        line_end_ = event_.size();
        event_ += *next++;
        if (stop == cr) {
            after_cr_ = true;
            cr = find('\r', next, end);
        } else {
            end_line(log);
        }
    }
    if (!failed_) return {};
    return base::fail(base::errc::upstream_protocol_error,
                      fmt::format("An event of the stream is longer than {} bytes.", chosen_.event_bytes_max));
}

bool event_numbering::end_stream(std::string& log) {
    if (after_cr_) end_line(log);
    const bool is_clean = event_.empty();
    begin_stream();
    return is_clean;
}

void event_numbering::add(std::string_view event, std::string& log) {
    begin_stream();
    log += fmt::format("id: {}\n{}", next_id_++, event);
}

// A line and its end are in event_.
void event_numbering::end_line(std::string& log) {
    after_cr_ = false;
    if (is_first_line_ && event_.starts_with(byte_order_mark)) {
        event_.erase(0, byte_order_mark.size());
        line_end_ -= byte_order_mark.size();
    }
    is_first_line_ = false;
    const auto line = std::string_view(event_).substr(line_begin_, line_end_ - line_begin_);
    if (line.empty()) {
        if (has_data_) log += fmt::format("id: {}\n{}", next_id_++, event_);
        event_.clear();
        has_data_ = false;
    } else if (field_of(line) == "id") {
        event_.resize(line_begin_);
    } else if (field_of(line) == "data") {
        has_data_ = true;
    }
    line_begin_ = event_.size();
}

void event_numbering::begin_stream() {
    event_.clear();
    line_begin_ = line_end_ = 0;
    has_data_ = after_cr_ = failed_ = false;
    is_first_line_ = true;
}

std::optional<std::uint64_t> last_id(std::string_view chunk) {
    for (auto at = chunk.rfind(id_field); at != chunk.npos; at = chunk.rfind(id_field, at - 1)) {
        if (is_line_begin(chunk, at)) {
            const auto digits = chunk.substr(at + id_field.size());
            return plain_count(digits.substr(0, digits.find('\n')));
        }
        if (at == 0) break;
    }
    return {};
}

std::string_view skip_to_after(std::string_view chunk, std::uint64_t first_id, std::uint64_t last_seen_id) {
    if (last_seen_id < first_id) return chunk;
    // No other line can begin like this: data lines do not, and ids of the upstream were dropped.
    const auto wanted = fmt::format("{}{}\n", id_field, last_seen_id + 1);
    for (auto at = chunk.find(wanted); at != chunk.npos; at = chunk.find(wanted, at + 1)) {
        if (is_line_begin(chunk, at)) return chunk.substr(at);
    }
    return {};
}

std::string restart_event(std::uint64_t attempt, std::string_view reason) {
    std::string event =
        fmt::format("event: restart\ndata: {{\"type\":\"restart\",\"attempt\":{},\"reason\":\"", attempt);
    append_escaped(event, reason);
    event += "\"}\n\n";
    return event;
}

std::string job_event(std::string_view status, std::string_view error) {
    std::string event = "event: job\ndata: {\"type\":\"job\",\"status\":\"";
    append_escaped(event, status);
    event += '"';
    if (!error.empty()) {
        event += ",\"error\":";
        event += error;
        // Line ends are white space in JSON, and would end the data line here.
        std::ranges::replace_if(
            event.end() - static_cast<std::ptrdiff_t>(error.size()), event.end(),
            [](char byte) { return byte == '\n' || byte == '\r'; }, ' ');
    }
    event += "}\n\n";
    return event;
}

}  // namespace anthropic
