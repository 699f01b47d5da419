// The environment, `.env` files (settings.hpp) and the reader of small files (read_file.hpp).
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "config/read_file.hpp"
#include "config/settings.hpp"

namespace config {
namespace {

constexpr std::string_view white = " \t";

std::string_view without_leading_white(std::string_view text) {
    return text.substr(std::min(text.find_first_not_of(white), text.size()));
}

bool is_name(std::string_view text) {
    const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
    if (text.empty() || !letter(text.front())) return false;
    for (const char c : text) {
        if (!letter(c) && !(c >= '0' && c <= '9')) return false;
    }
    return true;
}

using value_text = std::expected<std::string, std::string_view>;

value_text quoted_value(std::string_view text) {
    const char quote = text.front();
    std::string value;
    std::size_t at = 1;
    for (; at < text.size() && text[at] != quote; ++at) {
        const bool escape = quote == '"' && text[at] == '\\' && at + 1 < text.size();
        if (escape && (text[at + 1] == '"' || text[at + 1] == '\\')) ++at;
        value.push_back(text[at]);
    }
    if (at >= text.size()) return std::unexpected("the closing quote is missing");
    const std::string_view rest = without_leading_white(text.substr(at + 1));
    if (!rest.empty() && !rest.starts_with('#')) return std::unexpected("there is text behind the closing quote");
    return value;
}

// A `#` begins a comment only behind white space: keys and URLs may hold one.
value_text plain_value(std::string_view text) {
    if (text.starts_with('#')) return std::string();
    for (std::size_t at = 1; at < text.size(); ++at) {
        if (text[at] == '#' && white.contains(text[at - 1])) text = text.substr(0, at);
    }
    const std::size_t last = text.find_last_not_of(white);
    return std::string(text.substr(0, last == std::string_view::npos ? 0 : last + 1));
}

}  // namespace

std::expected<std::string, std::string> read_file(const std::string& path, std::size_t bytes_max) {
    const auto close = [](std::FILE* file) { std::fclose(file); };
    const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "re"), close);
    if (!file) return std::unexpected(fmt::format("cannot be read: {}", std::strerror(errno)));
    std::string text;
    std::array<char, 4096> piece;
    for (std::size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), file.get())) > 0;) {
        text.append(piece.data(), size);
        if (text.size() > bytes_max) return std::unexpected(fmt::format("is larger than {} bytes", bytes_max));
    }
    if (std::ferror(file.get())) return std::unexpected(fmt::format("cannot be read: {}", std::strerror(errno)));
    if (text.find('\0') != std::string::npos) return std::unexpected("has a NUL byte; it must be a text file");
    return text;
}

environment process_environment() {
    environment made;
    for (char** entry = environ; entry && *entry; ++entry) {
        const std::string_view text = *entry;
        const std::size_t equals = text.find('=');
        if (equals != std::string_view::npos) made.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return made;
}

std::expected<environment, std::string> read_env_file(const std::string& path) {
    constexpr std::size_t bytes_max = 1 << 20;
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    const auto text = read_file(path, bytes_max);
    if (!text) return std::unexpected("the file " + text.error() + ".");
    environment made;
    std::string_view rest = *text;
    if (rest.starts_with(byte_order_mark)) rest.remove_prefix(byte_order_mark.size());
    for (int number = 1; !rest.empty(); ++number) {
        const auto refuse = [number](std::string_view why) {
            return std::unexpected(fmt::format("line {}: {}.", number, why));
        };
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        line = without_leading_white(line);
        if (line.empty() || line.starts_with('#')) continue;
        constexpr std::string_view shell_word = "export ";
        if (line.starts_with(shell_word)) line = without_leading_white(line.substr(shell_word.size()));
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos || !is_name(line.substr(0, equals)))
            return refuse("must be NAME=VALUE or a # comment");
        const std::string_view name = line.substr(0, equals);
        const std::string_view text_of_value = without_leading_white(line.substr(equals + 1));
        const bool quoted = text_of_value.starts_with('"') || text_of_value.starts_with('\'');
        auto value = quoted ? quoted_value(text_of_value) : plain_value(text_of_value);
        if (!value) return refuse(value.error());
        if (!made.emplace(name, std::move(*value)).second)
            return refuse(fmt::format("{} is set a second time; remove one of the two", name));
    }
    return made;
}

}  // namespace config
