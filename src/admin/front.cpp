#include "admin/front.hpp"

#include <fmt/format.h>

#include <memory>

namespace admin {

using base::errc;

namespace {

constexpr std::int64_t scrape_ms_max = 5'000;
constexpr std::string_view json = "application/json";
constexpr std::string_view api_prefix = "/admin/v1";

// Shared with the telemetry writer, which answers on its own thread and perhaps too late.
struct scrape {
    net::reactor& reactor;
    net::timer* waiting;  // touched on the reactor's thread only
    std::string text{};
    bool done = false;
};

}  // namespace

front::front(services parts) : parts_(std::make_shared<const services>(std::move(parts))) {
    use_admin_key(parts_->admin_key);
}

void front::use_admin_key(const base::secret& key) {
    admin_digest_.reset();
    if (has_api() && !key.empty()) admin_digest_ = parts_->hasher->hash(key.reveal());
}

net::task<void> front::answer(http::connection& client, bool head_only, int status, std::string_view type,
                              std::string_view body) {
    const bool keep = client.will_keep_alive();
    if (!keep) client.close_after_this();
    const std::string text =
        fmt::format("HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\n{}\r\n{}",
                    status, http::reason_of(status), type, body.size(), keep ? "" : "connection: close\r\n",
                    head_only ? std::string_view() : body);
    const auto sent = co_await client.write(text);
    if (!sent) client.close_after_this();
}

net::task<std::string> front::metrics(http::connection& client) {
    const auto shared = std::make_shared<scrape>(scrape{client.reactor(), &client.timer()});
    parts_->hub.scrape_async([shared](std::string text) {
        shared->reactor.post([shared, text = std::move(text)]() mutable {
            shared->text = std::move(text);
            shared->done = true;
            if (shared->waiting) shared->waiting->cancel();
        });
    });
    client.timer().set_after(scrape_ms_max);
    net::wait_op pause{nullptr, false, false, nullptr, client.timer()};
    co_await pause;
    shared->waiting = nullptr;
    if (shared->done) client.timer().revive();
    co_return std::move(shared->text);
}

std::string front::readiness() const {
    if (parts_->public_load.draining.load(std::memory_order_relaxed)) return "draining";
    return parts_->not_ready ? parts_->not_ready() : std::string();
}

net::task<void> front::handle(http::connection& client, http::request_head& head) {
    const bool head_only = head.method == "HEAD";
    const bool get = head_only || head.method == "GET";
    const std::string path(head.path);
    if (has_api() && (path == api_prefix || path.starts_with("/admin/"))) {
        co_await serve_api(client, head);
        co_return;
    }
    client.keep_input();  // the head is gone from here on
    if (get && path == "/metrics") {
        const std::string text = co_await metrics(client);
        if (text.empty()) {
            co_await answer(client, head_only, 503, "text/plain", "the metrics writer did not answer in time\n");
        } else {
            co_await answer(client, head_only, 200, "text/plain; version=0.0.4; charset=utf-8", text);
        }
    } else if (get && path == "/health") {
        co_await answer(client, head_only, 200, json, "{\"status\":\"ok\"}");
    } else if (get && path == "/ready") {
        const std::string why = readiness();
        const std::string body = fmt::format("{{\"status\":\"{}\"}}", why.empty() ? "ready" : why);
        co_await answer(client, head_only, why.empty() ? 200 : 503, json, body);
    } else {
        const bool known = path == "/metrics" || path == "/health" || path == "/ready";
        co_await refuse_here(client, head_only,
                             {known ? errc::method_not_allowed : errc::route_unknown,
                              has_api() ? "The admin listener answers GET /metrics, /health and /ready, and /admin/v1."
                                        : "The admin listener answers GET /metrics, /health and /ready."});
    }
}

std::string front::overload_answer() {
    return "HTTP/1.1 529 Overloaded\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";
}

void front::on_accept_failure(const std::string& reason) {
    parts_->hub.log(telemetry::level::error, "accept_failed", {{"listener", "admin"}, {"what", reason}});
}

}  // namespace admin
