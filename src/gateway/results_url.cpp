#include "gateway/results_url.hpp"

#include "anthropic/json_text.hpp"

namespace gateway {

void rewrite_results_urls(std::string& json, std::string_view base) {
    // Inside a string the quotes of this text would be escaped, so it only matches a member's name.
    constexpr std::string_view name = "\"results_url\"";
    constexpr std::string_view blank = " \t\r\n";
    std::size_t at = 0;
    while ((at = json.find(name, at)) != std::string::npos) {
        at += name.size();
        std::size_t cursor = json.find_first_not_of(blank, at);
        if (cursor == std::string::npos || json[cursor] != ':') continue;
        cursor = json.find_first_not_of(blank, cursor + 1);
        if (cursor == std::string::npos || json[cursor] != '"') continue;
        const std::size_t begin = cursor + 1;
        std::size_t end = begin;  // the closing quote; escapes inside a URL are rare but legal ("https:\/\/...")
        while (end < json.size() && json[end] != '"') end += json[end] == '\\' ? 2 : 1;
        if (end >= json.size()) return;
        const auto url = anthropic::unescape(std::string_view(json).substr(begin, end - begin));
        const std::size_t path = url ? url->find("/v1/") : std::string::npos;
        if (path == std::string::npos || url->find_first_of("\"\\", path) != std::string::npos) continue;
        json.replace(begin, end - begin, std::string(base) + url->substr(path));
    }
}

}  // namespace gateway
