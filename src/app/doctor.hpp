// `claude-proxy doctor`: checks what a start needs from the machine and from the upstream, and says the cure of what is
// wrong. It opens connections, changes nothing, and waits for no check longer than
// CLAUDE_PROXY_UPSTREAM_CONNECT_TIMEOUT.
#pragma once

#include "app/doctor_checks.hpp"
#include "config/settings.hpp"

namespace app {

// `secrets`: what came of reading them, which was done for the settings. Prints one line a check, or a JSON array of
// objects with `check`, `result` (ok, warn, fail), `text` and `cure`.
// Returns the process's exit code: 0 when nothing failed, else 1.
int doctor(const config::settings& settings, doctor_check secrets, bool json);

}  // namespace app
