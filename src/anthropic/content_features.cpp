#include "anthropic/content_features.hpp"

#include <algorithm>
#include <cstring>

#include "anthropic/json_text.hpp"

namespace anthropic {
namespace {

constexpr std::string_view blanks = " \t\r\n";

// The text behind a key: `from` stands behind its closing quote. Empty when no value follows.
std::string_view value_after(std::string_view body, std::size_t from) {
    from = std::min(body.find_first_not_of(blanks, from), body.size());
    if (from == body.size() || body[from] != ':') return {};
    from = std::min(body.find_first_not_of(blanks, from + 1), body.size());
    return body.substr(from);
}

// An escape of a letter, a digit or an underscore: \u003[0-9] \u00[46]. \u005[0-9a,f] \u007[0-9a]. Encoders escape
// other characters only (`<`, `é`, control characters).
bool escapes_plain_letters(std::string_view body) {
    constexpr std::string_view escape = "\\u00";
    for (std::size_t at = body.find(escape); at != body.npos; at = body.find(escape, at + escape.size())) {
        if (at + 5 >= body.size()) return false;
        const char high = body[at + 4];
        const char low = body[at + 5];
        const bool digit = low >= '0' && low <= '9';
        if (high == '4' || high == '6') return true;
        if (high == '5' && low != 'b' && low != 'B' && low != 'c' && low != 'C') return true;
        if (high == '3' && digit) return true;
        if (high == '7' && (digit || low == 'a' || low == 'A')) return true;
    }
    return false;
}

void read_type(std::string_view type, content_features& found, std::uint64_t& searchers) {
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
            if (type.starts_with("web_search_2")) ++searchers;
            if (type.starts_with("web_search_2") || type.starts_with("web_fetch_2")) found.server_tools = true;
            break;
        case 'c':
            if (type.starts_with("code_execution_2") || type.starts_with("compact_2")) found.server_tools = true;
            break;
        case 'a':
            if (type.starts_with("advisor_2")) found.server_tools = found.advisor = true;
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
    std::uint64_t searchers = 0;
    std::uint64_t limited = 0;
    const char* const end = body.data() + body.size();
    const char* at = body.data();
    while ((at = static_cast<const char*>(std::memchr(at, '"', static_cast<std::size_t>(end - at)))) != nullptr) {
        const char* const quote = at++;
        if (at == end) break;
        // No string begins behind a backslash: this quote stands in a text.
        if (quote != body.data() && quote[-1] == '\\') continue;
        const std::string_view rest(at, static_cast<std::size_t>(end - at));
        switch (*at) {
            case 't':
                if (!rest.starts_with("type\"")) break;
                if (const auto value = value_after(body, static_cast<std::size_t>(at - body.data()) + 5);
                    value.size() > 1 && value.front() == '"') {
                    read_type(value.substr(1), found, searchers);
                }
                break;
            case 'c':
                if (rest.starts_with("cache_control\"")) found.cache_control = true;
                break;
            case '1':
                if (rest.starts_with("1h\"")) found.one_hour = true;
                break;
            case 'f':
                if (rest.starts_with("file_id\"")) found.by_reference = true;
                break;
            case 'a':
                if (rest.starts_with("application/pdf\"")) found.pdf = true;
                break;
            case 'm':
                if (!rest.starts_with("max_uses\"")) break;
                if (const auto value = value_after(body, static_cast<std::size_t>(at - body.data()) + 9);
                    !value.empty()) {
                    const auto uses = plain_count(value.substr(0, value.find_first_not_of("0123456789")));
                    if (uses && *uses <= 1'000'000) {
                        ++limited;
                        found.web_searches += *uses;
                    }
                }
                break;
            default:
                break;
        }
    }
    if (searchers == 0) {
        found.web_searches = 0;
    } else if (searchers > limited) {
        found.web_searches += (searchers - limited) * web_searches_default;
    }
    if (escapes_plain_letters(body)) {
        found.cache_control = found.one_hour = found.by_reference = found.server_tools = found.advisor = true;
        found.web_searches = std::max(found.web_searches, web_searches_default);
    }
    return found;
}

}  // namespace anthropic
