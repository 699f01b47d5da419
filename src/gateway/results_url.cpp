#include "gateway/results_url.hpp"

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
        const std::size_t end = json.find('"', begin);
        if (end == std::string::npos) return;
        const std::string_view value(json.data() + begin, end - begin);
        const std::size_t path = value.find("/v1/");
        if (path == std::string_view::npos) continue;
        json.replace(begin, path, base);
    }
}

}  // namespace gateway
