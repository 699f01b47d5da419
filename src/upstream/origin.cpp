#include "upstream/origin.hpp"

#include <charconv>

namespace upstream {

std::expected<origin, std::string> parse_origin(std::string_view url) {
    origin made;
    std::string_view rest = url;
    if (rest.starts_with("https://")) {
        rest.remove_prefix(8);
    } else if (rest.starts_with("http://")) {
        rest.remove_prefix(7);
        made.tls = false;
        made.port = 80;
    } else {
        return std::unexpected("the URL must begin with https:// or http://");
    }
    const std::size_t path_begin = rest.find_first_of("/?#");
    const std::string_view authority = rest.substr(0, path_begin);
    std::string_view path = path_begin == std::string_view::npos ? std::string_view() : rest.substr(path_begin);
    if (path.find_first_of("?#") != std::string_view::npos)
        return std::unexpected("the URL must not have a query or fragment");
    if (authority.find('@') != std::string_view::npos) {
        return std::unexpected("the URL must not carry credentials; set ANTHROPIC_API_KEY");
    }
    std::string_view host = authority;
    std::string_view port;
    if (authority.starts_with('[')) {
        const std::size_t close = authority.find(']');
        if (close == std::string_view::npos) return std::unexpected("the address lacks its closing bracket");
        host = authority.substr(1, close - 1);
        port = authority.substr(close + 1);
    } else if (const std::size_t colon = authority.rfind(':'); colon != std::string_view::npos) {
        host = authority.substr(0, colon);
        port = authority.substr(colon);
    }
    if (host.empty()) return std::unexpected("the URL has no host");
    for (const char c : authority) {
        if (c <= 0x20 || c >= 0x7f) return std::unexpected("the host has characters that no host has");
    }
    if (!port.empty()) {
        port.remove_prefix(1);
        const auto [end, problem] = std::from_chars(port.data(), port.data() + port.size(), made.port);
        if (problem != std::errc() || end != port.data() + port.size() || made.port == 0) {
            return std::unexpected("the port is not a number from 1 to 65535");
        }
    }
    while (path.ends_with('/')) path.remove_suffix(1);
    if (path.ends_with("/v1")) path.remove_suffix(3);  // users copy the base URL of other clients
    while (path.ends_with('/')) path.remove_suffix(1);
    made.host = host;
    made.path_prefix = path;
    made.host_header = authority;
    return made;
}

}  // namespace upstream
