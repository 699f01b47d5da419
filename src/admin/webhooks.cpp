// Webhooks of jobs: what signs them (/admin/v1/teams/{}/webhook-secret), what became of them and how to send them again
// (/admin/v1/webhooks).
#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

#include "admin/endpoint.hpp"
#include "admin/members.hpp"
#include "admin/routes.hpp"
#include "admin/views.hpp"
#include "governance/change.hpp"
#include "governance/tenants.hpp"
#include "jobs/webhook_deliveries.hpp"

namespace admin {

using base::errc;

namespace {

constexpr governance::time_ms overlap_default_ms = 24 * 3'600'000;
constexpr std::int64_t entries_default = 100;
constexpr std::int64_t entries_max = 1'000;
// The team of the static keys, which may have jobs although it is not stored.

boost::json::string text_of(std::string_view what) { return boost::json::string(what); }

boost::json::object view_of_secrets(const governance::webhook_secrets& what) {
    boost::json::value previous = nullptr, until = nullptr;
    if (!what.previous.empty()) {
        previous = text_of(what.previous.reveal());
        until = time_value(what.previous_until);
    }
    return {{"secret", text_of(what.current.reveal())},
            {"version", what.version},
            {"previous_secret", std::move(previous)},
            {"previous_until", std::move(until)}};
}

// A URL may carry a token of the receiver in its query.
std::string without_query(std::string_view url) {
    const std::size_t mark = url.find('?');
    return mark == url.npos ? std::string(url) : fmt::format("{}?...", url.substr(0, mark));
}

boost::json::object view_of_delivery(const jobs::delivery_entry& what) {
    boost::json::value status = nullptr, error = nullptr, next_at = nullptr;
    if (what.last_status > 0) status = what.last_status;
    if (!what.last_error.empty()) error = text_of(what.last_error);
    if (what.state == jobs::delivery_state::waiting) next_at = time_value(what.next_at);
    return {{"id", text_of(what.id)},
            {"job_id", text_of(what.job_id)},
            {"team_id", text_of(what.to.team_id)},
            {"url", text_of(without_query(what.url))},
            {"event", text_of(what.event)},
            {"state", text_of(jobs::name_of(what.state))},
            {"tries", what.tries},
            {"last_status", std::move(status)},
            {"last_error", std::move(error)},
            {"next_at", std::move(next_at)},
            {"created_at", time_value(what.created_at)},
            {"updated_at", time_value(what.updated_at)},
            {"replayed_at", time_value(what.replayed_at)}};
}

// A typing error must not look like a team without webhooks.
base::result<std::string> id_of_team(const std::optional<std::string>& name, workbench& bench) {
    if (!name) return std::string();
    auto found = bench.tenants.find_team(*name);
    if (found) return std::move(found->id);
    if (*name == governance::static_team) return *name;
    return std::unexpected(found.error());
}

jobs::delivery_filter read_filter(members& given) {
    return {.id = {},
            .job_id = given.text("job").value_or(""),
            .team_id = {},
            .state = given.named("state", jobs::delivery_state_named, "waiting, delivered or given_up")};
}

}  // namespace

base::result<reply> show_webhook_secret(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const auto found = bench.tenants.show_webhook_secret(asked.by, asked.path[0]);
    if (!found) return std::unexpected(found.error());
    return reply_of(view_of_secrets(*found));
}

// Without `rotate` it shows, as GET does: the command line has one word for both.
base::result<reply> rotate_webhook_secret(const request& asked, workbench& bench) {
    members given(asked);
    const bool rotate = given.flag("rotate").value_or(false);
    const auto overlap = given.span_ms("overlap");
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    if (!rotate && overlap) return base::fail(errc::invalid_argument, "`overlap` needs `rotate`.");
    const auto found =
        rotate ? bench.tenants.rotate_webhook_secret(asked.by, asked.path[0], overlap.value_or(overlap_default_ms))
               : bench.tenants.show_webhook_secret(asked.by, asked.path[0]);
    if (!found) return std::unexpected(found.error());
    return reply_of(view_of_secrets(*found));
}

base::result<reply> list_webhooks(const request& asked, workbench& bench) {
    members given(asked);
    jobs::delivery_filter which = read_filter(given);
    const auto team = given.text("team");
    const std::string after = given.text("after_id").value_or("");
    const auto limit = static_cast<std::uint32_t>(given.count("limit", 1, entries_max).value_or(entries_default));
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    auto team_id = id_of_team(team, bench);
    if (!team_id) return std::unexpected(team_id.error());
    which.team_id = std::move(*team_id);
    auto entries = jobs::list_deliveries(bench.on, which, after, limit + 1);
    const bool has_more = entries.size() > limit;
    if (has_more) entries.pop_back();
    boost::json::array all;
    boost::json::value last = nullptr;
    for (const auto& entry : entries) {
        last = text_of(entry.id);
        all.emplace_back(view_of_delivery(entry));
    }
    return reply_of(page_of(std::move(all), has_more, std::move(last)));
}

base::result<reply> show_webhook(const request& asked, workbench& bench) {
    members given(asked);
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    const jobs::delivery_filter which{.id = asked.path[0], .job_id = {}, .team_id = {}, .state = {}};
    const auto found = jobs::list_deliveries(bench.on, which, {}, 1);
    if (found.empty()) return base::fail(errc::not_found, "There is no delivery of that id.");
    return reply_of(view_of_delivery(found.front()));
}

base::result<reply> replay_webhooks(const request& asked, workbench& bench) {
    members given(asked);
    jobs::delivery_filter which = read_filter(given);
    which.id = given.text("id").value_or("");
    const auto team = given.text("team");
    if (const auto wrong = given.problem()) return std::unexpected(*wrong);
    auto team_id = id_of_team(team, bench);
    if (!team_id) return std::unexpected(team_id.error());
    which.team_id = std::move(*team_id);
    // Nobody sends everything again by leaving something out.
    if (which.id.empty() && which.job_id.empty() && (which.team_id.empty() || !which.state))
        return base::fail(errc::invalid_argument, "Say which: an id, a job, or a team with a state.");
    const auto count = governance::make_change(
        bench.on, asked.by, bench.now(), [&](governance::change& made) -> base::result<std::size_t> {
            const std::size_t replayed = jobs::replay_deliveries(made.on, which, made.at);
            if (replayed == 0) return replayed;
            const boost::json::object details{{"job", text_of(which.job_id)},
                                              {"team", text_of(which.team_id)},
                                              {"state", which.state ? text_of(jobs::name_of(*which.state)) : ""},
                                              {"count", replayed}};
            made.record("webhook.replay", which.id, boost::json::serialize(details));
            return replayed;
        });
    if (!count) return std::unexpected(count.error());
    if (*count == 0 && !which.id.empty())
        return base::fail(errc::not_found, "There is no such delivery, or it is being sent right now.");
    return reply_of({{"replayed", *count}});
}

}  // namespace admin
