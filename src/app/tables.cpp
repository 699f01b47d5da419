#include "app/tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <vector>

namespace app {
namespace {

// Characters, not bytes: names may be written beyond ASCII.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

void append_padded(std::string& to, std::string_view text, std::size_t width, bool last) {
    to += text;
    if (!last) to.append(width - width_of(text) + 2, ' ');
}

}  // namespace

std::string cell_text(const boost::json::value& value) {
    std::string text;
    if (const auto* const string = value.if_string()) {
        text.assign(string->data(), string->size());
    } else if (const auto* const list = value.if_array()) {
        for (const auto& each : *list) text += (text.empty() ? "" : ",") + cell_text(each);
    } else if (const auto* const is = value.if_bool()) {
        text = *is ? "yes" : "no";
    } else if (!value.is_null()) {
        text = boost::json::serialize(value);
    }
    std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
    return text.empty() ? "-" : text;
}

std::string table_text(const boost::json::array& rows, std::span<const column> columns, std::string_view when_empty) {
    if (rows.empty()) return fmt::format("{}\n", when_empty);
    std::vector<std::vector<std::string>> cells(1);
    std::vector<std::size_t> widths;
    for (const auto& each : columns) {
        cells.front().emplace_back(each.title);
        widths.push_back(width_of(each.title));
    }
    for (const auto& row : rows) {
        auto& line = cells.emplace_back();
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const auto* const value = row.as_object().if_contains(columns[i].member);
            line.push_back(value ? cell_text(*value) : "-");
            widths[i] = std::max(widths[i], width_of(line.back()));
        }
    }
    std::string text;
    for (const auto& line : cells) {
        for (std::size_t i = 0; i < line.size(); ++i) append_padded(text, line[i], widths[i], i + 1 == line.size());
        text += '\n';
    }
    return text;
}

std::string members_text(const boost::json::object& what) {
    std::size_t width = 0;
    for (const auto& [name, value] : what) width = std::max(width, name.size());
    std::string text;
    for (const auto& [name, value] : what) {
        append_padded(text, std::string_view(name.data(), name.size()), width, false);
        text += cell_text(value) + '\n';
    }
    return text;
}

}  // namespace app
