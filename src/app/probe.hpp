// `claude-proxy probe`: asks a running process how it is, over its admin listener. For health checks in images that
// have no other program to ask with.
#pragma once

#include <cstdint>

namespace app {

enum class probe_question : std::uint8_t { alive, ready };

// Prints the answer. Of all settings it reads CLAUDE_PROXY_ADMIN_LISTEN only: a probe that needed a database or a
// secret would have a process ended because something else is away. Returns the process's exit code: 0 yes, 1 no or no
// answer within seconds, 2 nobody knows where to ask.
int probe(probe_question question);

}  // namespace app
