#include "gateway/front.hpp"

#include <fmt/format.h>

#include "anthropic/error_body.hpp"
#include "gateway/authentication.hpp"
#include "gateway/client_address.hpp"
#include "gateway/routes.hpp"

namespace gateway {

using base::errc;

namespace {

constexpr std::size_t logged_path_bytes_max = 256;
constexpr std::size_t logged_agent_bytes_max = 128;

exchange begin(http::connection& client) {
    exchange x{.client = client};
    x.began_us = client.request_began_us();
    x.ready_us = x.began_us;
    x.record.started_at = std::chrono::system_clock::now();
    x.record.request_id = new_request_id(x.record.started_at);
    x.record.peer = client.peer();
    return x;
}

}  // namespace

net::task<void> front::handle(http::connection& client, http::request_head& head) {
    exchange x = begin(client);
    x.by_our_proxy = is_trusted_proxy(x.record.peer, parts_.options.trusted_proxies);
    if (x.by_our_proxy) {
        if (const auto address = client_address(head, parts_.options.trusted_hops))
            x.record.peer = governance::text_of(*address);
    }
    x.record.method = head.method;
    x.record.path = head.path.substr(0, logged_path_bytes_max);
    x.record.user_agent = head.find(http::field::user_agent).substr(0, logged_agent_bytes_max);
    x.record.route = "unknown";
    x.head_method = head.method == "HEAD";
    x.http_1_0 = head.version_minor == 0;
    bool failed = false;
    try {
        co_await run(x, head);
    } catch (const std::exception& problem) {
        failed = true;
        parts_.log.log(telemetry::level::error, "request_failed",
                       {{"request_id", x.record.request_id}, {"what", std::string(problem.what())}});
    } catch (...) {
        failed = true;
        parts_.log.log(telemetry::level::error, "request_failed",
                       {{"request_id", x.record.request_id}, {"what", "unknown exception"}});
    }
    if (failed) {
        client.close_after_this();
        if (x.answered) client.stream().reset();
        co_await gateway::refuse(x,
                                 {errc::internal, "The gateway failed; the request id finds the reason in its log."});
    }
    record(x);
}

net::task<void> front::run(exchange& x, const http::request_head& head) {
    const http::request_head* asked = &head;
    std::unique_ptr<kept_head> kept;  // what `asked` points to when the authentication had to wait
    auto path = normal_path(head.path);
    if (!path) {
        co_await gateway::refuse(
            x, {errc::bad_framing, "The path is ambiguous: dot or empty segments, or encoded separators."});
        co_return;
    }
    x.path = std::move(*path);
    const routed found = find_route(head.method, x.path);
    if (!found.row) {
        const bool wrong_method = found.method_not_allowed;
        co_await gateway::refuse(x, {wrong_method ? errc::method_not_allowed : errc::route_unknown,
                                     wrong_method ? fmt::format("{} is not offered on {}.", head.method, x.path)
                                                  : fmt::format("There is nothing at {}.", x.path)});
        co_return;
    }
    x.record.route = found.row->label;
    if (found.row->authenticated) {
        const auto known = co_await authenticate(x, parts_, asked, kept);
        if (!known) {
            co_await gateway::refuse(x, known.error());
            co_return;
        }
        if (!x.caller->may_use_route(found.row->label)) {
            co_await gateway::refuse(
                x, {errc::permission_denied, fmt::format("The key's scopes do not include `{}`.", found.row->label)});
            co_return;
        }
    }
    co_await found.row->run(x, parts_, *asked);
}

void front::record(exchange& x) {
    x.record.total_us = x.elapsed_us();
    if (x.record.bytes_in == 0) x.record.bytes_in = x.client.body_bytes();
    // Whom we refused and why can be asked for later; strangers and those who left cannot fill the ledger with it.
    const bool refused = !x.record.reason.empty() && x.record.status >= 400 && x.record.status != 499;
    if (x.caller && x.record.attempts == 0 && refused) {
        parts_.journal.refuse({.request_id = x.record.request_id,
                               .at_ms = began_at_ms(x),
                               .team_id = x.caller->team_id,
                               .key_id = x.caller->key_id,
                               .model = x.record.model,
                               .status = x.record.status,
                               .reason = x.record.reason,
                               .detail = x.refused_because});
    }
    parts_.lane.record(std::move(x.record));
}

net::task<void> front::refuse(http::connection& client, const base::error& why) {
    exchange x = begin(client);
    x.record.route = "unreadable";
    co_await gateway::refuse(x, why);
    record(x);
}

std::string front::overload_answer() {
    const base::error why{errc::too_many_connections,
                          "The gateway has as many connections as it may (CLAUDE_PROXY_CONNECTIONS_MAX)."};
    const std::string id = new_request_id(std::chrono::system_clock::now());
    const std::string body = anthropic::error_body(why, id);
    return fmt::format(
        "HTTP/1.1 529 Overloaded\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n"
        "request-id: {}\r\nx-claude-proxy-request-id: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{}",
        body.size(), id, id, body);
}

void front::on_accept_failure(const std::string& reason) {
    const std::int64_t now = net::monotonic_us() / 1000;
    if (now - accept_failure_logged_ms_ < 1000) return;  // once a second is enough to be seen
    accept_failure_logged_ms_ = now;
    parts_.log.log(telemetry::level::error, "accept_failed",
                   {{"what", reason}, {"cure", "raise the open-file limit (ulimit -n)"}});
}

}  // namespace gateway
