// JSON of the admin API as plain text for people: aligned columns, no colours, nothing that a terminal would obey.
// Plain functions of values.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>

namespace app {

struct column {
    std::string_view title;
    std::string_view member;
};

// One line a row under a line of titles; a sentence when there are no rows.
std::string table_text(const boost::json::array& rows, std::span<const column> columns, std::string_view when_empty);

// One line a member: name and value.
std::string members_text(const boost::json::object& what);

// A value in one line: lists between commas, nothing as "-".
std::string cell_text(const boost::json::value& value);

}  // namespace app
