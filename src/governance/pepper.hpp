// What the secrets of this installation's keys are hashed under, the same for all its replicas.
#pragma once

#include "base/secret.hpp"
#include "database/connection.hpp"

namespace governance {

// The configured one; without it the one in the database, made by whoever asks first. Throws database::failure.
base::secret installation_pepper(database::connection& on, const base::secret& configured);

}  // namespace governance
