// The store's calls for threads that may block: the admin API's and the command line's. Each waits for the answer, at
// most asking_max; then it is `unavailable`, and may still happen. Thread rule: any thread but a reactor's and the
// store's.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "jobs/store.hpp"

namespace jobs {

inline constexpr std::chrono::seconds asking_max{15};

std::pair<outcome, summary> ask_find(store& of, const std::string& id);
std::pair<outcome, std::vector<summary>> ask_list(store& of, const filter& which);
std::pair<outcome, std::vector<attempt_entry>> ask_history(store& of, const std::string& id);
outcome ask_cancel(store& of, const std::string& id);
outcome ask_redrive(store& of, const std::string& id);

}  // namespace jobs
