// What a request names that lives upstream: files, skills, a container. Whoever shares the upstream's account could
// read another's file by its id, so the ids are looked up before the request is sent. Plain function of bytes; no I/O,
// no clock; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace anthropic {

struct references {
    std::vector<std::string> ids;  // each once: "file_...", "skill_...", "container_..."
    bool too_many = false;         // more than references_max: the rest was not read
};

inline constexpr std::size_t references_max = 1'000;

// Every `file_id` and `skill_id` with an id of that shape, and the container's id, at any depth of valid JSON and
// however they are spelled. What a tool was called with (`input`) and the schemas of tools are the client's own data:
// nothing in them is a reference.
references read_references(std::string_view body);

}  // namespace anthropic
