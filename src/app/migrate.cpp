// `claude-proxy migrate`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/admin_words.hpp"
#include "app/open_database.hpp"
#include "database/migrations.hpp"

namespace app {
namespace {

// Applies to the direct URL when there is one: a transaction pooler in between is no place for migrations.
int migrate(const config::settings& settings, bool json) {
    const bool direct = !settings.database.direct_url.empty();
    const base::secret& url = direct ? settings.database.direct_url : settings.database.url;
    try {
        const auto on = database::open(url.reveal(), settings.database);
        const auto applied = database::migrate(*on);
        database::ensure_partitions(*on, clock_ms());
        const auto schema = database::look(*on);
        if (json) {
            fmt::print("{{\"applied\":[{}],\"schema\":{},\"known\":{}}}\n", fmt::join(applied, ","), schema.applied,
                       schema.known);
        } else if (applied.empty()) {
            fmt::print("Nothing to apply: the database has schema {}.\n", schema.applied);
        } else {
            for (const auto& each : database::migrations()) {
                if (std::ranges::find(applied, each.number) != applied.end()) fmt::print("applied {}\n", each.name);
            }
            fmt::print("The database has schema {}.\n", schema.applied);
        }
        if (schema.applied > schema.known) {
            fmt::print(stderr, "claude-proxy: the database's schema is newer than this program; it was left alone\n");
        }
        return 0;
    } catch (const database::failure& problem) {
        return tell({base::errc::database_unavailable,
                     fmt::format("{}: the database cannot be used: {}", direct ? "DATABASE_DIRECT_URL" : "DATABASE_URL",
                                 problem.what())});
    }
}

}  // namespace

void add_migrate(CLI::App& app, chosen_command& chosen) {
    CLI::App* const word = app.add_subcommand(
        "migrate", "Bring the database of DATABASE_DIRECT_URL or DATABASE_URL to this version's schema");
    const auto json = std::make_shared<bool>(false);
    word->add_flag("--json", *json, "Print what was applied as JSON");
    word->callback(
        [&chosen, json] { chosen = [json](const config::settings& settings) { return migrate(settings, *json); }; });
}

}  // namespace app
