// What the public listener answers: one table, and how a request finds its row.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/exchange.hpp"

namespace gateway {

using endpoint = net::task<void> (*)(exchange&, service&, const http::request_head&);

struct route {
    std::string_view method;   // "*": any
    std::string_view pattern;  // "{}" stands for one path segment, a final "**" for the rest
    std::string_view label;    // of logs and metrics
    bool authenticated;
    endpoint run;
};

struct routed {
    const route* row = nullptr;       // nullptr: no row has this path
    bool method_not_allowed = false;  // a row has the path, none the method
};

routed find_route(std::string_view method, std::string_view path);

// Percent-decoded once, with a doubled /v1 prefix (a base URL that ended in /v1) made single. Nothing when readers
// could differ about it: dot segments, empty segments, an encoded slash, backslash or control character.
std::optional<std::string> normal_path(std::string_view path);

}  // namespace gateway
