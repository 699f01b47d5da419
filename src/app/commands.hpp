// The words of the command line: `claude-proxy serve`, `doctor`, `version`, and those of administrators.
#pragma once

namespace app {

// Parses the arguments, runs the command and returns the exit code: 0 done, 1 failed, 2 wrong arguments or settings.
int run_command(int argc, char** argv);

}  // namespace app
