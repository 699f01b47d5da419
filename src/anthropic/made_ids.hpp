// Finds in an answer the ids of what code execution has made: files and containers. They belong to whoever asked.
//
// Fed with the bytes as they pass, in pieces of any size, JSON or event stream: an id is a string behind the member
// `file_id` ("file_...") or `id` ("container_..."). What the model says must not look like it: its texts are strings,
// in which quotes are escaped, and what it calls a tool with (`input`) is passed over. Thread rule: one thread at a
// time; no I/O, no clock.
#pragma once

#include <cstdint>
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
    enum class place : std::uint8_t { outside, in_string, behind_backslash };

    void on_structure(char c);
    bool is_made_id() const;

    place place_ = place::outside;
    bool is_plain_ = true;      // the string has no escapes and is short enough to be a name or an id
    bool is_value_ = false;     // a colon came before
    std::string text_;          // of the string that is read, or was read last
    std::string name_;          // of the member whose value comes; empty: none that matters
    std::uint32_t depth_ = 0;   // open objects and lists
    std::uint32_t passed_ = 0;  // the depth from which on all is passed over; 0: nothing is
    std::unordered_set<std::string> seen_;
};

}  // namespace anthropic
