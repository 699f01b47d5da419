#include "anthropic/raw_json.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "anthropic/json_text.hpp"
#include "anthropic/nested_skip.hpp"
#include "base/wide_vectors.hpp"

namespace anthropic {
namespace {

#if has_wide_vectors
using base::block;
using base::block_bytes;
using base::where;
using base::where_below;
#endif

constexpr std::string_view white_space = " \t\n\r";

bool is_space(char byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }
bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

bool is_hex(char byte) { return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F'); }

bool is_plain(char byte) { return byte != '"' && byte != '\\' && static_cast<unsigned char>(byte) >= 0x20; }

// Inside a string: the next byte that is a quote, a backslash or a control character, or `end`.
for_wide_vectors const char* skip_plain(const char* from, const char* end) {
#if has_wide_vectors
    while (end - from >= block_bytes) {
        block bytes;
        std::memcpy(&bytes, from, sizeof bytes);
        const auto found = where(bytes, '"') | where(bytes, '\\') | where_below(bytes, ' ');
        if (found != 0) return from + std::countr_zero(found);
        from += block_bytes;
    }
#endif
    while (from != end && is_plain(*from)) ++from;
    return from;
}

// How a token went; `cut` means that the text ends inside it.
enum class token : std::uint8_t { whole, cut, broken };

// Reads one value and all that is in it, with a stack of brackets instead of recursion.
class checker {
public:
    explicit checker(std::string_view text) : begin_(text.data()), next_(begin_), end_(begin_ + text.size()) {}

    json_check check() {
        json_check result;
        const auto outcome = read();
        result.at = static_cast<std::size_t>(next_ - begin_);
        if (outcome == token::broken) return result;
        result.state = outcome == token::whole ? json_state::whole : json_state::cut;
        result.keep = keep_;
        if (keep_ > 0) result.closers.assign(closers_.rbegin(), closers_.rend());
        return result;
    }

private:
    // What may stand next.
    enum class at : std::uint8_t { value, value_or_end, key, key_or_end, colon, comma_or_end };

    // When this returns `broken`, next_ is at the offending byte.
    token read() {
        for (;;) {
            while (next_ != end_ && is_space(*next_)) ++next_;
            const bool is_done = at_ == at::comma_or_end && closers_.empty();
            if (next_ == end_) return is_done ? token::whole : token::cut;
            if (is_done) return token::broken;
            if (const auto outcome = read_token(); outcome != token::whole) return outcome;
        }
    }

    token read_token() {
        switch (at_) {
            case at::value_or_end:
            case at::key_or_end:
                if (*next_ == closers_.back()) return close();
                return at_ == at::key_or_end ? read_key() : read_value();
            case at::value:
                return read_value();
            case at::key:
                return read_key();
            case at::colon:
                if (*next_ != ':') return token::broken;
                ++next_;
                at_ = at::value;
                return token::whole;
            case at::comma_or_end:
                if (*next_ == closers_.back()) return close();
                if (*next_ != ',') return token::broken;
                ++next_;
                at_ = closers_.back() == '}' ? at::key : at::value;
                return token::whole;
        }
        return token::broken;
    }

    token read_key() {
        if (*next_ != '"') return token::broken;
        const auto outcome = read_string();
        at_ = at::colon;
        return outcome;
    }

    token read_value() {
        switch (*next_) {
            case '{':
                return open('}', at::key_or_end);
            case '[':
                return open(']', at::value_or_end);
            case '"':
                return end_value(read_string());
            case 't':
                return end_value(read_word("true"));
            case 'f':
                return end_value(read_word("false"));
            case 'n':
                return end_value(read_word("null"));
            default:
                return end_value(read_number());
        }
    }

    // Behind an opening bracket and behind a value the text may be cut without loss of what is whole.
    void may_end_here() { keep_ = static_cast<std::size_t>(next_ - begin_); }

    token open(char closer, at then) {
        ++next_;
        closers_ += closer;
        at_ = then;
        may_end_here();
        return token::whole;
    }

    token close() {
        ++next_;
        closers_.pop_back();
        at_ = at::comma_or_end;
        may_end_here();
        return token::whole;
    }

    token end_value(token outcome) {
        if (outcome != token::whole) return outcome;
        at_ = at::comma_or_end;
        may_end_here();
        return outcome;
    }

    token read_string() {
        ++next_;
        for (;;) {
            next_ = skip_plain(next_, end_);
            if (next_ == end_) return token::cut;
            if (*next_ == '"') {
                ++next_;
                return token::whole;
            }
            if (*next_ != '\\') return token::broken;
            if (const auto outcome = read_escape(); outcome != token::whole) return outcome;
        }
    }

    token read_escape() {
        if (++next_ == end_) return token::cut;
        if (*next_ != 'u') {
            if (std::string_view("\"\\/bfnrt").find(*next_) == std::string_view::npos) return token::broken;
            ++next_;
            return token::whole;
        }
        ++next_;
        for (int digits = 0; digits < 4; ++digits, ++next_) {
            if (next_ == end_) return token::cut;
            if (!is_hex(*next_)) return token::broken;
        }
        return token::whole;
    }

    token read_word(std::string_view word) {
        for (const char letter : word) {
            if (next_ == end_) return token::cut;
            if (*next_ != letter) return token::broken;
            ++next_;
        }
        return token::whole;
    }

    // At least one digit.
    token read_digits() {
        if (next_ == end_) return token::cut;
        if (!is_digit(*next_)) return token::broken;
        while (next_ != end_ && is_digit(*next_)) ++next_;
        return token::whole;
    }

    token read_number() {
        if (*next_ == '-') ++next_;
        if (next_ != end_ && *next_ == '0') {
            ++next_;
        } else if (const auto outcome = read_digits(); outcome != token::whole) {
            return outcome;
        }
        if (next_ != end_ && *next_ == '.') {
            ++next_;
            if (const auto outcome = read_digits(); outcome != token::whole) return outcome;
        }
        if (next_ != end_ && (*next_ == 'e' || *next_ == 'E')) {
            ++next_;
            if (next_ != end_ && (*next_ == '+' || *next_ == '-')) ++next_;
            if (const auto outcome = read_digits(); outcome != token::whole) return outcome;
        }
        // More digits might have followed, unless the number is all there is.
        return next_ == end_ && !closers_.empty() ? token::cut : token::whole;
    }

    const char* begin_;
    const char* next_;
    const char* end_;
    std::size_t keep_ = 0;
    std::string closers_;  // of the open brackets, the innermost last
    at at_ = at::value;
};

// The first byte that is no UTF-8, or the size. Only for telling where a broken text is broken.
std::size_t valid_utf8_bytes(std::string_view text) {
    std::size_t good = 0, bad = text.size() + 1;
    while (bad - good > 1) {
        const auto middle = good + (bad - good) / 2;
        const auto head = utf8_prefix(text, middle);
        (simdjson::validate_utf8(head.data(), head.size()) ? good : bad) = middle;
    }
    return utf8_prefix(text, good).size();
}

}  // namespace

json_check check_json(std::string_view text) {
    if (!simdjson::validate_utf8(text.data(), text.size())) return {.at = valid_utf8_bytes(text), .closers = {}};
    return checker(text).check();
}

std::optional<std::string> completed_json(std::string_view text) {
    const auto checked = check_json(text);
    switch (checked.state) {
        case json_state::whole:
            return std::string(trimmed(text));
        case json_state::cut:
            if (checked.keep == 0) return {};
            return std::string(trimmed(text.substr(0, checked.keep))) + checked.closers;
        case json_state::broken:
            break;
    }
    return {};
}

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(white_space);
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(white_space) - first + 1);
}

