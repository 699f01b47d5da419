#include "anthropic/sse_scanner.hpp"

#include <algorithm>
#include <cstring>

namespace anthropic {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

// Without an `event:` line the "type" member must end within so many bytes of data: {"type": "content_block_start".
constexpr std::size_t type_bytes_max = 64;

// Buffers larger than this are given back after their event: many streams are open at a time, and mostly silent.
constexpr std::size_t idle_bytes_max = 1024;

event_kind kind_of(std::string_view name) {
    using enum event_kind;
    switch (name.size()) {
        case 4:
            return name == "ping" ? ping : other;
        case 5:
            return name == "error" ? error : other;
        case 12:
            return name == "message_stop" ? message_stop : other;
        case 13:
            return name == "message_start" ? message_start : name == "message_delta" ? message_delta : other;
        case 18:
            return name == "content_block_stop" ? content_block_stop : other;
        case 19:
            return name == "content_block_delta"   ? content_block_delta
                   : name == "content_block_start" ? content_block_start
                                                   : other;
        default:
            return other;
    }
}

// True for the few kinds whose text the sink receives.
bool is_kept(event_kind kind) {
    using enum event_kind;
    return kind == message_start || kind == content_block_start || kind == message_delta || kind == error;
}

// The kind that the first member of `data` tells, when that is "type".
event_kind kind_at_head(std::string_view data) {
    for (const std::string_view token : {"{", "\"type\"", ":", "\""}) {
        data.remove_prefix(std::min(data.find_first_not_of(" \t\n"), data.size()));
        if (!data.starts_with(token)) return event_kind::other;
        data.remove_prefix(token.size());
    }
    const auto quote = data.find('"');
    return quote == data.npos ? event_kind::other : kind_of(data.substr(0, quote));
}

const char* find(char byte, const char* from, const char* end) {
    const auto* const found = static_cast<const char*>(std::memchr(from, byte, static_cast<std::size_t>(end - from)));
    return found ? found : end;
}

}  // namespace

void sse_scanner::feed(std::string_view bytes, event_sink& sink) {
    if (mark_bytes_ < byte_order_mark.size()) bytes.remove_prefix(skip_byte_order_mark(bytes));
    if (bytes.empty()) return;
    const char* next = bytes.data();
    const char* const end = next + bytes.size();
    // Most streams have no CR at all, then each line costs one search.
    const char* cr = find('\r', next, end);
    while (next != end) {
        if (after_cr_) {
            after_cr_ = false;
            if (*next == '\n') {
                ++next;
                continue;
            }
        }
        const char* const line_end = find('\n', next, cr);
        if (line_end != next) read_line_part({next, line_end});
        if (line_end == end) break;
        end_line(sink);
        if (line_end == cr) {
            after_cr_ = true;
            cr = find('\r', line_end + 1, end);
        }
        next = line_end + 1;
    }
}

bool sse_scanner::between_events() const {
    const bool in_mark = mark_bytes_ > 0 && mark_bytes_ < byte_order_mark.size();
    return !in_mark && !in_line_ && !in_event_ && !after_cr_;
}

// Returns how many of the stream's first bytes to pass over.
std::size_t sse_scanner::skip_byte_order_mark(std::string_view bytes) {
    for (std::size_t skipped = 0; skipped < bytes.size(); ++skipped) {
        if (mark_bytes_ == byte_order_mark.size()) return skipped;
        if (bytes[skipped] != byte_order_mark[mark_bytes_]) {
            // What looked like a mark is the beginning of a line, and of no field that we know.
            if (mark_bytes_ > 0) {
                in_line_ = true;
                at_ = at::ignored;
            }
            mark_bytes_ = byte_order_mark.size();
            return skipped;
        }
        ++mark_bytes_;
    }
    return bytes.size();
}

