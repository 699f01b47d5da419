#include "anthropic/references.hpp"

#include <algorithm>
#include <cstdint>

#include "anthropic/json_text.hpp"
#include "anthropic/nested_skip.hpp"

namespace anthropic {
namespace {

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view own_data[] = {"input", "input_schema", "input_examples"};

// What is known of an open object or list.
enum level : std::uint8_t { plain = 0, ignored = 1, is_container = 2 };

std::string decoded(std::string_view between_quotes) {
    if (between_quotes.find('\\') == between_quotes.npos) return std::string(between_quotes);
    return unescape(between_quotes).value_or(std::string());
}

class walk {
public:
    explicit walk(std::string_view body) : body_(body) {}

    references run() {
        while (at_ < body_.size() && !found_.too_many) {
            switch (body_[at_]) {
                case '"':
                    on_string();
                    break;
                case '{':
                case '[':
                    open(plain);
                    break;
                case '}':
                case ']':
                    if (!levels_.empty()) levels_.pop_back();
                    ++at_;
                    break;
                default:
                    ++at_;
            }
        }
        return std::move(found_);
    }

private:
    bool is_ignored() const { return !levels_.empty() && (levels_.back() & ignored) != 0; }

    void open(std::uint8_t what) {
        levels_.push_back(static_cast<std::uint8_t>(what | (is_ignored() ? ignored : plain)));
        ++at_;
    }

    // The text of the string that begins at at_; moves behind it.
    std::string_view take_string() {
        const char* const begin = body_.data() + at_ + 1;
        nesting inside{.in_string = true};
        const char* const end = skip_string(begin, body_.data() + body_.size(), inside);
        at_ = static_cast<std::size_t>(end - body_.data());
        const bool closed = !inside.in_string;
        return {begin, static_cast<std::size_t>(end - begin) - (closed ? 1 : 0)};
    }

    void on_string() {
        const std::string_view text = take_string();
        std::size_t next = std::min(body_.find_first_not_of(blanks, at_), body_.size());
        if (next == body_.size() || body_[next] != ':') return;  // no member's name
        next = std::min(body_.find_first_not_of(blanks, next + 1), body_.size());
        at_ = next;
        if (at_ == body_.size()) return;
        const char first = body_[at_];
        if (first == '"') {
            const bool inside_container = !levels_.empty() && (levels_.back() & is_container) != 0;
            const std::string_view value = take_string();
            if (!is_ignored()) on_member(decoded(text), value, inside_container);
        } else if (first == '{' || first == '[') {
            const std::string name = decoded(text);
            const bool own = std::ranges::find(own_data, name) != std::end(own_data);
            open(own ? ignored : name == "container" ? is_container : plain);
        }
    }

    void on_member(std::string_view name, std::string_view value, bool inside_container) {
        if (name == "file_id") return add(value, "file_");
        if (name == "skill_id") return add(value, "skill_");
        if (name == "container" || (name == "id" && inside_container)) add(value, "container_");
    }

    void add(std::string_view value, std::string_view shape) {
        std::string id = decoded(value);
        if (!id.starts_with(shape) || std::ranges::find(found_.ids, id) != found_.ids.end()) return;
        if (found_.ids.size() == references_max) {
            found_.too_many = true;
        } else {
            found_.ids.push_back(std::move(id));
        }
    }

    std::string_view body_;
    std::size_t at_ = 0;
    std::vector<std::uint8_t> levels_;
    references found_;
};

}  // namespace

references read_references(std::string_view body) { return walk(body).run(); }

}  // namespace anthropic
