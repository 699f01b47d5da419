// One page of a list of the API, and how such a page is written. Two schemes: cursors by id (`has_more`, `first_id`,
// `last_id`) and opaque tokens (`next_page`). Plain functions of bytes; no I/O, no clock; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace anthropic {

struct list_entry {
    std::string id;
    std::string json;  // byte for byte
};

struct list_page {
    std::vector<list_entry> entries;
    bool has_more = false;    // or there is a next_page
    bool tells_more = false;  // the member has_more is there
    bool by_token = false;    // the member next_page is there
    std::string next_page;    // decoded; empty: none
};

// Nothing when it is no such page, or an entry has no id.
std::optional<list_page> read_list_page(std::string_view body);

// By the scheme of the page; first_id and last_id are those of its entries.
std::string write_list_page(const list_page& what);

}  // namespace anthropic
