// The admin listener: metrics and health. It is never exposed to callers; bind it to an address that only operators and
// the scraper reach.
#pragma once

#include <string>

#include "http/server.hpp"
#include "telemetry/telemetry.hpp"

namespace admin {

class front final : public http::handler {
public:
    // `public_load` tells whether the public listener is draining.
    front(telemetry::hub& hub, const http::server_load& public_load) : hub_(hub), public_load_(public_load) {}

    net::task<void> handle(http::connection& client, http::request_head& head) override;
    net::task<void> refuse(http::connection& client, const base::error& why) override;
    std::string overload_answer() override;
    void on_accept_failure(const std::string& reason) override;

private:
    net::task<void> answer(http::connection& client, bool head_only, int status, std::string_view type,
                           std::string_view body);
    net::task<std::string> metrics(http::connection& client);

    telemetry::hub& hub_;
    const http::server_load& public_load_;
};

}  // namespace admin
