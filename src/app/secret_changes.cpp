#include "app/secret_changes.hpp"

#include <algorithm>

#include "database/connection.hpp"
#include "governance/jwt_options.hpp"
#include "redis/connection.hpp"

namespace app {
namespace {

enum class taken_up : std::uint8_t { at_once, by_others, after_restart };

taken_up way_of(std::string_view name, const config::settings& in_force, const config::settings& read) {
    constexpr std::string_view hot[] = {"ANTHROPIC_API_KEY", "CLAUDE_PROXY_API_KEYS", "CLAUDE_PROXY_ADMIN_KEY",
                                        "CLAUDE_PROXY_JWT_SECRET", "CLAUDE_PROXY_JWT_SECRET_PREVIOUS"};
    if (std::ranges::find(hot, name) != std::end(hot)) return taken_up::at_once;
    if (name == "DATABASE_DIRECT_URL" || name == "CLAUDE_PROXY_KEY") return taken_up::by_others;
    const auto by_login = [](const base::secret& one, const base::secret& other) {
        return is_same_but_login(one.reveal(), other.reveal()) ? taken_up::at_once : taken_up::after_restart;
    };
    if (name == "DATABASE_URL") return by_login(in_force.database.url, read.database.url);
    if (name == "REDIS_URL") return by_login(in_force.redis.url, read.redis.url);
    return taken_up::after_restart;
}

}  // namespace

bool is_same_but_login(std::string_view one, std::string_view other) {
    constexpr std::string_view behind_scheme = "://";
    const auto place_of = [behind_scheme](std::string_view url) {
        const std::size_t start = url.find(behind_scheme) + behind_scheme.size();
        const std::size_t end = std::min(url.find_first_of("/?#", start), url.size());
        const std::size_t at = url.substr(start, end - start).rfind('@');
        return url.substr(at == std::string_view::npos ? start : start + at + 1);
    };
    const auto scheme_of = [behind_scheme](std::string_view url) { return url.substr(0, url.find(behind_scheme)); };
    const bool are_urls = one.contains(behind_scheme) && other.contains(behind_scheme);
    return are_urls && scheme_of(one) == scheme_of(other) && place_of(one) == place_of(other);
}

secret_changes changes_between(const config::settings& in_force, const config::settings& read) {
    secret_changes found;
    for (const std::string_view name : config::changed_secrets(in_force, read)) {
        switch (way_of(name, in_force, read)) {
            case taken_up::at_once:
                found.at_once.push_back(name);
                break;
            case taken_up::by_others:
                break;
            case taken_up::after_restart:
                found.after_restart.push_back(name);
                break;
        }
    }
    return found;
}

std::vector<std::string> problems_of_reading(const config::settings& in_force, const config::settings& read) {
    auto problems = governance::problems_of(governance::with_supabase_defaults(read.jwt));
    if (!in_force.upstream.credentials.empty() && read.upstream.credentials.empty())
        problems.emplace_back("ANTHROPIC_API_KEY is missing: the credentials in force stay.");
    try {
        // PostgreSQL is not asked yet; a file of SQLite would be made.
        if (database::engine_of(read.database.url.reveal()) == database::engine::postgres)
            database::open(read.database);
    } catch (const database::failure& problem) {
        problems.push_back(std::string("DATABASE_URL: ") + problem.what());
    }
    if (!read.redis.url.empty()) {
        if (const auto where = redis::parse_address(read.redis.url.reveal()); !where)
            problems.push_back("REDIS_URL: " + where.error().detail);
    }
    return problems;
}

}  // namespace app