raw_cursor::raw_cursor(std::string_view json) : text_(json) {
    skip_space();
    if (next_ == text_.size() || (text_[next_] != '{' && text_[next_] != '[')) {
        next_ = text_.size();
        return;
    }
    has_keys_ = text_[next_++] == '{';
}

bool raw_cursor::next() {
    skip_space();
    if (next_ < text_.size() && text_[next_] == ',') {
        ++next_;
        skip_space();
    }
    if (next_ >= text_.size() || text_[next_] == '}' || text_[next_] == ']') {
        next_ = text_.size();
        return false;
    }
    begin_ = next_;
    if (has_keys_) {
        key_ = between_quotes(take_value());
        skip_space();
        ++next_;  // the colon
        skip_space();
    }
    value_ = take_value();
    end_ = next_;
    return true;
}

bool raw_cursor::is(std::string_view name) const {
    if (key_ == name) return true;
    return key_.find('\\') != key_.npos && unescape(key_) == name;
}

void raw_cursor::skip_space() {
    while (next_ < text_.size() && is_space(text_[next_])) ++next_;
}

std::string_view raw_cursor::take_value() {
    const auto from = next_;
    const char* const begin = text_.data() + from;
    const char* const end = text_.data() + text_.size();
    nesting place{.depth = 1, .in_string = true, .escaping = false};
    switch (*begin) {
        case '"':
            next_ += static_cast<std::size_t>(skip_string(begin + 1, end, place) - begin);
            break;
        case '{':
        case '[':
            place = {.depth = 2, .in_string = false, .escaping = false};
            next_ += static_cast<std::size_t>(skip_nested(begin + 1, end, place) - begin);
            break;
        default:
            next_ = std::min(text_.find_first_of(" \t\n\r,}]", from), text_.size());
    }
    return text_.substr(from, next_ - from);
}

std::optional<std::string_view> find_member(std::string_view object, std::string_view name) {
    std::optional<std::string_view> found;
    for (raw_cursor member(object); member.next();) {
        if (member.is(name)) found = member.value();
    }
    return found;
}

}  // namespace anthropic
