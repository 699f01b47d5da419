#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "app/doctor_checks.hpp"
#include "app/price_file.hpp"
#include "database/migrations.hpp"
#include "governance/jwt_options.hpp"
#include "queue/queue.hpp"
#include "redis/connection.hpp"

namespace app {
namespace {

using result = doctor_check::result;
namespace files = std::filesystem;

// The nearest folder of `path` that is there; it decides whether the rest can be made.
files::path nearest_folder(files::path path) {
    while (!path.empty() && !files::exists(path)) path = path.parent_path();
    return path.empty() ? files::path(".") : path;
}

bool can_write(const files::path& path) {
    const files::path folder = nearest_folder(path);
    return files::is_directory(folder) && access(folder.c_str(), W_OK) == 0;
}

doctor_check check_database(const config::settings& settings) {
    const std::string_view url = settings.database.url.reveal();
    try {
        const bool is_sqlite = database::engine_of(url) == database::engine::sqlite;
        const files::path file = is_sqlite ? url.substr(url.find(':') + 1) : std::string_view();
        if (is_sqlite && !files::exists(file)) {
            if (can_write(file.parent_path())) return {"database", result::ok, "SQLite; the file will be made"};
            return {"database", result::fail, "the folder of the SQLite file cannot be written",
                    "correct DATABASE_URL or the folder's permissions"};
        }
        const auto on = database::open(url, settings.database);
        const auto schema = database::look(*on);
        const std::string text =
            fmt::format("{}, schema {} of {}", is_sqlite ? "SQLite" : "PostgreSQL", schema.applied, schema.known);
        if (is_sqlite || schema.applied >= schema.known) return {"database", result::ok, text};
        return {"database", result::fail, text, "run `claude-proxy migrate`"};
    } catch (const database::failure& problem) {
        return {"database", result::fail, problem.what(), "correct DATABASE_URL, or start the database"};
    }
}

doctor_check check_redis(const config::settings& settings) {
    constexpr std::chrono::milliseconds patience{2'000};
    const auto where = redis::parse_address(settings.redis.url.reveal());
    if (!where) return {"redis", result::fail, where.error().detail, "correct REDIS_URL"};
    const auto on = redis::connection::open(*where, patience);
    if (on) return {"redis", result::ok, "rate limits are shared"};
    return {"redis", result::warn, on.error(), "start it or correct REDIS_URL; until then limits are per replica"};
}

doctor_check check_queue(const config::settings& settings) {
    queue::options once = settings.queue;  // who waits for the doctor has no time for more
    once.aws.attempts_max = 1;
    once.aws.call_timeout = std::chrono::milliseconds(5'000);
    try {
        const auto seen = queue::open(once)->look();
        if (once.url == "embedded") return {"queue", result::ok, "embedded: jobs are announced in this process only"};
        const std::string text =
            fmt::format("SQS: {} messages wait, {} are in work, {} are dead", seen.waiting, seen.in_flight, seen.dead);
        if (seen.dead == 0) return {"queue", result::ok, text};
        return {"queue", result::warn, text, "look why these jobs failed, then move them back"};
    } catch (const queue::failure& problem) {
        if (problem.may_retry) return {"queue", result::warn, problem.what(), "jobs wait until the queue answers"};
        return {"queue", result::fail, problem.what(), "correct QUEUE_URL or the AWS_* settings"};
    }
}

}  // namespace

void check_stores(const config::settings& settings, std::vector<doctor_check>& all) {
    all.push_back(check_database(settings));
    all.push_back(can_write(settings.ledger.directory)
                      ? doctor_check{"journal", result::ok, settings.ledger.directory}
                      : doctor_check{"journal", result::fail, settings.ledger.directory + " cannot be written",
                                     "correct CLAUDE_PROXY_JOURNAL_DIR or its permissions"});
    if (!settings.redis.url.empty()) all.push_back(check_redis(settings));
    all.push_back(check_queue(settings));
    if (!settings.prices_file.empty()) {
        const auto prices = load_prices(settings.prices_file);
        all.push_back(prices ? doctor_check{"prices", result::ok, "table " + prices->id()}
                             : doctor_check{"prices", result::fail, fmt::format("{}", fmt::join(prices.error(), "; ")),
                                            "correct the file of CLAUDE_PROXY_PRICES"});
    }
    for (const auto& problem : governance::problems_of(governance::with_supabase_defaults(settings.jwt)))
        all.push_back({"jwt", result::fail, problem});
}

}  // namespace app
