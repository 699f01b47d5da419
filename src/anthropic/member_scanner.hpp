// Finds top-level members of one JSON object in bytes that arrive in pieces, without building a document.
//
// Used for the request body (which model, streaming or not: never re-serialised, see docs/protocol.md) and for JSON
// answers (the `usage` object). The scanner is exact on every valid JSON text. It does not validate what it skips: on
// invalid text it may report members that a strict parser would not, which is harmless, because the upstream refuses
// such a text. Any split of the input gives the same result. Thread rule: one thread at a time; no I/O, no clock.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "anthropic/nested_skip.hpp"

namespace anthropic {

class member_scanner {
public:
    struct options {
        std::size_t value_bytes_max = 64 * 1024;  // a longer value of a wanted key sets `oversized` and keeps no text
    };

    struct member {
        std::string_view key;     // one of `wanted`
        std::uint64_t begin = 0;  // offset of the value's first byte in the whole input
        std::uint64_t end = 0;    // one past its last byte
        std::string text;         // the value's bytes as they came, empty when oversized
        bool oversized = false;
    };

    // `wanted`: the key names to look for (plain ASCII, at most 64 bytes each). Referenced, not copied: a static table.
    explicit member_scanner(std::span<const std::string_view> wanted) : member_scanner(wanted, options{}) {}
    member_scanner(std::span<const std::string_view> wanted, options limits);

    // Reads the next bytes. Keys are compared after decoding escapes, so `"\u006dodel"` is `model`.
    void feed(std::string_view bytes);

    // Every wanted member whose end was seen, in order of appearance. A key that occurs twice is listed twice; of one
    // that occurs more often the first and the last are listed, so that the list stays short on hostile input.
    const std::vector<member>& members() const { return members_; }
    const member* find(std::string_view key) const;  // the last one of that name (what most parsers keep), or nullptr

    bool complete() const { return complete_; }  // the object's closing brace was seen
    // Not an object, or broken at the top level, or bytes other than white space after the end (then complete() stays
    // true). Nothing more is read afterwards.
    bool failed() const { return at_ == at::broken; }
    std::uint64_t failed_at() const { return failed_at_; }  // offset of the offending byte, when failed()

private:
    enum class at : std::uint8_t {
        before_object,
        key_or_end,
        key,
        in_key,
        colon,
        value,
        in_string,
        in_scalar,
        nested,
        comma_or_end,
        after_object,
        broken,
    };

    static constexpr std::size_t none_wanted = ~std::size_t{0};

    const char* begin_value(const char* from);
    const char* read_key(const char* from, const char* end);
    void read_whole_key(std::string_view raw, const char* after);
    void end_value(const char* end);
    void keep_text(const char* end);
    void expect(char wanted, const char* byte, at then);
    void fail_at(const char* byte);
    void end_object();
    std::uint64_t offset_of(const char* byte) const { return fed_ + static_cast<std::uint64_t>(byte - piece_); }

    std::span<const std::string_view> wanted_;
    std::size_t value_bytes_max_;
    std::vector<member> members_;
    const char* piece_ = nullptr;  // the piece being fed
    std::uint64_t fed_ = 0;        // bytes of the pieces before it
    std::uint64_t failed_at_ = 0;
    std::string key_;                         // raw bytes of a key that does not come in one piece
    std::size_t wanted_index_ = none_wanted;  // of the member being read
    std::uint64_t begin_ = 0;                 // of its value
    std::string text_;                        // its value so far, when wanted and not too long
    nesting nesting_;
    at at_ = at::before_object;
    bool is_too_long_ = false;
    bool complete_ = false;
};

}  // namespace anthropic
