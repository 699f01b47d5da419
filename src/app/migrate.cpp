// `claude-proxy migrate`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/admin_words.hpp"
#include "app/open_database.hpp"
#include "database/migrations.hpp"
#include "queue/queue.hpp"

namespace app {
namespace {

struct words {
    bool json = false;
    bool with_queue = false;
};

// The queue of QUEUE_URL; what was done, a sentence a line. Nothing: it could not be done, which has been told.
std::optional<std::vector<std::string>> make_queue(const config::settings& settings) {
    try {
        return queue::create(settings.queue);
    } catch (const queue::failure& problem) {
        fmt::print(stderr, "claude-proxy: QUEUE_URL: the queue cannot be made: {}\n", problem.what());
        return std::nullopt;
    }
}

// Applies to the direct URL when there is one: a transaction pooler in between is no place for migrations.
int migrate(const config::settings& settings, const words& given) {
    const bool direct = !settings.database.direct_url.empty();
    const base::secret& url = direct ? settings.database.direct_url : settings.database.url;
    try {
        const auto on = database::open(url.reveal(), settings.database);
        const auto applied = database::migrate(*on);
        database::ensure_partitions(*on, clock_ms());
        const auto schema = database::look(*on);
        auto queue = given.with_queue ? make_queue(settings) : std::vector<std::string>();
        if (given.json) {
            boost::json::object told{
                {"applied", boost::json::value_from(applied)}, {"schema", schema.applied}, {"known", schema.known}};
            if (given.with_queue && queue) told["queue"] = boost::json::value_from(*queue);
            fmt::print("{}\n", boost::json::serialize(told));
        } else if (applied.empty()) {
            fmt::print("Nothing to apply: the database has schema {}.\n", schema.applied);
        } else {
            for (const auto& each : database::migrations()) {
                if (std::ranges::find(applied, each.number) != applied.end()) fmt::print("applied {}\n", each.name);
            }
            fmt::print("The database has schema {}.\n", schema.applied);
        }
        if (!given.json && queue) {
            for (const auto& each : *queue) fmt::print("{}\n", each);
            if (given.with_queue && queue->empty()) fmt::print("The embedded queue needs nothing.\n");
        }
        if (schema.applied > schema.known) {
            fmt::print(stderr, "claude-proxy: the database's schema is newer than this program; it was left alone\n");
        }
        return queue ? 0 : 1;
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
    const auto given = std::make_shared<words>();
    word->add_flag("--json", given->json, "Print what was done as JSON");
    word->add_flag("--with-queue", given->with_queue, "Also make the SQS queue of QUEUE_URL and its dead-letter queue");
    word->callback(
        [&chosen, given] { chosen = [given](const config::settings& settings) { return migrate(settings, *given); }; });
}

}  // namespace app
