#include "anthropic/content_features.hpp"

#include <algorithm>
#include <cstring>

#include "anthropic/second_look.hpp"
#include "base/wide_vectors.hpp"

namespace anthropic {
namespace {

#if has_wide_vectors
using base::block;
using base::block_bytes;
using base::where;
#endif

constexpr std::string_view blanks = " \t\r\n";

// The text behind a key: `from` stands behind its closing quote. Empty when no value follows.
std::string_view value_after(std::string_view body, std::size_t from) {
    from = std::min(body.find_first_not_of(blanks, from), body.size());
    if (from == body.size() || body[from] != ':') return {};
    from = std::min(body.find_first_not_of(blanks, from + 1), body.size());
    return body.substr(from);
}

// An escape of a letter, a digit or an underscore: \u003[0-9] \u00[46]. \u005[0-9a,f] \u007[0-9a]. Encoders escape
// other characters only (`<`, `é`, control characters). `from` stands at the backslash.
bool escapes_plain_letter(std::string_view from) {
    if (from.size() < 6 || !from.starts_with("\\u00")) return false;
    const char high = from[4];
    const char low = from[5];
    const bool digit = low >= '0' && low <= '9';
    if (high == '4' || high == '6') return true;
    if (high == '5') return low != 'b' && low != 'B' && low != 'c' && low != 'C';
    if (high == '3') return digit;
    return high == '7' && (digit || low == 'a' || low == 'A');
}

// A quote at which a string may begin that we look for, or the beginning of an escape that has to be looked at. Quotes
// behind a backslash stand in a text: no string begins there.
bool is_mark(const char* at) {
    if (at[0] == '\\') return at[1] == 'u' && at[2] == '0' && at[3] == '0';
    constexpr std::string_view first_letters = "tc1fa";
    return at[0] == '"' && at[-1] != '\\' && first_letters.find(at[1]) != first_letters.npos;
}

constexpr std::size_t mark_bytes = 4;  // that is_mark looks at, and the one before them

// The next mark at or after `from`, which is at least 1; the size of the body when there is none.
for_wide_vectors std::size_t next_mark(const char* body, std::size_t from, std::size_t size) {
#if has_wide_vectors
    while (from + block_bytes + mark_bytes <= size) {
        block bytes;
        std::memcpy(&bytes, body + from, sizeof bytes);
        const std::uint64_t quotes = where(bytes, '"');
        const std::uint64_t backslashes = where(bytes, '\\');
        if ((quotes | backslashes) != 0) {
            block next;
            std::memcpy(&next, body + from + 1, sizeof next);
            block before;
            std::memcpy(&before, body + from - 1, sizeof before);
            const std::uint64_t letters =
                where(next, 't') | where(next, 'c') | where(next, '1') | where(next, 'f') | where(next, 'a');
            std::uint64_t marks = quotes & ~where(before, '\\') & letters;
            if (const std::uint64_t escapes = backslashes & where(next, 'u'); escapes != 0) {
                block third;
                std::memcpy(&third, body + from + 2, sizeof third);
                block fourth;
                std::memcpy(&fourth, body + from + 3, sizeof fourth);
                marks |= escapes & where(third, '0') & where(fourth, '0');
            }
            if (marks != 0) return from + static_cast<std::size_t>(std::countr_zero(marks));
        }
        from += block_bytes;
    }
#endif
    while (from + mark_bytes <= size && !is_mark(body + from)) ++from;
    return from + mark_bytes <= size ? from : size;
}

void read_type(std::string_view type, content_features& found, bool& needs_second_look) {
    const auto is = [type](std::string_view whole) {
        return type.starts_with(whole) && type.substr(whole.size()).starts_with('"');
    };
    switch (type.front()) {
        case 'i':
            if (is("image")) ++found.images;
            break;
        case 'u':
            if (is("url")) found.by_reference = true;
            break;
        case 'w':
            if (type.starts_with("web_search_2")) needs_second_look = true;
            if (type.starts_with("web_search_2") || type.starts_with("web_fetch_2")) found.server_tools = true;
            break;
        case 'c':
            if (type.starts_with("code_execution_2") || type.starts_with("compact_2")) found.server_tools = true;
            break;
        case 'a':
            if (type.starts_with("advisor_2")) needs_second_look = found.server_tools = found.advisor = true;
            break;
        case 'm':
            if (is("mcp_toolset")) found.server_tools = true;
            break;
        case 't':
            if (type.starts_with("tool_search_tool_")) found.server_tools = true;
            break;
        default:
            break;
    }
}

}  // namespace

content_features read_features(std::string_view body) {
    content_features found;
    bool needs_second_look = false;
    bool hides_letters = false;
    // No body that is JSON has a mark at its first byte, and none that matters in its last three.
    for (std::size_t mark = 1; (mark = next_mark(body.data(), mark, body.size())) < body.size(); ++mark) {
        if (body[mark] == '\\') {
            hides_letters = hides_letters || escapes_plain_letter(body.substr(mark));
            continue;
        }
        const std::string_view rest = body.substr(mark + 1);
        switch (rest.front()) {
            case 't':
                if (!rest.starts_with("type\"")) break;
                if (const auto value = value_after(rest, 5); value.size() > 1 && value.front() == '"') {
                    read_type(value.substr(1), found, needs_second_look);
                }
                break;
            case 'c':
                if (rest.starts_with("cache_control\"")) found.cache_control = true;
                if (rest.starts_with("container\"")) found.references = true;
                break;
            case '1':
                if (rest.starts_with("1h\"")) found.one_hour = true;
                break;
            case 'f':
                if (rest.starts_with("file_id\"")) found.by_reference = found.references = true;
                if (rest.starts_with("fallbacks\"")) needs_second_look = true;
                break;
            case 'a':
                if (rest.starts_with("application/pdf\"")) found.pdf = true;
                break;
            default:
                break;
        }
    }
    if (needs_second_look || hides_letters) {
        second_look seen = look_again(body);
        found.models = std::move(seen.models);
        found.unnamed_model = seen.unnamed_model;
        found.web_searches = seen.web_searches;
    }
    if (hides_letters) {
        found.cache_control = found.one_hour = found.by_reference = found.references = true;
        found.server_tools = found.advisor = true;
        found.web_searches = std::max(found.web_searches, web_searches_default);
    }
    return found;
}

}  // namespace anthropic
