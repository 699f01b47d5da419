#include "app/secret_document.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <cmath>

namespace app {
namespace {

namespace json = boost::json;

constexpr std::size_t document_bytes_max = 65'536;  // what a secret can hold
constexpr std::size_t name_bytes_max = 64;

std::string_view text_in(const json::object& from, std::string_view name) {
    const auto* const found = from.if_contains(name);
    return found && found->is_string() ? std::string_view(found->get_string()) : std::string_view();
}

// Seconds with a fraction, as Amazon writes times in JSON.
std::int64_t milliseconds_in(const json::object& from, std::string_view name) {
    constexpr double latest = 1e11;  // some thousand years on: what is beyond is no time
    const auto* const found = from.if_contains(name);
    if (!found || !found->is_number()) return 0;
    const double seconds = found->is_double()  ? found->get_double()
                           : found->is_int64() ? static_cast<double>(found->get_int64())
                                               : static_cast<double>(found->get_uint64());
    return seconds > 0 && seconds < latest ? std::llround(seconds * 1000) : 0;
}

// What is no name may be a secret that came to stand on the wrong side of its colon.
std::string shown_name(std::string_view name) {
    const bool is_name = !name.empty() && name.size() <= name_bytes_max && std::ranges::all_of(name, [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
    return is_name ? std::string(name) : "(no name of a setting)";
}

}  // namespace

std::expected<secret_answer, std::string> read_secret_answer(std::string_view body) {
    boost::system::error_code problem;
    const auto read = json::parse(body, problem);
    if (problem || !read.is_object()) return std::unexpected("has an answer that is no JSON object");
    const auto& answer = read.get_object();
    const std::string_view text = text_in(answer, "SecretString");
    if (text.empty()) return std::unexpected("has no text; it must hold a JSON object of settings");
    return secret_answer{std::string(text),
                         {std::string(text_in(answer, "VersionId")), milliseconds_in(answer, "CreatedDate")}};
}

std::expected<secret_document, std::string> read_secret_document(std::string_view text) {
    if (text.size() > document_bytes_max)
        return std::unexpected(fmt::format("is longer than {} bytes", document_bytes_max));
    boost::system::error_code problem;
    const auto read = json::parse(text, problem);
    if (problem || !read.is_object())
        return std::unexpected("is no JSON object; it must be one, such as {\"ANTHROPIC_API_KEY\": \"...\"}");
    secret_document made;
    for (const auto& [name, value] : read.get_object()) {
        if (!config::is_secret(name)) {
            made.ignored.push_back(shown_name(name));
        } else if (!value.is_string()) {
            return std::unexpected(fmt::format("has a {} that is no text", std::string_view(name)));
        } else {
            made.members.emplace(name, std::string_view(value.get_string()));
        }
    }
    std::ranges::sort(made.ignored);
    return made;
}

}  // namespace app
