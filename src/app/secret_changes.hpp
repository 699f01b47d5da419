// What another reading of the secrets means for a process that runs: which are taken up at once, which need a restart,
// and whether the reading may be used at all. Plain functions of values.
//
// | secret | taken up |
// |---|---|
// | ANTHROPIC_API_KEY, CLAUDE_PROXY_API_KEYS, CLAUDE_PROXY_ADMIN_KEY | at once |
// | CLAUDE_PROXY_JWT_SECRET, CLAUDE_PROXY_JWT_SECRET_PREVIOUS | at once |
// | DATABASE_URL, REDIS_URL | by new connections when only user and password differ, else after a restart |
// | DATABASE_DIRECT_URL, CLAUDE_PROXY_KEY | not used by a process that serves: the next subcommand reads them |
// | CLAUDE_PROXY_KEY_PEPPER and anything else | after a restart |
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace app {

struct secret_changes {
    std::vector<std::string_view> at_once;
    std::vector<std::string_view> after_restart;
    bool operator==(const secret_changes&) const = default;
};
secret_changes changes_between(const config::settings& in_force, const config::settings& read);

// Why a reading must not be used; empty: it may. Sentences that name the setting and repeat no value.
std::vector<std::string> problems_of_reading(const config::settings& in_force, const config::settings& read);

// Two URLs of the same place: only the part between `://` and `@` may differ.
bool is_same_but_login(std::string_view one, std::string_view other);

}  // namespace app
