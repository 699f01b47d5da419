// The upstream's URL taken apart. A value; no I/O.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace upstream {

struct origin {
    bool tls = true;
    std::string host;  // name or address, without brackets
    std::uint16_t port = 443;
    std::string path_prefix;  // "" or "/something", without a slash at the end; a trailing /v1 is dropped
    std::string host_header;  // as the `host` header wants it

    bool operator==(const origin&) const = default;
};

// "https://api.anthropic.com", "http://127.0.0.1:9300/prefix". Error: a sentence that says what is wrong.
std::expected<origin, std::string> parse_origin(std::string_view url);

}  // namespace upstream
