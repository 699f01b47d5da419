// The admin listener: metrics and health without a credential, and the admin API under /admin/v1 with one. It is never
// exposed to callers; bind it to an address that only operators and the scraper reach.
//
// A request to the API is told by its credential (CLAUDE_PROXY_ADMIN_KEY or the key of an administrator), read in full,
// and run as an endpoint (routes.hpp) on a thread of the database's workers. Thread rule: its reactor's thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "admin/endpoint.hpp"
#include "database/workers.hpp"
#include "governance/directory.hpp"
#include "http/server.hpp"
#include "telemetry/telemetry.hpp"

namespace admin {

// What the listener works with; everything referenced outlives the workers. Without `workers`, `hasher` and `now`
// there is no admin API, only metrics and health.
struct services {
    telemetry::hub& hub;
    const http::server_load& public_load;  // tells whether the public listener is draining
    database::workers* workers = nullptr;
    const governance::key_hasher* hasher = nullptr;
    governance::time_ms (*now)() = nullptr;
    base::secret admin_key{};  // CLAUDE_PROXY_ADMIN_KEY, role admin; empty: only stored keys
    // The snapshot in force, null before the first. Called on the reactor's thread.
    std::function<std::shared_ptr<const governance::directory>()> directory{};
    // After a change, before its answer is sent, on the worker's thread: may block shortly so that this replica obeys
    // the change when the administrator hears of it. Must not throw.
    std::function<void()> changed{};
    const pricing::price_table* prices = nullptr;
    std::function<std::string()> config{};  // the settings as a JSON object, secrets as ***; on the worker's thread
    std::function<jobs::store&()> jobs{};   // on the worker's thread
    // Why this replica is not ready, as one word for /ready; empty: it is.
    std::function<std::string()> not_ready{};
    // An endpoint that takes longer is answered with 503; the second is for those that read much.
    std::chrono::milliseconds work_max{5'000};
    std::chrono::milliseconds report_max{60'000};
};

class front final : public http::handler {
public:
    explicit front(services parts);

    // From now on this instead of the services' own; empty: only stored keys. Its reactor's thread.
    void use_admin_key(const base::secret& key);

    net::task<void> handle(http::connection& client, http::request_head& head) override;
    net::task<void> refuse(http::connection& client, const base::error& why) override;
    std::string overload_answer() override;
    void on_accept_failure(const std::string& reason) override;

private:
    struct call;
    bool has_api() const { return parts_->workers && parts_->hasher && parts_->now; }
    net::task<void> answer(http::connection& client, bool head_only, int status, std::string_view type,
                           std::string_view body);
    net::task<void> refuse_here(http::connection& client, bool head_only, base::error why);
    net::task<void> answer_api(call& asked, base::result<reply> outcome);
    net::task<std::string> metrics(http::connection& client);
    net::task<void> serve_api(http::connection& client, const http::request_head& head);
    net::task<base::result<reply>> run(call& asked);
    base::result<governance::actor> authenticate(const http::request_head& head, std::string_view peer) const;
    std::string readiness() const;

    const std::shared_ptr<const services> parts_;     // work on other threads may outlive this object
    std::optional<governance::digest> admin_digest_;  // of the admin key
};

}  // namespace admin
