#include "gateway/authentication.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "net/signal.hpp"

namespace gateway {
namespace {

using base::errc;
using base::fail;
using governance::finding;

constexpr milliseconds look_up_max{2'000};  // for a key that is not in memory; the database may be slow or away

// Calls `visit` with each credential of the request until it says true. Clients may send both headers, and either may
// be the valid one.
template <class Visit>
bool any_credential(const http::request_head& head, Visit visit) {
    for (const auto& entry : head.headers) {
        std::string_view presented;
        if (entry.id == http::field::x_api_key) {
            presented = entry.value;
        } else if (entry.id == http::field::authorization) {
            constexpr std::size_t scheme_bytes = 7;
            if (entry.value.size() <= scheme_bytes ||
                !http::equals_lower(entry.value.substr(0, scheme_bytes), "bearer "))
                continue;
            presented = entry.value.substr(scheme_bytes);
            while (presented.starts_with(' ')) presented.remove_prefix(1);
        }
        if (!presented.empty() && visit(presented)) return true;
    }
    return false;
}

// What one look at memory says.
struct look {
    std::shared_ptr<const governance::caller> who;
    base::error why{errc::credential_missing};
    bool key_may_be_new = false;    // the directory might know it after another look at the database
    bool token_may_be_new = false;  // the issuer might have a newer key set
};

// A token's team stands for its holder; subject and scopes are the token's own.
std::shared_ptr<const governance::caller> caller_of(const tenancy& who, const governance::verified_token& token,
                                                    base::error& why) {
    const auto team = who.directory->find_team(token.team);
    if (!team) {
        why = {errc::permission_denied, "The team that the token names does not exist here."};
        return nullptr;
    }
    auto made = std::make_shared<governance::caller>(*team);
    made->key_id = "jwt";
    made->subject = token.subject;
    made->scopes = token.scopes;
    made->every_scope = std::ranges::find(token.scopes, "*") != token.scopes.end();
    return made;
}

governance::last_secret& last_secret_of(http::connection& client) {
    if (!client.memory()) client.memory() = std::make_shared<governance::last_secret>();
    return *static_cast<governance::last_secret*>(client.memory().get());
}

void look_at(std::string_view presented, tenancy& who, http::connection& client, std::int64_t now, look& result) {
    if (who.tokens.is_configured() && governance::looks_like_jwt(presented)) {
        const auto token = who.tokens.check(presented, now);
        if (token) {
            result.who = caller_of(who, **token, result.why);
        } else {
            result.why = token.error();
            result.token_may_be_new = result.why.kind != errc::credential_expired && who.issuer != nullptr &&
                                      who.tokens.may_be_of_newer_key(presented);
        }
        return;
    }
    const auto found = who.directory->find(last_secret_of(client).hash(who.hasher, presented), now);
    if (found.what == finding::known) {
        result.who = found.who;
        return;
    }
    result.why = refusal_of(found.what);
    result.key_may_be_new = found.what == finding::unknown && governance::is_well_formed(presented);
}

look look_up(const http::request_head& head, tenancy& who, http::connection& client, std::int64_t now) {
    look result;
    any_credential(head, [&](std::string_view presented) {
        look_at(presented, who, client, now, result);
        return result.who != nullptr;
    });
    return result;
}

// Null: it could not be read a second time, which cannot be.
std::unique_ptr<kept_head> copy_of(const http::request_head& head, const http::server_options& options) {
    auto kept = std::make_unique<kept_head>();
    const auto& last = head.headers.back().line;  // there is one: the credential
    kept->bytes.assign(head.method.data(), last.data() + last.size() + 4);
    const http::head_limits limits{options.head_bytes_max, options.headers_max};
    if (!http::parse_request(kept->bytes, limits, kept->head)) return nullptr;
    return kept;
}

}  // namespace

base::error refusal_of(finding what) {
    switch (what) {
        case finding::expired:
            return {errc::credential_expired, "The key has expired."};
        case finding::revoked:
            return {errc::credential_expired, "The key was revoked."};
        case finding::archived:
            return {errc::credential_expired, "The team of this key was archived."};
        case finding::administrator:
            return {errc::permission_denied, "A key of an administrator is not for this listener."};
        case finding::unknown:
        case finding::known:
            break;
    }
    return {errc::credential_invalid, "The API key is not known to this gateway."};
}

net::task<base::result<void>> authenticate(exchange& x, service& s, const http::request_head*& head,
                                           std::unique_ptr<kept_head>& kept) {
    const std::int64_t now = began_at_ms(x);
    look result = look_up(*head, s.who, x.client, now);
    if (!result.who && (result.key_may_be_new || result.token_may_be_new)) {
        net::signal looked(x.client.reactor());
        const bool asked = result.key_may_be_new ? s.who.keeper.refresh_soon(looked.notifier())
                                                 : s.who.issuer->refresh(looked.notifier());
        if (asked) {
            kept = copy_of(*head, x.client.options());
            if (!kept) co_return fail(errc::internal, "A head could not be read a second time.");
            head = &kept->head;
            x.client.keep_input();  // which may give back the memory that the head lay in
            x.client.timer().set_after(look_up_max.count());
            const net::wake why = co_await looked.wait(x.client.timer(), &x.client.stream());
            if (why == net::wake::hangup) co_return fail(errc::client_left);
            if (why == net::wake::cancelled) co_return fail(errc::shutting_down, "The gateway is shutting down.");
            result = look_up(*head, s.who, x.client, now);
        }
    }
    // What is not known may have been made since, what is known may have been revoked.
    if (now - s.who.keeper.last_success_ms() > s.who.rules.staleness_max.count()) {
        co_return fail(errc::directory_stale,
                       "The gateway has not reached its database for CLAUDE_PROXY_STALENESS_MAX and trusts no key.",
                       std::chrono::seconds(5));
    }
    if (!result.who) co_return std::unexpected(std::move(result.why));
    if (!result.who->ip_ranges.empty() && !result.who->may_come_from(x.client.peer())) {
        co_return fail(errc::address_not_allowed, fmt::format("The key may not be used from {}.", x.client.peer()));
    }
    x.caller = std::move(result.who);
    x.record.caller = x.caller->key_id;
    x.record.team = x.caller->team_name;
    co_return base::result<void>();
}

}  // namespace gateway
