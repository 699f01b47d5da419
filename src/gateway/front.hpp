// The frame around every request on the public listener: it begins the call, finds the route, asks who it is, holds the
// only catch-all, and records exactly once, whatever happened.
#pragma once

#include "gateway/exchange.hpp"
#include "http/server.hpp"

namespace gateway {

class front : public http::handler {
public:
    explicit front(service& parts) : parts_(parts) {}

    net::task<void> handle(http::connection& client, http::request_head& head) override;
    net::task<void> refuse(http::connection& client, const base::error& why) override;
    std::string overload_answer() override;
    void on_accept_failure(const std::string& reason) override;

protected:
    // The request inside of the frame: route, caller, endpoint.
    virtual net::task<void> run(exchange& x, const http::request_head& head);

    service& parts_;

private:
    void record(exchange& x);

    std::int64_t accept_failure_logged_ms_ = 0;
};

}  // namespace gateway
