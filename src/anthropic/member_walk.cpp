#include "anthropic/member_walk.hpp"

#include <algorithm>

#include "anthropic/json_text.hpp"
#include "anthropic/nested_skip.hpp"

namespace anthropic {
namespace {

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view ends_of_scalars = ",]} \t\r\n";
constexpr std::string_view own_data[] = {"input", "input_schema", "input_examples"};

}  // namespace

std::string member_walk::decoded(std::string_view between_quotes) {
    if (between_quotes.find('\\') == between_quotes.npos) return std::string(between_quotes);
    return unescape(between_quotes).value_or(std::string());
}

void member_walk::walk(std::string_view body) {
    body_ = body;
    while (at_ < body_.size() && !stopped_) {
        switch (body_[at_]) {
            case '"':
                on_string();
                break;
            case '{':
            case '[':
                open({});
                break;
            case '}':
            case ']':
                close();
                break;
            default:
                ++at_;
        }
    }
}

void member_walk::open(std::string_view name) {
    levels_.push_back(on_open(name));
    ++at_;
}

void member_walk::close() {
    if (!levels_.empty()) {
        on_close();
        levels_.pop_back();
    }
    ++at_;
}

// The text of the string that begins at at_; moves behind it.
std::string_view member_walk::take_string() {
    const char* const begin = body_.data() + at_ + 1;
    nesting inside{.in_string = true};
    const char* const end = skip_string(begin, body_.data() + body_.size(), inside);
    at_ = static_cast<std::size_t>(end - body_.data());
    const bool closed = !inside.in_string;
    return {begin, static_cast<std::size_t>(end - begin) - (closed ? 1 : 0)};
}

void member_walk::on_string() {
    const std::string_view text = take_string();
    std::size_t next = std::min(body_.find_first_not_of(blanks, at_), body_.size());
    if (next == body_.size() || body_[next] != ':') return;  // no member's name
    next = std::min(body_.find_first_not_of(blanks, next + 1), body_.size());
    at_ = next;
    if (at_ == body_.size()) return;
    const std::string name = decoded(text);
    const char first = body_[at_];
    if (first == '"') {
        on_text(name, take_string());
    } else if (first != '{' && first != '[') {
        const std::size_t end = std::min(body_.find_first_of(ends_of_scalars, at_), body_.size());
        on_scalar(name, body_.substr(at_, end - at_));
        at_ = end;
    } else if (std::ranges::find(own_data, name) == std::end(own_data)) {
        open(name);
    } else {
        nesting inside{.depth = 2};
        at_ = static_cast<std::size_t>(skip_nested(body_.data() + at_ + 1, body_.data() + body_.size(), inside) -
                                       body_.data());
    }
}

}  // namespace anthropic
