#include "anthropic/list_page.hpp"

#include <fmt/format.h>
#include <simdjson.h>

namespace anthropic {
namespace {

std::string json_string(std::string_view text) {
    std::string made = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') made += '\\';
        if (static_cast<unsigned char>(c) < 0x20) {
            made += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
            made += c;
        }
    }
    return made + '"';
}

}  // namespace

std::optional<list_page> read_list_page(std::string_view body) {
    list_page read;
    bool has_data = false;
    try {
        simdjson::ondemand::parser parser;
        const simdjson::padded_string padded(body);
        auto list = parser.iterate(padded);
        for (auto field : list.get_object()) {
            const std::string_view key = field.unescaped_key();
            if (key == "has_more") {
                read.tells_more = true;
                read.has_more = field.value().get_bool().value();
            } else if (key == "next_page") {
                read.by_token = true;
                auto value = field.value();
                if (!value.is_null()) read.next_page = std::string_view(value.get_string().value());
            } else if (key == "data") {
                has_data = true;
                for (auto element : field.value().get_array()) {
                    auto object = element.get_object().value();
                    list_entry entry;
                    entry.json = std::string_view(object.raw_json().value());
                    object.reset();
                    entry.id = std::string_view(object.find_field_unordered("id").get_string().value());
                    read.entries.push_back(std::move(entry));
                }
            }
        }
    } catch (const simdjson::simdjson_error&) {
        return std::nullopt;
    }
    if (!has_data) return std::nullopt;
    if (read.by_token) read.has_more = !read.next_page.empty();
    return read;
}

std::string write_list_page(const list_page& what) {
    std::string made = "{\"data\":[";
    for (std::size_t i = 0; i < what.entries.size(); ++i) {
        if (i > 0) made += ',';
        made += what.entries[i].json;
    }
    made += ']';
    if (!what.by_token || what.tells_more) made += fmt::format(",\"has_more\":{}", what.has_more);
    if (what.by_token)
        return made + ",\"next_page\":" + (what.next_page.empty() ? "null" : json_string(what.next_page)) + "}";
    const auto id = [&](bool first) {
        return what.entries.empty() ? "null" : json_string((first ? what.entries.front() : what.entries.back()).id);
    };
    return made + ",\"first_id\":" + id(true) + ",\"last_id\":" + id(false) + "}";
}

}  // namespace anthropic
