#include "gateway/ownership.hpp"

#include <fmt/format.h>

#include "anthropic/json_text.hpp"
#include "anthropic/made_ids.hpp"
#include "anthropic/member_scanner.hpp"
#include "anthropic/references.hpp"
#include "gateway/awaited.hpp"

namespace gateway {
namespace {

using base::errc;
using base::fail;
using resources::finding;
using resources::kind;

constexpr milliseconds look_up_max{2'000};  // the database may be slow or away
constexpr milliseconds record_max{2'000};

constexpr std::pair<std::string_view, kind> collections[] = {
    {"/v1/messages/batches", kind::batch},
    {"/v1/files", kind::file},
    {"/v1/skills", kind::skill},
};

base::error not_there(std::string_view id) {
    constexpr std::size_t told_max = 128;
    return {errc::not_found, fmt::format("Not found: {}", id.substr(0, told_max))};
}

}  // namespace

std::optional<resource_path> resource_in(std::string_view path) {
    for (const auto& [prefix, what] : collections) {
        if (!path.starts_with(prefix)) continue;
        std::string_view rest = path.substr(prefix.size());
        if (rest.empty()) return resource_path{what, {}};
        if (rest.front() != '/') continue;
        rest.remove_prefix(1);
        return resource_path{what, std::string(rest.substr(0, rest.find('/')))};
    }
    return std::nullopt;
}

bool is_everybodys(kind what, std::string_view id) { return what == kind::skill && !id.starts_with("skill_"); }

net::task<base::result<void>> must_be_own(exchange& x, service& s, std::vector<std::string> ids) {
    const std::string& team = x.caller->team_id;
    std::vector<std::string> unknown;
    for (auto& id : ids) {
        const auto seen = s.owners.look(id, team);
        if (seen == finding::not_mine) co_return std::unexpected(not_there(id));
        if (!seen) unknown.push_back(std::move(id));
    }
    if (unknown.empty()) co_return base::result<void>();
    awaited<resources::found> answer(x.client.reactor());
    s.owners.ask(std::move(unknown), team, answer.taker());
    x.client.timer().set_after(look_up_max.count());
    const net::wake why = co_await answer.wait(x.client.timer(), &x.client.stream());
    if (why == net::wake::hangup) co_return fail(errc::client_left);
    if (why == net::wake::cancelled) co_return fail(errc::shutting_down, "The gateway is shutting down.");
    if (why == net::wake::ready) {
        const auto found = answer.take();
        if (found.what == finding::mine) co_return base::result<void>();
        if (found.what == finding::not_mine) co_return std::unexpected(not_there(found.id));
    }
    co_return fail(errc::resources_unavailable,
                   "The database is away, and whose this is is not known without it; try again shortly.",
                   std::chrono::seconds(2));
}

net::task<base::result<void>> may_reference(exchange& x, service& s, std::string_view body) {
    auto named = anthropic::read_references(body);
    if (named.too_many) {
        co_return fail(errc::invalid_argument,
                       fmt::format("The request names more than {} files.", anthropic::references_max));
    }
    if (named.ids.empty()) co_return base::result<void>();
    co_return co_await must_be_own(x, s, std::move(named.ids));
}

void record_what_is_made(exchange& x, service& s) {
    x.watch = [ids = anthropic::made_ids(), &s, who = x.caller](std::string_view bytes) mutable {
        ids.feed(bytes, [&](const std::string& id) {
            if (const auto what = resources::kind_of_id(id))
                s.owners.record({id, *what, who->team_id, who->key_id}, {});
        });
    };
}

net::task<void> record_made(exchange& x, service& s, kind what, std::string_view answer) {
    static constexpr std::string_view wanted[] = {"id"};
    anthropic::member_scanner scanner(wanted);
    scanner.feed(answer);
    const auto* const found = scanner.find("id");
    auto id = found ? anthropic::decode_string(found->text) : std::nullopt;
    if (!id || id->empty()) co_return;
    awaited<bool> written(x.client.reactor());
    s.owners.record({.id = std::move(*id), .what = what, .team_id = x.caller->team_id, .key_id = x.caller->key_id},
                    [done = written.taker()] { done(true); });
    x.client.timer().set_after(record_max.count());
    co_await written.wait(x.client.timer(), nullptr);
}

}  // namespace gateway
