// Making a team as a part of another change: the first key of a team makes it.
#pragma once

#include "governance/change.hpp"
#include "governance/tenants.hpp"

namespace governance {

// Gives the team its id and times, writes and records it. The caller has checked its fields and that the name is free.
void add_team(change& made, team& what);

}  // namespace governance
