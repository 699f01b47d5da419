// The models this simulator serves: those upstream serves, and every id that starts with `claude-sim-`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sim {

// The id that the answer will carry: an alias becomes its dated id. Nothing for an unknown model.
std::optional<std::string> resolve_model(std::string_view name);
std::uint64_t output_tokens_max(std::string_view resolved);
// Whether `inference_geo` is known for the model; older ones answer "not_available".
bool reports_geography(std::string_view resolved);

}  // namespace sim
