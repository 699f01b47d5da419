#include "anthropic/event_text.hpp"

#include <algorithm>

namespace anthropic {

event_text::event_text(std::string_view text) : rest_(text) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (rest_.starts_with(byte_order_mark)) rest_.remove_prefix(byte_order_mark.size());
}

bool event_text::next() {
    name_ = data_ = {};
    has_data_ = is_joined_ = false;
    while (const auto line = take_line()) {
        if (line->empty()) {
            if (has_data_) return true;
            name_ = {};
            continue;
        }
        const auto colon = std::min(line->find(':'), line->size());
        auto value = line->substr(std::min(colon + 1, line->size()));
        if (value.starts_with(' ')) value.remove_prefix(1);
        if (line->substr(0, colon) == "event") name_ = value;
        if (line->substr(0, colon) == "data") add_data(value);
    }
    return false;
}

// Without its end. Nothing when the text has no further line end.
std::optional<std::string_view> event_text::take_line() {
    const auto lf = rest_.find('\n');
    const auto end = std::min(rest_.substr(0, lf).find('\r'), lf);
    if (end == rest_.npos) return {};
    const auto line = rest_.substr(0, end);
    rest_.remove_prefix(end + (rest_.substr(end, 2) == "\r\n" ? 2 : 1));
    return line;
}

void event_text::add_data(std::string_view line) {
    if (!has_data_) {
        data_ = line;
        has_data_ = true;
        return;
    }
    if (!is_joined_) joined_ = data_;
    is_joined_ = true;
    joined_ += '\n';
    joined_ += line;
}

}  // namespace anthropic
