#include "anthropic/nested_skip.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/wide_vectors.hpp"

namespace anthropic {
namespace {

#if has_wide_vectors
using base::block;
using base::block_bytes;
using base::where;
#endif

enum class byte_kind : std::uint8_t { other, quote, open, close };

constexpr auto byte_kinds = [] {
    std::array<byte_kind, 256> kinds{};
    kinds['"'] = byte_kind::quote;
    kinds['{'] = kinds['['] = byte_kind::open;
    kinds['}'] = kinds[']'] = byte_kind::close;
    return kinds;
}();

// Inside a string: the next quote, or `end`. at.escaping then tells whether that byte is escaped; the backslashes right
// before it say so.
const char* to_quote(const char* from, const char* end, nesting& at) {
    const auto* const quote = static_cast<const char*>(std::memchr(from, '"', static_cast<std::size_t>(end - from)));
    const char* const stop = quote ? quote : end;
    const char* first_backslash = stop;
    while (first_backslash != from && first_backslash[-1] == '\\') --first_backslash;
    const bool odd = (stop - first_backslash) % 2 != 0;
    at.escaping = first_backslash == from ? odd != at.escaping : odd;
    return stop;
}

// The plain way, byte by byte outside strings. Does not begin a string at or after `end`, but may read one to its end
// beyond it, up to `limit`.
const char* skip_bytes(const char* from, const char* end, const char* limit, nesting& at) {
    if (at.in_string) from = skip_string(from, limit, at);
    while (from < end) {
        switch (byte_kinds[static_cast<unsigned char>(*from++)]) {
            case byte_kind::other:
                break;
            case byte_kind::quote:
                at.in_string = true;
                from = skip_string(from, limit, at);
                break;
            case byte_kind::open:
                ++at.depth;
                break;
            case byte_kind::close:
                if (--at.depth == 1) return from;
                break;
        }
    }
    return from;
}

// Text with many short strings (tool schemas) is read 64 bytes at a time: one bit a byte says where quotes and brackets
// are, and most blocks need only their number.
#if has_wide_vectors
// Bytes that a backslash before them takes the meaning from (after Langdale and Lemire, "Parsing gigabytes of JSON per
// second", 2019, section 3.1.1): every other byte of a run of backslashes and the byte after
// a run of odd length. Runs that begin at odd places carry through the addition to the byte behind them, so no loop
// over the backslashes is needed. `escaping` is carried from block to block.
always_inline std::uint64_t escaped_bytes(std::uint64_t backslashes, bool& escaping) {
    constexpr std::uint64_t even_places = 0x5555555555555555;
    const std::uint64_t carried = escaping ? 1 : 0;
    backslashes &= ~carried;
    const std::uint64_t behind = backslashes << 1 | carried;
    const std::uint64_t odd_starts = backslashes & ~even_places & ~behind;
    std::uint64_t even_runs = 0;
    escaping = __builtin_add_overflow(odd_starts, backslashes, &even_runs);
    return (even_places ^ (even_runs << 1)) & behind;
}

// Bit n of the result: the parity of the bits 0 to n.
always_inline std::uint64_t parity_so_far(std::uint64_t bits) {
    for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
    return bits;
}

// Reads the 64 bytes at `from`; returns one past the bracket that made the depth 1, or past the block.
always_inline const char* skip_block(const char* from, const char* end, nesting& at) {
    block bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    const auto quotes = where(bytes, '"');
    if (at.in_string && quotes == 0) return to_quote(from, end, at);  // long text: its end may be far

    const auto backslashes = where(bytes, '\\');
    bool escaping = at.escaping;
    const auto escaped = escaped_bytes(backslashes, escaping);
    const auto inside = parity_so_far(quotes & ~escaped) ^ (at.in_string ? ~std::uint64_t{0} : 0);
    // A backslash outside strings escapes nothing; no valid text has one.
    if ((backslashes & ~inside) != 0) return skip_bytes(from, from + block_bytes, end, at);

    const block folded = bytes | static_cast<unsigned char>(0x20);  // makes braces of brackets
    const auto open = where(folded, '{') & ~inside;
    const auto close = where(folded, '}') & ~inside;
    const auto closed = static_cast<std::uint64_t>(std::popcount(close));
    if (closed + 1 < at.depth) {
        at.depth += static_cast<std::uint64_t>(std::popcount(open)) - closed;
    } else {
        for (auto brackets = open | close; brackets != 0; brackets &= brackets - 1) {
            if ((open & brackets & -brackets) != 0) {
                ++at.depth;
            } else if (--at.depth == 1) {
                at.in_string = at.escaping = false;
                return from + std::countr_zero(brackets) + 1;
            }
        }
    }
    at.in_string = inside >> 63 != 0;
    at.escaping = escaping;
    return from + block_bytes;
}
#endif

}  // namespace

const char* skip_string(const char* from, const char* end, nesting& at) {
    for (;;) {
        from = to_quote(from, end, at);
        if (from == end) return end;
        ++from;
        if (!at.escaping) {
            at.in_string = false;
            return from;
        }
        at.escaping = false;
    }
}

for_wide_vectors const char* skip_nested(const char* from, const char* end, nesting& at) {
#if has_wide_vectors
    while (end - from >= block_bytes) {
        from = skip_block(from, end, at);
        if (at.depth == 1) return from;
    }
#endif
    return skip_bytes(from, end, end, at);
}

}  // namespace anthropic
