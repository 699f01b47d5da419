// What `serve` keeps about the database: the worker threads, the hasher of keys, the directory and its keeper, and what
// the admin API needs of them. Thread rule: built and taken apart by the main thread; the parts have their own rules.
#pragma once

#include <atomic>
#include <memory>

#include "admin/front.hpp"
#include "config/settings.hpp"
#include "governance/directory_keeper.hpp"
#include "governance/jwks_keeper.hpp"
#include "resources/batch_book.hpp"
#include "resources/owners.hpp"

namespace app {

class stores {
public:
    // Opens the database: SQLite is migrated, PostgreSQL must have been. Without CLAUDE_PROXY_ADMIN_KEY and without any
    // administrator's key, one is made and told in the log, once. Throws std::runtime_error with the cure.
    // `replica`: that of the ledger's journal, whose leases on budgets this process has.
    stores(const config::settings& settings, governance::live_parts& live, const std::string& replica,
           telemetry::hub& hub);
    ~stores();
    stores(const stores&) = delete;
    stores& operator=(const stores&) = delete;

    // What the reactors have to be told, on threads of the keepers.
    struct listeners {
        std::function<void(std::shared_ptr<const governance::directory>)> directory;
        std::function<void(std::shared_ptr<const governance::key_set>)> keys;
    };
    void start(listeners tell);
    void stop();   // nobody is told anything afterwards; the work of administrators has ended, keeper() is gone
    void close();  // the reactors' tasks have ended: writes what they left; owners() and batches() are gone

    resources::owners& owners() { return *owners_; }
    resources::batch_book& batches() { return *batches_; }
    const governance::jwt_options& jwt() const { return jwt_; }
    governance::jwks_keeper* issuer() { return issuer_.get(); }  // null without a JWKS URL, and before `start`
    const governance::key_hasher& hasher() const { return *hasher_; }
    governance::directory_keeper& keeper() { return *keeper_; }
    const pricing::price_table& prices() const { return prices_; }

    // For admin::front; refers to this object, which must outlive the front's requests.
    admin::services admin_services(const config::settings& settings, telemetry::hub& hub,
                                   const http::server_load& public_load);

    void add_metrics(telemetry::hub& hub);

private:
    telemetry::hub& hub_;
    std::atomic<bool> database_reachable_{true};  // it was, when this was made
    governance::jwt_options jwt_;
    std::unique_ptr<governance::jwks_keeper> issuer_;

    void make_first_admin_key(database::connection& on, telemetry::hub& hub);

    pricing::price_table prices_;
    std::unique_ptr<governance::key_hasher> hasher_;
    std::unique_ptr<governance::directory_keeper> keeper_;
    std::unique_ptr<resources::owners> owners_;
    std::unique_ptr<resources::batch_book> batches_;
    std::unique_ptr<database::workers> workers_;  // last: its threads use the others
};

}  // namespace app
