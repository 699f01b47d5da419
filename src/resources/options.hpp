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

    // Callers' batches.
    milliseconds batch_look_first{5'000};    // after its making, and then a quarter of its age, ...
    milliseconds batch_look_max{300'000};    // ... at most so much between two looks at one batch
    milliseconds batch_lease{60'000};        // a replica that says nothing for so long has lost what it was at
    milliseconds batch_doubt{120'000};       // a batch that upstream does not show by then was never made
    milliseconds batch_patience{5'000};      // a request waits so long for the database before its batch is sent
    milliseconds batch_delete_wait{10'000};  // a batch that is deleted is settled first: at most so long
    std::uint32_t batch_looks_max = 4;       // batches that one process looks at at the same time
};

}  // namespace resources
