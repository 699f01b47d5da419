// Texts of foreign origin made fit for a database: cut to a length, valid UTF-8, no NUL. Plain functions; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ledger {

// The longest beginning of at most `bytes` that does not end within a character.
std::string_view cut_text(std::string_view text, std::size_t bytes);

// A JSON list of strings cut after a whole element, still a list. Anything else, when too long, becomes "[]".
// `closed` tells whether the "]" is missing from what is returned.
struct cut_list {
    std::string_view kept;
    bool closed = true;  // false: a "]" has to follow
    std::size_t bytes() const { return kept.size() + (closed ? 0 : 1); }
};
cut_list cut_tags(std::string_view json, std::size_t bytes);

// True when nothing needs to be mended.
bool is_plain_ascii(const char* text, std::size_t bytes);
// Replaces, in place, what is no UTF-8 and every NUL by '?'.
void mend_text(char* text, std::size_t bytes);

// Appends the text as a JSON string with its quotes.
void append_json(std::string& to, std::string_view text);

}  // namespace ledger
