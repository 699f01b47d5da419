#include "gateway/job_desk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "anthropic/json_text.hpp"
#include "base/percent.hpp"

namespace gateway {

using base::errc;
using base::fail;

namespace {

constexpr std::size_t query_bytes_max = 4'096;

// Nothing that is asked for here has other characters.
bool is_printable(char c) { return c >= 0x20 && c < 0x7f; }

std::optional<std::string> decoded(std::string_view text) {
    auto made = base::percent_decoded(text, base::plus_sign::space);
    if (!made || !std::ranges::all_of(*made, is_printable)) return std::nullopt;
    return made;
}

struct found_job {
    jobs::outcome how = jobs::outcome::unavailable;
    jobs::summary about;
};

}  // namespace

std::string job_id_of(std::string_view path) {
    constexpr std::string_view prefix = "/v1/jobs/";
    constexpr std::size_t id_bytes_max = 64;
    std::string_view id = path.substr(std::min(prefix.size(), path.size()));
    id = id.substr(0, id.find('/'));
    const auto plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    if (!id.starts_with("job_") || id.size() > id_bytes_max || !std::ranges::all_of(id, plain)) return {};
    return std::string(id);
}

base::result<void> told(jobs::outcome how) {
    switch (how) {
        case jobs::outcome::done:
            return {};
        case jobs::outcome::not_found:
            return fail(errc::job_not_found, "There is no such job for this key's team.");
        case jobs::outcome::refused:
            return fail(errc::database_refused);
        default:
            return fail(errc::jobs_unavailable, "The gateway's database cannot be reached; try again shortly.",
                        std::chrono::seconds(1));
    }
}

net::task<base::result<jobs::summary>> find_job(exchange& x, service& s, std::string id) {
    if (id.empty()) co_return std::unexpected(told(jobs::outcome::not_found).error());
    auto got = co_await from_store<found_job>(x, *s.jobs, [&](auto done) {
        s.jobs->store.find(std::move(id), x.caller->team_id,
                           [done](jobs::outcome how, jobs::summary about) { done({how, std::move(about)}); });
    });
    if (!got) co_return std::unexpected(std::move(got.error()));
    if (auto ok = told(got->how); !ok) co_return std::unexpected(std::move(ok.error()));
    co_return std::move(got->about);
}

net::task<base::result<jobs::summary>> find_job(exchange& x, service& s, std::string id, std::chrono::seconds wait) {
    auto found = co_await find_job(x, s, id);
    if (!found || wait.count() == 0 || jobs::is_final(found->state)) co_return found;
    {
        net::signal changed(x.client.reactor());
        const auto follower = s.jobs->tail.follow(*found, found->events, jobs::tail::interest::end, changed.notifier());
        if (!follower) co_return fail(errc::too_many_followers, {}, std::chrono::seconds(1));
        x.client.timer().set_after(std::chrono::milliseconds(wait).count());
        for (;;) {
            const auto seen = follower->take(0);
            if (seen.ended || seen.lost) break;
            const net::wake why = co_await changed.wait(x.client.timer(), &x.client.stream());
            if (why == net::wake::hangup) co_return fail(errc::client_left);
            if (why == net::wake::cancelled) co_return fail(errc::shutting_down, "The gateway is shutting down.");
            if (why == net::wake::timeout) co_return found;
        }
    }
    co_return co_await find_job(x, s, std::move(id));
}

base::result<std::vector<query_member>> read_query(std::string_view target, std::span<const std::string_view> known) {
    std::vector<query_member> members;
    std::string_view rest = target.substr(std::min(target.find('?'), target.size()));
    if (rest.size() > query_bytes_max) return fail(errc::invalid_argument, "The query is too long.");
    while (!rest.empty()) {
        rest.remove_prefix(1);  // the question mark, or what stands between two members
        const std::string_view member = rest.substr(0, rest.find('&'));
        rest.remove_prefix(member.size());
        if (member.empty()) continue;
        const std::size_t sign = std::min(member.find('='), member.size());
        auto name = decoded(member.substr(0, sign));
        auto value = decoded(member.substr(std::min(sign + 1, member.size())));
        if (!name || !value) {
            return fail(errc::invalid_argument, "The query has a broken % escape, or characters beyond ASCII.");
        }
        if (std::ranges::find(known, *name) == known.end()) {
            return fail(errc::invalid_argument,
                        fmt::format("The query may have: {}.",
                                    known.empty() ? "nothing" : fmt::format("{}", fmt::join(known, ", "))));
        }
        if (find(members, *name))
            return fail(errc::invalid_argument, fmt::format("`{}` occurs twice in the query.", *name));
        members.push_back({std::move(*name), std::move(*value)});
    }
    return members;
}

std::optional<std::string_view> find(std::span<const query_member> query, std::string_view name) {
    const auto found = std::ranges::find(query, name, &query_member::name);
    if (found == query.end()) return std::nullopt;
    return found->value;
}

base::result<std::uint64_t> read_number(std::string_view name, std::string_view text, std::uint64_t max) {
    const auto number = anthropic::plain_count(text);
    if (!number || *number > max) {
        return fail(errc::invalid_argument, fmt::format("`{}` must be a whole number from 0 to {}.", name, max));
    }
    return *number;
}

}  // namespace gateway
