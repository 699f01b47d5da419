// JSON text checked and taken apart without changing a byte of it: what is passed on keeps its spelling of numbers, its
// escapes and the order of its keys. A document model would lose them (1.0, 1e400, integers of 30 digits).
//
// Plain functions of bytes, free to call from any thread. Nothing here recurses, so depth is bounded by the text alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace anthropic {

enum class json_state : std::uint8_t {
    whole,   // one value by RFC 8259, in valid UTF-8
    cut,     // the beginning of one
    broken,  // neither
};

struct json_check {
    json_state state = json_state::broken;
    std::size_t at = 0;    // broken: the offset of the offending byte
    std::size_t keep = 0;  // cut: so many bytes, with `closers` behind them, are a whole value; 0 when nothing is
    std::string closers;
};

json_check check_json(std::string_view text);

inline bool is_json(std::string_view text) { return check_json(text).state == json_state::whole; }

// A whole value as it is, without the white space around it. A value that was cut off is closed as the official SDKs
// close it: what is half there (a string, a number at the very end, a key without its value) is dropped, open brackets
// are closed. Nothing for a broken text, and when nothing would be left.
std::optional<std::string> completed_json(std::string_view text);

// Without the white space of JSON at both ends.
std::string_view trimmed(std::string_view text);

inline bool is_object(std::string_view json) { return trimmed(json).starts_with('{'); }
inline bool is_array(std::string_view json) { return trimmed(json).starts_with('['); }
inline bool is_string(std::string_view json) { return trimmed(json).starts_with('"'); }

// What stands between the quotes of a string, escapes as they are. `json` must be one.
inline std::string_view between_quotes(std::string_view json) {
    const auto text = trimmed(json);
    return text.substr(1, text.size() - 2);
}

// Goes through the members of an object, or the elements of an array, from the first to the last. The text must be
// valid JSON (see is_json) and outlive the cursor; a text that is neither object nor array has no members.
//
//     for (raw_cursor member(object); member.next();) use(member.key(), member.value());
class raw_cursor {
public:
    explicit raw_cursor(std::string_view json);

    bool next();  // to the next member; false behind the last

    std::string_view key() const { return key_; }      // between its quotes, as written; empty in arrays
    bool is(std::string_view name) const;              // compares the key after decoding its escapes
    std::string_view value() const { return value_; }  // without white space around it

    // Offsets in the text: where the member begins (with its key) and ends, and where its value begins.
    std::size_t begin() const { return begin_; }
    std::size_t value_begin() const { return end_ - value_.size(); }
    std::size_t end() const { return end_; }

private:
    void skip_space();
    std::string_view take_value();

    std::string_view text_;
    std::string_view key_, value_;
    std::size_t begin_ = 0, end_ = 0, next_ = 0;
    bool has_keys_ = false;
};

// The value of the member `name`; the last one when there are several, as most parsers have it. Nothing when absent.
std::optional<std::string_view> find_member(std::string_view object, std::string_view name);

}  // namespace anthropic
