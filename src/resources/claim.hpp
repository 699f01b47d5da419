// Ids that were made past this gateway, or whose owner was lost, are given to a team by an administrator. Blocking;
// thread rule: the connection's.
#pragma once

#include "database/connection.hpp"
#include "governance/administration.hpp"
#include "resources/owners.hpp"

namespace resources {

// Leaves an entry in the audit log. Errors: permission_denied, invalid_argument (no id of a batch, file, skill or
// container), conflict (another team's: an id never changes its owner). An id that is the team's already stays it.
base::result<void> claim(database::connection& on, const governance::actor& by, const std::string& id,
                         const std::string& team_id, time_ms now);

}  // namespace resources
