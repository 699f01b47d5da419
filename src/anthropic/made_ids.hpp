// Finds in an answer the ids of what code execution has made: files and containers. They belong to whoever asked.
//
// Fed with the bytes as they pass, in pieces of any size, JSON or event stream: an id is a string behind the member
// `file_id` ("file_...") or `id` ("container_..."). What the model says cannot look like it: quotes in its texts are
// escaped. Thread rule: one thread at a time; no I/O, no clock.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace anthropic {

class made_ids {
public:
    static constexpr std::size_t ids_max = 1'000;  // of one answer; more are not found

    // Calls `found` with every id that is new.
    void feed(std::string_view bytes, const std::function<void(const std::string& id)>& found);

private:
    std::string kept_;  // the end of what was fed: an id may begin there
    std::unordered_set<std::string> seen_;
};

}  // namespace anthropic
