// The admin API on the admin listener: who asks, what, and the answer.
#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <random>

#include "admin/front.hpp"
#include "admin/on_workers.hpp"
#include "admin/reading.hpp"
#include "anthropic/error_body.hpp"

namespace admin {

using base::errc;

namespace {

constexpr std::size_t logged_path_bytes_max = 256;

// As long as the ids of the public listener, and all random: no row of the ledger has one of these. Administrators ask
// seldom: the system's randomness will do.
std::string new_request_id() {
    constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz0123456789";
    constexpr int random_characters = 24;
    std::random_device random;
    std::string id = "req_cp_";
    for (int i = 0; i < random_characters; ++i) id += alphabet[random() & 63];
    return id;
}

// Without the query, and without a secret that somebody took for an id.
std::string loggable_path(std::string_view target) {
    constexpr std::string_view secret_prefix = "sk-";
    std::string path(target.substr(0, std::min({target.find('?'), target.size(), logged_path_bytes_max})));
    if (const std::size_t at = path.find(secret_prefix); at != std::string::npos) path.replace(at, path.size(), "***");
    return path;
}

// Calls `visit(text)` for every credential in `x-api-key` and `authorization: Bearer`.
template <class Visit>
void for_each_credential(const http::request_head& head, Visit visit) {
    constexpr std::string_view scheme = "bearer ";
    for (const auto& entry : head.headers) {
        std::string_view presented;
        if (entry.id == http::field::x_api_key) {
            presented = entry.value;
        } else if (entry.id == http::field::authorization && entry.value.size() > scheme.size() &&
                   http::equals_lower(entry.value.substr(0, scheme.size()), scheme)) {
            presented = entry.value.substr(scheme.size());
            while (presented.starts_with(' ')) presented.remove_prefix(1);
        }
        if (!presented.empty()) visit(presented);
    }
}

}  // namespace

// One request to the API, from its head to its log line.
struct front::call {
    http::connection& client;
    std::string id = new_request_id();
    std::string method{};
    std::string target{};
    bool head_only = false;
    std::uint64_t body_bytes = 0;  // as announced; 0: not
    governance::actor by{};
    std::int64_t began_us = net::monotonic_us();
};

// A client may send several credentials; any of them may be the valid one. What the others were is told only when none
// is.
base::result<governance::actor> front::authenticate(const http::request_head& head, std::string_view peer) const {
    std::optional<governance::actor> found;
    base::error why{errc::credential_missing,
                    "Send the admin key or the key of an administrator as `x-api-key` or `authorization: Bearer`."};
    const auto directory = parts_->directory ? parts_->directory() : nullptr;
    for_each_credential(head, [&](std::string_view presented) {
        const governance::digest asked = parts_->hasher->hash(presented);
        const bool is_first_key =
            admin_digest_ && CRYPTO_memcmp(asked.data(), admin_digest_->data(), asked.size()) == 0;
        if (is_first_key) {
            found = governance::actor{"admin", governance::role::admin};
            return;
        }
        if (!directory) {
            why = {errc::directory_stale, "The gateway has not read its keys yet; try again shortly."};
            return;
        }
        const governance::found_key key = directory->find(asked, parts_->now());
        using enum governance::finding;
        switch (key.what) {
            case administrator:
                if (key.who && !key.who->may_come_from(peer)) {
                    why = {errc::address_not_allowed, "The key may not be used from this address."};
                } else if (!found) {
                    found = governance::actor{std::string(key.key_id), key.as};
                }
                return;
            case known:
                why = {errc::permission_denied,
                       "This is the key of a client; the admin API takes administrators only."};
                return;
            case expired:
            case revoked:
            case archived:
                why = {errc::credential_expired, "The key has expired or was revoked."};
                return;
            case unknown:
                if (why.kind == errc::credential_missing)
                    why = {errc::credential_invalid, "The key is not known to this gateway."};
                return;
        }
    });
    if (found) return *found;
    return std::unexpected(std::move(why));
}

net::task<void> front::serve_api(http::connection& client, const http::request_head& head) {
    call asked{.client = client, .method = std::string(head.method), .target = std::string(head.target)};
    asked.head_only = asked.method == "HEAD";
    asked.body_bytes = head.framing == http::body_framing::length ? head.content_length : 0;
    auto by = authenticate(head, client.peer());
    client.keep_input();  // the head is gone from here on
    base::result<reply> outcome = std::unexpected(base::error{errc::internal});
    if (by) {
        asked.by = std::move(*by);
        outcome = co_await run(asked);
    } else {
        outcome = std::unexpected(std::move(by.error()));
    }
    const int status = outcome ? outcome->status : base::facts_of(outcome.error().kind).status;
    const std::string_view reason = outcome ? std::string_view() : base::facts_of(outcome.error().kind).reason;
    co_await answer_api(asked, std::move(outcome));
    parts_->hub.log(telemetry::level::info, "admin_request",
                    {{"request_id", asked.id},
                     {"actor", asked.by.id},
                     {"peer", client.peer()},
                     {"method", asked.method},
                     {"path", loggable_path(asked.target)},
                     {"status", fmt::to_string(status)},
                     {"reason", std::string(reason)},
                     {"duration_ms", fmt::to_string((net::monotonic_us() - asked.began_us) / 1000)}});
}

namespace {

// The whole body, or why it cannot be had.
net::task<base::result<std::string>> read_whole(http::connection& client, std::uint64_t announced) {
    const auto too_large = [&client] {
        client.close_after_this();
        return base::fail(errc::body_too_large,
                          fmt::format("The admin API takes bodies of at most {} bytes.", body_bytes_max));
    };
    if (announced > body_bytes_max) co_return too_large();
    std::string body;
    std::array<char, 8'192> piece;
    while (!client.body_ended()) {
        const auto got = co_await client.read_body(piece);
        if (!got) co_return std::unexpected(got.error());
        if (body.size() + *got > body_bytes_max) co_return too_large();
        body.append(piece.data(), *got);
    }
    co_return body;
}

bool has_body(std::string_view method) { return method == "POST" || method == "PATCH" || method == "PUT"; }

}  // namespace

net::task<base::result<reply>> front::run(call& asked) {
    const std::string_view target = asked.target;
    const std::size_t mark = std::min(target.find('?'), target.size());
    const auto path = read_path(target.substr(0, mark));
    if (!path) co_return std::unexpected(path.error());
    auto found = find_route(asked.method, *path);
    if (!found.row) {
        const std::string name(target.substr(0, std::min(mark, logged_path_bytes_max)));
        const bool wrong_method = found.method_not_allowed;
        co_return base::fail(wrong_method ? errc::method_not_allowed : errc::route_unknown,
                             wrong_method ? fmt::format("{} is not offered on {}.", asked.method, name)
                                          : fmt::format("There is nothing at {}.", name));
    }
    if (asked.by.as < found.row->least) {
        co_return base::fail(errc::permission_denied,
                             fmt::format("This needs the role {}, and the key has the role {}.",
                                         governance::name_of(found.row->least), governance::name_of(asked.by.as)));
    }
    auto members = read_query(target.substr(std::min(mark + 1, target.size())));
    if (!members) co_return std::unexpected(members.error());
    const bool with_body = has_body(asked.method);
    if (with_body) {
        if (!members->empty())
            co_return base::fail(errc::invalid_argument, "This takes its members in the body, not in the query.");
        const auto body = co_await read_whole(asked.client, asked.body_bytes);
        if (!body) co_return std::unexpected(body.error());
        members = read_body(*body);
        if (!members) co_return std::unexpected(members.error());
    }
    const request made{
        .path = std::move(found.path), .members = std::move(*members), .from_query = !with_body, .by = asked.by};
    auto work = [parts = parts_, made, run_endpoint = found.row->run](database::connection& on) -> base::result<reply> {
        governance::administration tenants(on, *parts->hasher, parts->now);
        workbench bench{on, tenants, parts->now, parts->prices, parts->config, parts->jobs};
        auto outcome = run_endpoint(made, bench);
        if (outcome && outcome->changed && parts->changed) parts->changed();
        return outcome;
    };
    const auto at_most = found.row->reads_much ? parts_->report_max : parts_->work_max;
    co_return co_await on_workers(asked.client, *parts_->workers, parts_->hub, at_most, std::move(work));
}

net::task<void> front::answer_api(call& asked, base::result<reply> outcome) {
    std::string extra;
    reply made;
    if (outcome) {
        made = std::move(*outcome);
    } else {
        const base::error& why = outcome.error();
        const auto facts = base::facts_of(why.kind);
        if (why.kind == errc::client_left || why.kind == errc::slow_reader) {
            asked.client.close_after_this();
            co_return;
        }
        if (why.kind == errc::shutting_down) asked.client.timer().revive();
        if (!facts.client_may_retry) extra += "x-should-retry: false\r\n";
        if (why.retry_after.count() > 0) extra += fmt::format("retry-after: {}\r\n", why.retry_after.count());
        made = {.status = facts.status, .body = anthropic::error_body(why, asked.id)};
    }
    const bool keep = asked.client.will_keep_alive();
    if (!keep) asked.client.close_after_this();
    const std::string text = fmt::format(
        "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\nrequest-id: {}\r\n"
        "x-claude-proxy-request-id: {}\r\n{}{}\r\n{}",
        made.status, http::reason_of(made.status), made.content_type, made.body.size(), asked.id, asked.id, extra,
        keep ? "" : "connection: close\r\n", asked.head_only ? std::string_view() : std::string_view(made.body));
    if (!co_await asked.client.write(text)) asked.client.close_after_this();
}

net::task<void> front::refuse_here(http::connection& client, bool head_only, base::error why) {
    call asked{.client = client, .head_only = head_only};
    co_await answer_api(asked, std::unexpected(std::move(why)));
}

net::task<void> front::refuse(http::connection& client, const base::error& why) {
    client.close_after_this();
    co_await refuse_here(client, false, why);
}

}  // namespace admin
