// The two ways upstream cuts a list into pages.
#pragma once

#include <string>
#include <vector>

#include "http.hpp"

namespace sim {

struct page_item {
    std::string id;
    std::string json;
};

// Scheme A: limit, after_id, before_id → data, has_more, first_id, last_id.
std::string page_by_id(const request& asked, const std::vector<page_item>& items);
// Scheme B: limit, page → data, next_page. `with_has_more` adds the field that skills carry.
std::string page_by_token(const request& asked, const std::vector<page_item>& items, bool with_has_more = false);

}  // namespace sim
