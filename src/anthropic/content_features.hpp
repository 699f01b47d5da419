// What in a Messages body makes it dearer or longer than its bytes say, and who else may answer it: found in one pass
// over the strings, so that a budget can be held before the request is sent. Never less than what is there; bytes that
// look like it inside a text are told apart. Plain function of bytes: no I/O, no clock; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace anthropic {

struct content_features {
    std::uint64_t images = 0;        // blocks of type image
    bool cache_control = false;      // some block, or the request, asks for a cache write
    bool one_hour = false;           // with ttl 1h
    bool by_reference = false;       // content by URL or file id: its length is not in the body
    bool references = false;         // a file, a skill or a container may be named: references.hpp says which
    bool pdf = false;                // compressed: its length is not in the body
    bool server_tools = false;       // web search and fetch, code execution, advisor, MCP: they add input in the middle
    bool advisor = false;            // another model may answer in part
    std::uint64_t web_searches = 0;  // at most, by max_uses; web_searches_default for a tool without it

    // Models that may answer besides `model`: those that fallbacks and advisors name, and one that the upstream chooses
    // (fallbacks "default") or that was not read (more than a hundred are named).
    std::vector<std::string> models;
    bool unnamed_model = false;
};

// What a web search tool without max_uses is taken for.
inline constexpr std::uint64_t web_searches_default = 100;

// A body that escapes plain letters (`\u0074ype`), which no encoder does, has every feature; the models are read all
// the same.
content_features read_features(std::string_view body);

}  // namespace anthropic