// `part` is not empty and has no line end in it.
void sse_scanner::read_line_part(std::string_view part) {
    constexpr std::string_view data_field = "data:", event_field = "event:";
    in_line_ = true;
    while (!part.empty()) {
        switch (at_) {
            case at::line_start:
                if (part.starts_with(data_field)) {
                    part.remove_prefix(data_field.size());
                    begin_data_line();
                    at_ = at::data_space;
                } else if (part.starts_with(event_field)) {
                    part.remove_prefix(event_field.size());
                    at_ = at::event_space;
                } else {
                    at_ = at::field_name;
                }
                break;
            case at::field_name:  // the field's name comes in more than one piece, or is another
                add_name(part.substr(0, 1));
                part.remove_prefix(1);
                if (name() == data_field) {
                    begin_data_line();
                    at_ = at::data_space;
                } else if (name() == event_field) {
                    name_bytes_ = 0;
                    at_ = at::event_space;
                } else if (!data_field.starts_with(name()) && !event_field.starts_with(name())) {
                    at_ = at::ignored;
                }
                break;
            case at::data_space:
                if (part.front() == ' ') part.remove_prefix(1);
                at_ = at::data;
                break;
            case at::data:
                add_data(part);
                return;
            case at::event_space:
                if (part.front() == ' ') part.remove_prefix(1);
                at_ = at::event;
                break;
            case at::event:
                add_name(part);
                return;
            case at::ignored:
                return;
        }
    }
}

void sse_scanner::end_line(event_sink& sink) {
    if (!in_line_) {
        end_event(sink);
        return;
    }
    const bool is_bare_event = at_ == at::field_name && name() == "event";
    if (is_bare_event) name_bytes_ = 0;
    if (is_bare_event || at_ == at::event || at_ == at::event_space) {
        named_ = kind_of(name());
        has_name_ = name_bytes_ > 0;  // an empty name counts as none
    } else if (at_ == at::field_name && name() == "data") {
        begin_data_line();
    }
    name_bytes_ = 0;
    at_ = at::line_start;
    in_line_ = false;
    in_event_ = true;
}

// A blank line. Without a data line there is nothing to report: so say the rules of server-sent events.
void sse_scanner::end_event(event_sink& sink) {
    if (has_data_) {
        const auto its_kind = kind();
        const bool kept = is_kept(its_kind);
        const bool oversized = kept && (is_cut_ || data_.size() > data_bytes_max_);
        sink.on_event(its_kind, kept && !oversized ? std::string_view(data_) : std::string_view(), data_bytes_,
                      oversized);
        data_.clear();
        if (data_.capacity() > idle_bytes_max) data_.shrink_to_fit();
    }
    data_bytes_ = 0;
    has_name_ = has_data_ = is_cut_ = in_event_ = false;
}

void sse_scanner::begin_data_line() {
    if (has_data_) add_data("\n");
    has_data_ = true;
}

// Keeps what may be of use. What is kept depends on the bytes alone, never on the pieces in which they come.
void sse_scanner::add_data(std::string_view part) {
    data_bytes_ += part.size();
    if (has_name_ && !is_kept(named_)) is_cut_ = true;
    if (is_cut_) return;
    if (data_.size() < type_bytes_max) {
        const auto head = part.substr(0, type_bytes_max - data_.size());
        data_.append(head);
        part.remove_prefix(head.size());
    }
    if (part.empty()) return;
    if (is_kept(kind()) && data_.size() + part.size() <= data_bytes_max_) {
        data_.append(part);
        return;
    }
    is_cut_ = true;
    data_.resize(type_bytes_max);
}

void sse_scanner::add_name(std::string_view part) {
    part = part.substr(0, name_bytes_max - name_bytes_);
    std::memcpy(name_ + name_bytes_, part.data(), part.size());
    name_bytes_ = static_cast<std::uint8_t>(name_bytes_ + part.size());
}

event_kind sse_scanner::kind() const { return has_name_ ? named_ : kind_at_head(data_); }

std::size_t last_event_end(std::string_view bytes) {
    std::size_t at = bytes.find_last_of("\r\n");
    while (at != std::string_view::npos && at > 0) {
        const std::size_t begin = bytes[at] == '\n' && bytes[at - 1] == '\r' ? at - 1 : at;
        if (begin == 0) return 0;
        if (bytes[begin - 1] == '\n' || bytes[begin - 1] == '\r') return at + 1;
        at = bytes.find_last_of("\r\n", begin - 1);
    }
    return 0;
}

}  // namespace anthropic
