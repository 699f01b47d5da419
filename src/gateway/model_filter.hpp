// The upstream's list of models without those that a caller may not use. Plain function; any thread.
#pragma once

#include <string>
#include <string_view>

#include "governance/directory.hpp"

namespace gateway {

// The body of GET /v1/models with only the elements whose `id` the caller may use, each byte for byte; first_id and
// last_id follow. A body that is no such list comes back as it is, without its elements if they cannot be told apart.
std::string filter_models(const std::string& body, const governance::caller& who);

}  // namespace gateway
