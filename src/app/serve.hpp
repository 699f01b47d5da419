// `claude-proxy serve`: builds every part, runs it until a signal says stop, drains, and takes it apart again.
#pragma once

#include "config/settings.hpp"

namespace app {

// Returns the process's exit code: 0 after a drain, 1 when it could not start (the reason is logged).
int serve(const config::settings& settings);

}  // namespace app
