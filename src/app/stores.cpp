#include "app/stores.hpp"

#include <fmt/format.h>

#include <future>
#include <stdexcept>

#include "app/open_database.hpp"
#include "app/price_file.hpp"

namespace app {
namespace {

using telemetry::level;

// After a change the administrator's answer waits at most so long for this replica to obey it.
constexpr std::chrono::milliseconds obey_max{1'000};

pricing::price_table prices_of(const config::settings& settings) {
    auto table = load_prices(settings.prices_file);
    if (!table) throw std::runtime_error(fmt::format("CLAUDE_PROXY_PRICES: {}", fmt::join(table.error(), "; ")));
    return std::move(*table);
}

// Every ledger row names the table it was priced with: what the name means is kept beside the rows.
void keep(const pricing::price_table& prices, database::connection& on) {
    on.execute(
        "INSERT INTO claude_proxy.price_tables (id, yaml, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        {prices.id(), std::string(prices.yaml()), clock_ms()});
}

// Returns when the directory has been read after the change, or after obey_max: then the keeper's next look finds it.
void wait_for_look(governance::directory_keeper& keeper) {
    const auto looked = std::make_shared<std::promise<void>>();
    if (keeper.refresh_soon([looked] { looked->set_value(); })) looked->get_future().wait_for(obey_max);
}

}  // namespace

stores::stores(const config::settings& settings, governance::live_parts& live, const std::string& replica,
               telemetry::hub& hub)
    : hub_(hub), jwt_(governance::with_supabase_defaults(settings.jwt)), prices_(prices_of(settings)) {
    if (const auto problems = governance::problems_of(jwt_); !problems.empty())
        throw std::runtime_error(fmt::format("{}", fmt::join(problems, " ")));
    auto opened = open_database(settings);
    if (!opened) throw std::runtime_error(opened.error().detail);
    hasher_ = std::move(opened->hasher);
    keep(prices_, *opened->on);
    if (settings.admin_key.empty()) make_first_admin_key(*opened->on, hub);
    keeper_ = std::make_unique<governance::directory_keeper>(std::move(opened->on), settings.governance,
                                                             settings.gateway.api_keys, *hasher_, live, clock_ms);
    owners_ = std::make_unique<resources::owners>(
        database::open(settings.database), settings.resources, clock_ms,
        resources::owners_reports{
            .on_outage =
                [&hub](std::string_view why) {
                    hub.log(level::error, "resources_unreachable",
                            {{"what", std::string(why)}, {"effect", "only ids that are in memory are found"}});
                },
            .on_recovery = [&hub] { hub.log(level::info, "resources_recovered"); },
            .on_lost =
                [&hub](const resources::made& what) {
                    hub.log(level::error, "resource_without_owner",
                            {{"id", what.id},
                             {"team", what.team_id},
                             {"cure", "claude-proxy resources claim, when the database is back"}});
                }});
    batches_ = std::make_unique<resources::batch_book>(
        database::open(settings.database), settings.resources, replica, clock_ms, [&hub](const std::string& why) {
            hub.log(level::error, "batches_waiting",
                    {{"what", why}, {"effect", "batches are not made or settled until the database is back"}});
        });
    workers_ = std::make_unique<database::workers>(settings.database, [&hub](const std::exception& problem) {
        hub.log(level::error, "database_work_failed", {{"what", problem.what()}});
    });
}

stores::~stores() = default;

void stores::start(listeners tell) {
    governance::keeper_reports reports;
    reports.on_change = std::move(tell.directory);
    reports.on_outage = [this](std::string_view why) {
        hub_.log(level::error, "database_unreachable",
                 {{"what", std::string(why)}, {"effect", "known keys work on; changes are not seen"}});
    };
    reports.on_recovery = [this] { hub_.log(level::info, "database_recovered"); };
    reports.on_unreadable = [this](std::span<const std::string> ids) {
        hub_.log(level::error, "rows_not_understood", {{"ids", fmt::format("{}", fmt::join(ids, " "))}});
    };
    keeper_->start(std::move(reports));
    if (jwt_.jwks_url.empty()) return;
    governance::jwks_keeper::listeners listeners;
    listeners.changed = std::move(tell.keys);
    listeners.failing = [this](const std::string& why) {
        hub_.log(level::error, "jwks_unreachable", {{"what", "the JWKS endpoint " + why}});
    };
    listeners.recovered = [this] { hub_.log(level::info, "jwks_recovered"); };
    issuer_ = std::make_unique<governance::jwks_keeper>(jwt_, std::move(listeners));
}

void stores::stop() {
    issuer_.reset();
    keeper_.reset();
}

void stores::close() {
    batches_.reset();
    owners_.reset();
}

void stores::make_first_admin_key(database::connection& on, telemetry::hub& hub) {
    const auto known = on.query("SELECT id FROM claude_proxy.keys WHERE role = 'admin' AND revoked_at IS NULL LIMIT 1");
    if (!known.empty()) return;
    governance::administration tenants(on, *hasher_, clock_ms);
    const governance::actor by{"first-start", governance::role::admin};
    governance::key_draft wanted;
    wanted.name = "first";
    wanted.kind = governance::role::admin;
    const auto made = tenants.create_key(by, wanted);
    if (!made) throw std::runtime_error("the first admin key: " + made.error().detail);
    hub.log(level::warn, "admin_key_made",
            {{"key", std::string(made->secret.reveal())},
             {"id", made->what.id},
             {"why", "there was none; it is shown this once: keep it, or set CLAUDE_PROXY_ADMIN_KEY"}});
}

admin::services stores::admin_services(const config::settings& settings, telemetry::hub& hub,
                                       const http::server_load& public_load) {
    return {.hub = hub,
            .public_load = public_load,
            .workers = workers_.get(),
            .hasher = hasher_.get(),
            .now = clock_ms,
            .admin_key = settings.admin_key,
            .directory = [this] { return keeper_->current(); },
            .changed = [this] { wait_for_look(*keeper_); },
            .prices = &prices_,
            .config = [text = config::shown(settings)] { return text; }};
}

}  // namespace app
