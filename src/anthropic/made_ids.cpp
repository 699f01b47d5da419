#include "anthropic/made_ids.hpp"

#include <algorithm>

namespace anthropic {
namespace {

constexpr std::size_t id_bytes_max = 128;
constexpr std::size_t kept_bytes = id_bytes_max + 32;  // with the member's name before it

struct shape {
    std::string_view value;   // how the string begins, its quote included
    std::string_view member;  // the name before it
};
constexpr shape shapes[] = {{"\"file_", "\"file_id\""}, {"\"container_", "\"id\""}};

bool is_letter(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

// Whether `before` ends in the member's name, a colon and perhaps blanks.
bool is_behind(std::string_view before, std::string_view member) {
    const auto skip_blanks = [&] {
        while (before.ends_with(' ') || before.ends_with('\n') || before.ends_with('\t')) before.remove_suffix(1);
    };
    skip_blanks();
    if (!before.ends_with(':')) return false;
    before.remove_suffix(1);
    skip_blanks();
    return before.ends_with(member) && !before.substr(0, before.size() - member.size()).ends_with('\\');
}

}  // namespace

void made_ids::feed(std::string_view bytes, const std::function<void(const std::string& id)>& found) {
    kept_.append(bytes);
    for (const auto& [value, member] : shapes) {
        for (std::size_t at = 0; (at = kept_.find(value, at)) != kept_.npos; ++at) {
            const std::size_t begin = at + 1;
            const std::size_t limit = std::min(kept_.size(), begin + id_bytes_max);
            std::size_t end = begin;
            while (end < limit && is_letter(kept_[end])) ++end;
            if (end == limit || kept_[end] != '"') continue;  // not whole yet, or no id
            if (!is_behind(std::string_view(kept_).substr(0, at), member)) continue;
            std::string id = kept_.substr(begin, end - begin);
            if (seen_.size() < ids_max && seen_.insert(id).second) found(id);
        }
    }
    if (kept_.size() > kept_bytes) kept_.erase(0, kept_.size() - kept_bytes);
}

}  // namespace anthropic
