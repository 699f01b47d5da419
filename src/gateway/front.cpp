#include "gateway/front.hpp"

#include <fmt/format.h>

#include "anthropic/error_body.hpp"
#include "gateway/routes.hpp"

namespace gateway {

using base::errc;

namespace {

constexpr std::size_t logged_path_bytes_max = 256;
constexpr std::size_t logged_agent_bytes_max = 128;

// The key in `x-api-key` or `authorization: Bearer`; clients may send both, and either may be the valid one.
base::result<const caller*> authenticate(const http::request_head& head, const caller_table& callers) {
    bool any = false;
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
        if (presented.empty()) continue;
        any = true;
        if (const caller* who = callers.find(presented)) return who;
    }
    if (any) return base::fail(errc::credential_invalid, "The API key is not known to this gateway.");
    return base::fail(errc::credential_missing,
                      "Send a key of this gateway as `x-api-key` or `authorization: Bearer`.");
}

exchange begin(http::connection& client) {
    exchange x{.client = client};
    x.began_us = client.request_began_us();
    x.ready_us = x.began_us;
    x.record.request_id = new_request_id();
    x.record.started_at = std::chrono::system_clock::now();
    x.record.peer = client.peer();
    return x;
}

}  // namespace

net::task<void> front::handle(http::connection& client, http::request_head& head) {
    exchange x = begin(client);
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
        const auto who = authenticate(head, parts_.callers);
        if (!who) {
            co_await gateway::refuse(x, who.error());
            co_return;
        }
        x.record.caller = (*who)->id;
        x.record.team = (*who)->team;
    }
    co_await found.row->run(x, parts_, head);
}

void front::record(exchange& x) {
    x.record.total_us = x.elapsed_us();
    if (x.record.bytes_in == 0) x.record.bytes_in = x.client.body_bytes();
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
    const std::string id = new_request_id();
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
