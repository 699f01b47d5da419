// `claude-proxy serve` and `claude-proxy worker`: builds every part, runs it until a signal says stop, drains, and
// takes it apart again.
#pragma once

#include "app/settings_source.hpp"

namespace app {

// What a process does: `serve` answers, `worker` works, `serve --with-worker` both. All have the admin listener.
struct role {
    bool answers = true;  // the public listener
    bool works = false;   // carries jobs out
};

// `read` from `source`, which is read again while the process runs (secrets_keeper.hpp). Returns the process's exit
// code: 0 after a drain, 1 when it could not start (the reason is logged).
int serve(settings_source& source, settings_source::reading read, role as);

}  // namespace app
