// Answers that need no credential and no upstream.
#include "gateway/exchange.hpp"

namespace gateway {

net::task<void> hello(exchange& x, service&, const http::request_head&) { co_await answer(x, 200, "", "", ""); }

// Alive: the process answers.
net::task<void> health(exchange& x, service&, const http::request_head&) {
    co_await answer(x, 200, "", "application/json", "{\"status\":\"ok\"}");
}

// Ready: new work is welcome here. Says no from the first SIGTERM on.
net::task<void> ready(exchange& x, service&, const http::request_head&) {
    const bool draining = x.client.load().draining.load(std::memory_order_relaxed);
    co_await answer(x, draining ? 503 : 200, "", "application/json",
                    draining ? "{\"status\":\"draining\"}" : "{\"status\":\"ready\"}");
}

net::task<void> not_here(exchange& x, service&, const http::request_head&) {
    co_await refuse(x, {base::errc::route_unknown, "This version of claude-proxy does not offer " + x.path + "."});
}

}  // namespace gateway
