// What one pass over the strings of a body cannot tell: which object a member belongs to. Asked only of bodies with
// fallbacks, an advisor or a web search in them (content_features.hpp). Plain function of bytes; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace anthropic {

struct second_look {
    std::vector<std::string> models;  // that the fallbacks and advisors name, each once
    bool unnamed_model = false;       // fallbacks "default": the upstream chooses; or more are named than are read
    std::uint64_t web_searches = 0;   // at most: max_uses of each web search tool, web_searches_default without
};

second_look look_again(std::string_view body);

}  // namespace anthropic
