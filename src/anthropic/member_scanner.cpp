#include "anthropic/member_scanner.hpp"

#include <algorithm>
#include <cstring>

#include "anthropic/json_text.hpp"

namespace anthropic {
namespace {

// A key of 64 ASCII bytes written entirely as \uXXXX. A longer one cannot be wanted, so it need not be kept.
constexpr std::size_t key_bytes_max = 64 * 6;

constexpr nesting in_key_or_string{.depth = 1, .in_string = true, .escaping = false};

bool is_space(char byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

// Bytes of numbers and literals. NaN and Infinity pass too: whether they are welcome is for the upstream to say.
bool is_scalar(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           byte == '-' || byte == '+' || byte == '.';
}

}  // namespace

member_scanner::member_scanner(std::span<const std::string_view> wanted, options limits)
    : wanted_(wanted), value_bytes_max_(limits.value_bytes_max) {}

void member_scanner::feed(std::string_view bytes) {
    piece_ = bytes.data();
    const char* const end = piece_ + bytes.size();
    const char* next = piece_;
    while (next != end) {
        // Between the tokens of the object itself.
        const bool in_token = at_ == at::in_key || at_ == at::in_string || at_ == at::in_scalar || at_ == at::nested;
        if (!in_token && is_space(*next)) {
            ++next;
            continue;
        }
        switch (at_) {
            case at::before_object:
                expect('{', next++, at::key_or_end);
                break;
            case at::key_or_end:
                if (*next == '}') {
                    ++next;
                    end_object();
                    break;
                }
                [[fallthrough]];
            case at::key:
                expect('"', next++, at::in_key);
                nesting_ = in_key_or_string;
                break;
            case at::in_key:
                next = read_key(next, end);
                if (at_ == at::colon && next != end && *next == ':') {  // without spaces: no round for each token
                    ++next;
                    at_ = at::value;
                }
                break;
            case at::colon:
                expect(':', next++, at::value);
                break;
            case at::value:
                next = begin_value(next);
                break;
            case at::in_string:
                next = skip_string(next, end, nesting_);
                if (!nesting_.in_string) end_value(next);
                break;
            case at::in_scalar:
                while (next != end && is_scalar(*next)) ++next;
                if (next != end) end_value(next);
                break;
            case at::nested:
                next = skip_nested(next, end, nesting_);
                if (nesting_.depth == 1) end_value(next);
                break;
            case at::comma_or_end:
                if (*next == '}') {
                    ++next;
                    end_object();
                } else if (*next == ',' && end - next > 1 && next[1] == '"') {
                    next += 2;
                    at_ = at::in_key;
                    nesting_ = in_key_or_string;
                } else {
                    expect(',', next++, at::key);
                }
                break;
            case at::after_object:
                fail_at(next);
                break;
            case at::broken:
                next = end;
                break;
        }
    }
    if (at_ == at::in_string || at_ == at::in_scalar || at_ == at::nested) keep_text(end);
    fed_ += bytes.size();
}

const member_scanner::member* member_scanner::find(std::string_view key) const {
    const member* last = nullptr;
    for (const auto& found : members_) {
        if (found.key == key && (last == nullptr || found.begin > last->begin)) last = &found;
    }
    return last;
}

void member_scanner::expect(char wanted, const char* byte, at then) {
    if (*byte == wanted) {
        at_ = then;
    } else {
        fail_at(byte);
    }
}

void member_scanner::fail_at(const char* byte) {
    failed_at_ = offset_of(byte);
    at_ = at::broken;
}

void member_scanner::end_object() {
    complete_ = true;
    at_ = at::after_object;
}

// Reads on to the end of a key.
const char* member_scanner::read_key(const char* from, const char* end) {
    const char* const after = skip_string(from, end, nesting_);
    const bool is_whole = !nesting_.in_string;
    const std::string_view raw(from, static_cast<std::size_t>(after - from) - (is_whole ? 1 : 0));
    if (is_whole && key_.empty()) {
        read_whole_key(raw, after);
        return after;
    }
    key_.append(raw.substr(0, key_bytes_max + 1 - key_.size()));
    if (is_whole) {
        read_whole_key(key_, after);
        key_.clear();
    }
    return after;
}

// Finds out whether the key, as it stands between its quotes, is wanted. `after` is one past the closing quote.
void member_scanner::read_whole_key(std::string_view raw, const char* after) {
    at_ = at::colon;
    wanted_index_ = none_wanted;
    if (raw.size() > key_bytes_max) return;
    const auto look_up = [&](std::string_view key) {
        const auto found = std::ranges::find(wanted_, key);
        if (found != wanted_.end()) wanted_index_ = static_cast<std::size_t>(found - wanted_.begin());
    };
    look_up(raw);
    if (wanted_index_ != none_wanted || raw.find('\\') == raw.npos) return;
    if (const auto decoded = unescape(raw)) {
        look_up(*decoded);
    } else {
        fail_at(after - 1);
    }
}

const char* member_scanner::begin_value(const char* from) {
    begin_ = offset_of(from);
    switch (*from) {
        case '"':
            at_ = at::in_string;
            nesting_ = in_key_or_string;
            return from + 1;
        case '{':
        case '[':
            at_ = at::nested;
            nesting_ = {.depth = 2, .in_string = false, .escaping = false};
            return from + 1;
        default:
            at_ = at::in_scalar;
            if (!is_scalar(*from)) fail_at(from);
            return from;
    }
}

// `end` is one past the value's last byte.
void member_scanner::end_value(const char* end) {
    keep_text(end);
    at_ = at::comma_or_end;
    if (wanted_index_ == none_wanted) return;
    member ended{.key = wanted_[wanted_index_],
                 .begin = begin_,
                 .end = offset_of(end),
                 .text = std::move(text_),
                 .oversized = is_too_long_};
    text_ = std::string();
    is_too_long_ = false;
    const auto has_same_key = [&](const member& other) { return other.key.data() == ended.key.data(); };  // of `wanted`
    const auto first = std::ranges::find_if(members_, has_same_key);
    const auto second = first == members_.end() ? first : std::find_if(first + 1, members_.end(), has_same_key);
    if (second != members_.end()) {
        *second = std::move(ended);
        return;
    }
    if (members_.empty()) members_.reserve(wanted_.size());
    members_.push_back(std::move(ended));
}

// Takes the value's bytes of this piece, which end at `end`.
void member_scanner::keep_text(const char* end) {
    if (wanted_index_ == none_wanted || is_too_long_) return;
    const char* const from = begin_ > fed_ ? piece_ + (begin_ - fed_) : piece_;
    const auto size = static_cast<std::size_t>(end - from);
    is_too_long_ = size > value_bytes_max_ - text_.size();
    if (is_too_long_) {
        text_ = std::string();
    } else {
        text_.append(from, size);
    }
}

}  // namespace anthropic
