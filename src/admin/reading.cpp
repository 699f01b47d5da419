#include "admin/reading.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <optional>
#include <unordered_set>

#include "base/percent.hpp"

namespace admin {

using base::errc;

namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Percent-decoded once. Nothing for a broken escape, a control character, or bytes that are no UTF-8.
std::optional<std::string> decoded(std::string_view text, base::plus_sign plus) {
    auto made = base::percent_decoded(text, plus);
    if (!made || std::ranges::any_of(*made, is_control) || !simdjson::validate_utf8(*made)) return std::nullopt;
    return made;
}

std::string_view take_until(std::string_view& text, char mark) {
    const std::size_t end = std::min(text.find(mark), text.size());
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return taken;
}

// Looks for a name that occurs twice in one object: the parser below would silently keep the last.
struct duplicate_finder {
    static constexpr std::size_t max_object_size = SIZE_MAX;
    static constexpr std::size_t max_array_size = SIZE_MAX;
    static constexpr std::size_t max_key_size = SIZE_MAX;
    static constexpr std::size_t max_string_size = SIZE_MAX;
    using error_code = boost::json::error_code;
    using text = boost::json::string_view;

    std::vector<std::unordered_set<std::string>> objects{};
    std::string name{};
    std::optional<std::string> twice{};

    bool on_document_begin(error_code&) { return true; }
    bool on_document_end(error_code&) { return true; }
    bool on_object_begin(error_code&) {
        objects.emplace_back();
        return true;
    }
    bool on_object_end(std::size_t, error_code&) {
        objects.pop_back();
        return true;
    }
    bool on_array_begin(error_code&) { return true; }
    bool on_array_end(std::size_t, error_code&) { return true; }
    bool on_key_part(text part, std::size_t, error_code&) {
        name.append(part.data(), part.size());
        return true;
    }
    bool on_key(text part, std::size_t, error_code&) {
        name.append(part.data(), part.size());
        if (!twice && !objects.back().insert(name).second) twice = name;
        name.clear();
        return true;
    }
    bool on_string_part(text, std::size_t, error_code&) { return true; }
    bool on_string(text, std::size_t, error_code&) { return true; }
    bool on_number_part(text, error_code&) { return true; }
    bool on_int64(std::int64_t, text, error_code&) { return true; }
    bool on_uint64(std::uint64_t, text, error_code&) { return true; }
    bool on_double(double, text, error_code&) { return true; }
    bool on_bool(bool, error_code&) { return true; }
    bool on_null(error_code&) { return true; }
    bool on_comment_part(text, error_code&) { return true; }
    bool on_comment(text, error_code&) { return true; }
};

}  // namespace

base::result<std::vector<std::string>> read_path(std::string_view path) {
    constexpr std::string_view ambiguous =
        "The path is ambiguous: dot or empty segments, encoded separators, or bytes that are no UTF-8.";
    std::vector<std::string> segments;
    if (!path.starts_with('/')) return base::fail(errc::bad_framing, std::string(ambiguous));
    path.remove_prefix(1);
    while (true) {
        const bool last = path.find('/') == std::string_view::npos;
        auto segment = decoded(take_until(path, '/'), base::plus_sign::itself);
        if (!segment || segment->empty() || *segment == "." || *segment == ".." ||
            segment->find_first_of("/\\%") != std::string::npos) {
            return base::fail(errc::bad_framing, std::string(ambiguous));
        }
        segments.push_back(std::move(*segment));
        if (last) return segments;
    }
}

base::result<boost::json::object> read_query(std::string_view query) {
    boost::json::object made;
    while (!query.empty()) {
        std::string_view pair = take_until(query, '&');
        if (pair.empty()) continue;
        const auto name = decoded(take_until(pair, '='), base::plus_sign::space);
        const auto value = decoded(pair, base::plus_sign::space);
        if (!name || !value) {
            return base::fail(errc::invalid_argument,
                              "The query has a broken percent escape, a control character or bytes that are no UTF-8.");
        }
        if (!made.emplace(*name, *value).second) {
            return base::fail(errc::duplicate_field,
                              fmt::format("The parameter `{}` occurs more than once.", name->substr(0, 64)));
        }
    }
    return made;
}

base::result<boost::json::object> read_body(std::string_view text) {
    if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return boost::json::object();
    boost::json::parse_options strict;
    strict.max_depth = depth_max;
    boost::json::basic_parser<duplicate_finder> names(strict);
    boost::json::error_code problem;
    const std::size_t read = names.write_some(false, text.data(), text.size(), problem);
    if (problem || read != text.size()) {
        return base::fail(
            errc::invalid_json,
            fmt::format("The body is not valid JSON of at most {} levels (at byte {}).", depth_max, read));
    }
    if (const auto& twice = names.handler().twice) {
        return base::fail(errc::duplicate_field,
                          fmt::format("The member `{}` occurs more than once in one object.", twice->substr(0, 64)));
    }
    auto parsed = boost::json::parse(text, problem, {}, strict);
    if (problem) return base::fail(errc::invalid_json, "The body is not valid JSON.");
    auto* const object = parsed.if_object();
    if (!object) return base::fail(errc::invalid_json, "The body must be a JSON object.");
    return std::move(*object);
}

}  // namespace admin
