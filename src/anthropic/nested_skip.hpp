// Passes over the inside of one JSON array or object without looking at what is in it.
#pragma once

#include <cstdint>

namespace anthropic {

// Where in the text the next byte stands.
struct nesting {
    std::uint64_t depth = 0;  // open braces and brackets
    bool in_string = false;
    bool escaping = false;  // in a string whose bytes so far end in an odd number of backslashes
};

// From inside a string: reads on to its closing quote. Returns one past it, or `end` when the string goes on.
const char* skip_string(const char* from, const char* end, nesting& at);

// Reads on until at.depth is 1. Returns one past the bracket that did it, or `end` when at.depth is still higher.
// Any split of the bytes leads to the same end.
const char* skip_nested(const char* from, const char* end, nesting& at);

}  // namespace anthropic
