// Settings of what lives upstream and belongs to a team.
#pragma once

#include <chrono>
#include <cstdint>

namespace resources {

using std::chrono::milliseconds;

struct options {
    std::uint32_t known_max = 200'000;     // ids kept in memory, of all teams
    std::uint32_t unwritten_max = 10'000;  // ids remembered while the database is away; beyond it new ones are lost
    milliseconds retry_every{500};         // while the database is away
    std::uint32_t listed_max = 200'000;    // ids of one team and kind
};

}  // namespace resources
