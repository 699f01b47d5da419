// Skills of all workspaces, minimal: enough to create, list, look at and delete them.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "text.hpp"

namespace sim {

struct skill {
    std::string id;
    std::string key;  // of the workspace
    std::string display_title;
    std::string version;
    wall_clock::time_point created_at;
};

struct skill_store {
    static constexpr std::size_t skills_max = 10'000;

    std::mutex mutex;
    std::vector<skill> newest_last;
};

}  // namespace sim
