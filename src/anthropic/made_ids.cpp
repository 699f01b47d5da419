#include "anthropic/made_ids.hpp"

#include <algorithm>
#include <utility>

namespace anthropic {
namespace {

constexpr std::size_t id_bytes_max = 128;

bool is_letter(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

}  // namespace

bool made_ids::is_made_id() const {
    const std::string_view id = text_;
    const bool fits =
        (name_ == "file_id" && id.starts_with("file_")) || (name_ == "id" && id.starts_with("container_"));
    return fits && is_plain_ && passed_ == 0 && std::ranges::all_of(id, is_letter);
}

void made_ids::on_structure(char c) {
    switch (c) {
        case ':':
            name_ = is_value_ ? std::string() : std::exchange(text_, {});
            is_value_ = true;
            return;
        case '{':
        case '[':
            ++depth_;
            if (passed_ == 0 && is_value_ && name_ == "input") passed_ = depth_;
            break;
        case '}':
        case ']':
            if (passed_ == depth_) passed_ = 0;
            if (depth_ > 0) --depth_;
            break;
        case ',':
            break;
        default:
            return;  // blanks, numbers, words, and the names of an event stream's lines
    }
    is_value_ = false;
    text_.clear();
}

void made_ids::feed(std::string_view bytes, const std::function<void(const std::string& id)>& found) {
    for (const char c : bytes) {
        if (place_ == place::behind_backslash) {
            place_ = place::in_string;
        } else if (place_ == place::outside) {
            if (c == '"') {
                place_ = place::in_string;
                is_plain_ = true;
                text_.clear();
            } else {
                on_structure(c);
            }
        } else if (c == '\\') {
            place_ = place::behind_backslash;
            is_plain_ = false;
        } else if (c != '"') {
            if (text_.size() < id_bytes_max) {
                text_ += c;
            } else {
                is_plain_ = false;
            }
        } else {
            place_ = place::outside;
            if (is_value_ && is_made_id() && seen_.size() < ids_max && seen_.insert(text_).second) found(text_);
            if (!is_plain_) text_.clear();
        }
    }
}

}  // namespace anthropic
