#include "gateway/own_list.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "anthropic/json_text.hpp"
#include "base/percent.hpp"

namespace gateway {
namespace {

constexpr std::string_view token_prefix = "cp1.";
constexpr std::size_t limit_max = 1'000;

// What is no escape stands for itself: the upstream may know better.
std::string decoded(std::string_view text) {
    std::string made;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (const int byte = base::escaped_byte(text.substr(i)); byte >= 0) {
            made += static_cast<char>(byte);
            i += 2;
        } else {
            made += text[i] == '+' ? ' ' : text[i];
        }
    }
    return made;
}

std::string encoded(std::string_view text) {
    std::string made;
    for (const char c : text) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                           c == '-' || c == '.' || c == '~';
        if (plain) {
            made += c;
        } else {
            made += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return made;
}

void append(std::string& query, std::string_view name, std::string_view value) {
    if (!query.empty()) query += '&';
    query.append(name).append("=").append(encoded(value));
}

}  // namespace

list_query read_list_query(std::string_view query) {
    list_query read;
    while (!query.empty()) {
        const std::string_view one = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(one.size() + 1, query.size()));
        const std::size_t equals = std::min(one.find('='), one.size());
        const std::string name = decoded(one.substr(0, equals));
        const std::string value = decoded(one.substr(std::min(equals + 1, one.size())));
        if (name == "limit") {
            const auto count = anthropic::plain_count(value);
            read.limit_is_odd = !count || *count < 1 || *count > limit_max;
            if (read.limit_is_odd) {
                append(read.others, name, value);
            } else {
                read.limit = static_cast<std::size_t>(*count);
            }
        } else if (name == "after_id") {
            read.after_id = value;
        } else if (name == "before_id") {
            read.before_id = value;
        } else if (name == "page") {
            read.page = value;
        } else if (!one.empty()) {
            read.others.append(read.others.empty() ? "" : "&").append(one);
        }
    }
    if (read.page.starts_with(token_prefix)) {
        const std::size_t dot = std::min(read.page.find('.', token_prefix.size()), read.page.size());
        read.page_after = read.page.substr(token_prefix.size(), dot - token_prefix.size());
        read.page.erase(0, std::min(dot + 1, read.page.size()));
    }
    return read;
}

std::string upstream_query(const list_query& what, std::size_t limit) {
    std::string query = what.others;
    if (!what.limit_is_odd) append(query, "limit", fmt::to_string(limit));
    if (!what.after_id.empty()) append(query, "after_id", what.after_id);
    if (!what.before_id.empty()) append(query, "before_id", what.before_id);
    if (!what.page.empty()) append(query, "page", what.page);
    return query;
}

own_page::own_page(list_query asked, std::unordered_set<std::string> own, bool (*is_shared)(std::string_view id))
    : asked_(std::move(asked)),
      at_(asked_),
      own_(std::move(own)),
      is_shared_(is_shared),
      unseen_(own_.size()),
      all_seen_counts_(asked_.after_id.empty() && asked_.before_id.empty() && asked_.page.empty() && !is_shared("")),
      skipping_(!asked_.page_after.empty()) {}

bool own_page::is_own(const std::string& id) const { return own_.contains(id) || is_shared_(id); }

bool own_page::add(const anthropic::list_page& upstream) {
    made_.by_token = upstream.by_token;
    made_.tells_more = upstream.tells_more;
    const bool backwards = !upstream.by_token && !at_.before_id.empty();
    std::vector<anthropic::list_entry> here;
    // A page whose last entry given out is gone is given out from its beginning: rather twice than never.
    if (skipping_) {
        skipping_ = std::ranges::find(upstream.entries, asked_.page_after, &anthropic::list_entry::id) !=
                    upstream.entries.end();
    }
    for (const auto& entry : upstream.entries) {
        const bool was_skipping = skipping_;
        if (skipping_ && entry.id == asked_.page_after) skipping_ = false;
        if (!is_own(entry.id)) continue;
        if (unseen_ > 0) --unseen_;
        if (was_skipping) continue;
        if (!backwards && made_.entries.size() + here.size() < asked_.limit) {
            token_of_last_ = fmt::format("{}{}.{}", token_prefix, entry.id, at_.page);
        }
        here.push_back(entry);
    }
    made_.entries.insert(backwards ? made_.entries.begin() : made_.entries.end(), here.begin(), here.end());

    more_ = upstream.has_more && !upstream.entries.empty();
    if (all_seen_counts_ && unseen_ == 0) more_ = false;
    if (upstream.by_token) {
        at_.page = upstream.next_page;
    } else if (backwards && more_) {
        at_.before_id = upstream.entries.front().id;
    } else if (more_) {
        at_.after_id = upstream.entries.back().id;
    }
    return made_.entries.size() > asked_.limit || !more_;
}

std::optional<std::string> own_page::text(bool cut) const {
    anthropic::list_page page = made_;
    const bool too_many = page.entries.size() > asked_.limit;
    page.has_more = too_many || (cut && more_);
    if (too_many && !page.by_token && !asked_.before_id.empty()) {
        page.entries.erase(page.entries.begin(), page.entries.end() - static_cast<std::ptrdiff_t>(asked_.limit));
    } else if (too_many) {
        page.entries.resize(asked_.limit);
    }
    if (page.by_token) {
        if (too_many) page.next_page = token_of_last_;
        if (!too_many && page.has_more) page.next_page = at_.page;
    } else if (page.has_more && page.entries.empty()) {
        return std::nullopt;
    }
    return anthropic::write_list_page(page);
}

}  // namespace gateway
