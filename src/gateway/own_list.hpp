// Lists of what a team made, out of the upstream's lists of what everybody made.
// Plain; one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "anthropic/list_page.hpp"

namespace gateway {

// A list as it was asked for. Cursors of ours by token name the upstream's page and the last entry of it that was
// given out, because our pages end where the upstream's do not.
struct list_query {
    std::size_t limit = 20;
    std::string after_id{}, before_id{};  // decoded; at most one is set, or both: the upstream refuses that
    std::string page{};                   // the upstream's token, decoded
    std::string page_after{};             // with it: entries up to this one were given out already
    std::string others{};                 // the rest of the query, as it came
    bool limit_is_odd = false;            // no number from 1 to 1000: the upstream says what is wrong with it
};
list_query read_list_query(std::string_view query);

// The query of the upstream's page that follows, without the question mark.
std::string upstream_query(const list_query& what, std::size_t limit);

// Collects own entries from the upstream's pages, in their order, until there is one more than was asked for.
class own_page {
public:
    // `own`: the ids of the team. `is_shared`: those that everybody may see.
    own_page(list_query asked, std::unordered_set<std::string> own, bool (*is_shared)(std::string_view id));

    // The query for the next page of the upstream.
    std::string next_query(std::size_t limit) const { return upstream_query(at_, limit); }
    // True: the page is enough, or was the last one.
    bool add(const anthropic::list_page& upstream);
    // What the client gets. `cut`: no further page was asked for although there are some; nothing: then nothing can be
    // said that would let the client go on.
    std::optional<std::string> text(bool cut) const;

private:
    bool is_own(const std::string& id) const;

    list_query asked_;
    list_query at_;  // where the next upstream page begins
    std::unordered_set<std::string> own_;
    bool (*is_shared_)(std::string_view);
    anthropic::list_page made_;
    std::string token_of_last_;  // the upstream page on which the last entry given out stands
    std::size_t unseen_;         // ids of the team that have not come by
    bool all_seen_counts_;       // the walk began at the beginning: when all were seen, there are no more
    bool more_ = false;
    bool skipping_;
};

}  // namespace gateway
