// `jobs submit` and `jobs watch`: what a caller does, over HTTP, with a key of their own. Thread rule: the main thread.
#pragma once

#include "app/admin_words.hpp"

namespace app {

void add_job_calls(CLI::App& group, chosen_command& chosen);

}  // namespace app
