#include "app/open_database.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "database/migrations.hpp"
#include "governance/pepper.hpp"

namespace app {
namespace {

// The name of whoever runs this process, or its number.
std::string user_name() {
    std::array<char, 4096> memory;
    passwd entry{};
    passwd* found = nullptr;
    if (getpwuid_r(getuid(), &entry, memory.data(), memory.size(), &found) == 0 && found) return found->pw_name;
    return fmt::to_string(getuid());
}

}  // namespace

governance::time_ms clock_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

base::result<opened_database> open_database(const config::settings& settings) {
    try {
        auto on = database::open(settings.database);
        if (on->kind() == database::engine::sqlite) {
            database::migrate(*on);
        } else if (const auto schema = database::look(*on); schema.applied < schema.known) {
            return base::fail(base::errc::database_unavailable,
                              fmt::format("The database has schema {} and this program needs {}; run "
                                          "`claude-proxy migrate`.",
                                          schema.applied, schema.known));
        }
        auto hasher = std::make_unique<governance::key_hasher>(
            governance::installation_pepper(*on, settings.governance.key_pepper));
        return opened_database{std::move(on), std::move(hasher), {"cli:" + user_name(), governance::role::admin}};
    } catch (const database::failure& problem) {
        return base::fail(base::errc::database_unavailable,
                          fmt::format("DATABASE_URL: the database cannot be used: {}", problem.what()));
    }
}

}  // namespace app
