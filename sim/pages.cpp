#include "pages.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "api_error.hpp"
#include "text.hpp"

namespace sim {

namespace {

std::size_t read_limit(const request& asked) {
    const auto text = asked.parameter("limit");
    if (!text) return 20;
    std::uint64_t limit = 0;
    if (!read_number(*text, limit))
        throw invalid("limit: Input should be a valid integer, unable to parse string as an integer");
    if (limit < 1) throw invalid("limit: Input should be greater than or equal to 1");
    if (limit > 1000) throw invalid("limit: Input should be less than or equal to 1000");
    return limit;
}

std::string join(const std::vector<page_item>& items, std::size_t first, std::size_t last) {
    std::string text = "[";
    for (std::size_t at = first; at < last; ++at) {
        if (at > first) text += ',';
        text += items[at].json;
    }
    return text + "]";
}

std::size_t position(const std::vector<page_item>& items, const std::string& id, std::string_view parameter) {
    const auto found = std::ranges::find(items, id, &page_item::id);
    if (found == items.end()) throw invalid(fmt::format("{}: no object with id '{}'", parameter, id));
    return static_cast<std::size_t>(found - items.begin());
}

}  // namespace

std::string page_by_id(const request& asked, const std::vector<page_item>& items) {
    const std::size_t limit = read_limit(asked);
    const auto after = asked.parameter("after_id");
    const auto before = asked.parameter("before_id");
    if (after && before) throw invalid("Only one of after_id and before_id may be given");
    std::size_t first = after ? position(items, *after, "after_id") + 1 : 0;
    std::size_t last = std::min(items.size(), first + limit);
    bool more = last < items.size();
    if (before) {
        last = position(items, *before, "before_id");
        first = last > limit ? last - limit : 0;
        more = first > 0;
    }
    const bool empty = first >= last;
    return fmt::format(R"({{"data":{},"has_more":{},"first_id":{},"last_id":{}}})", join(items, first, last), more,
                       empty ? "null" : quote(items[first].id), empty ? "null" : quote(items[last - 1].id));
}

std::string page_by_token(const request& asked, const std::vector<page_item>& items, bool with_has_more) {
    constexpr std::string_view prefix = "page_";
    const std::size_t limit = read_limit(asked);
    std::uint64_t first = 0;
    if (const auto token = asked.parameter("page"); token && !token->empty()) {
        if (!token->starts_with(prefix) || !read_number(std::string_view(*token).substr(prefix.size()), first)) {
            throw invalid("page: invalid page token");
        }
    }
    first = std::min<std::uint64_t>(first, items.size());
    const std::size_t last = std::min(items.size(), first + limit);
    const bool more = last < items.size();
    return fmt::format(R"({{"data":{},{}"next_page":{}}})", join(items, first, last),
                       with_has_more ? fmt::format(R"("has_more":{},)", more) : "",
                       more ? fmt::format("\"{}{}\"", prefix, last) : "null");
}

}  // namespace sim
