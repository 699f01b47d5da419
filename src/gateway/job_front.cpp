#include "gateway/job_front.hpp"

#include <fmt/format.h>

#include "gateway/authentication.hpp"
#include "gateway/routes.hpp"
#include "net/signal.hpp"

namespace gateway {
namespace {

using base::errc;
using base::fail;
using owner_found = base::result<std::shared_ptr<const governance::caller>>;

constexpr std::string_view jwt_key_id = "jwt";  // governance::caller::key_id of everybody with a token
constexpr milliseconds look_up_max{2'000};      // as for a key that a request presents

std::int64_t wall_clock_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

// A token is not kept with a job: its team must still be there, and its holder may do what everybody with a token may.
owner_found holder_of_token(const tenancy& who, const jobs::owner& owner) {
    const auto team = who.directory->find_team(owner.team_id);
    if (!team) return fail(errc::credential_expired, "The team of the job's owner is gone or archived.");
    auto made = std::make_shared<governance::caller>(*team);
    made->key_id = jwt_key_id;
    made->subject = owner.subject;
    return made;
}

}  // namespace

net::task<owner_found> find_owner(service& s, net::reactor& reactor, net::timer& clock, const jobs::owner& who) {
    const std::int64_t now = wall_clock_ms();
    const auto stale = [&] { return now - s.who.keeper.last_success_ms() > s.who.rules.staleness_max.count(); };
    const auto look = [&]() -> owner_found {
        if (who.key_id == jwt_key_id) return holder_of_token(s.who, who);
        const auto found = s.who.directory->find_key(who.key_id, now);
        if (found.what != governance::finding::known) return std::unexpected(refusal_of(found.what));
        return found.who;
    };
    owner_found found = look();
    if (!found && found.error().kind == errc::credential_invalid) {
        net::signal looked(reactor);
        if (s.who.keeper.refresh_soon(looked.notifier())) {
            clock.set_after(look_up_max.count());
            if (co_await looked.wait(clock, nullptr) == net::wake::cancelled)
                co_return fail(errc::shutting_down, "The work on the job was ended.");
            found = look();
        }
    }
    if (stale()) {
        co_return fail(errc::directory_stale,
                       "The gateway has not reached its database for CLAUDE_PROXY_STALENESS_MAX and trusts no key.",
                       std::chrono::seconds(5));
    }
    if (found)
        if (auto why = unread_rule_refusal(**found)) co_return std::unexpected(std::move(*why));
    co_return found;
}

net::task<void> job_front::run(exchange& x, const http::request_head& head) {
    const routed found = find_route(head.method, head.path);
    x.path = std::string(head.path);
    x.record.path = fmt::format("/v1/jobs/{}", job_id_);  // the log line names the job
    x.record.route = found.row->label;
    x.caller = caller_;
    x.money = std::move(money_);
    x.counted = true;
    x.record.caller = x.caller->key_id;
    x.record.team = x.caller->team_name;
    // The address that the job came from was looked at when it was submitted; what a key may do is asked again.
    constexpr std::string_view scope = "jobs";
    if (!x.caller->may_use_route(scope)) {
        co_await gateway::refuse(
            x, {errc::permission_denied, fmt::format("The key's scopes do not include `{}`.", scope)});
        co_return;
    }
    co_await found.row->run(x, parts_, head);
}

}  // namespace gateway
