// Other platforms and clients decorate the names of models (docs/protocol.md, prices): these functions take the
// decoration off. They return views into their argument, allocate nothing, and may be called from any thread.
#pragma once

#include <string_view>

namespace pricing {

// "us.anthropic.claude-opus-4-1-20250805-v1:0" -> "claude-opus-4-1-20250805"; also "...@20250805", "...[1m]",
// "publishers/anthropic/models/...".
std::string_view without_decoration(std::string_view model);

// "claude-opus-4-1-20250805" -> "claude-opus-4-1"; a name without a date as it is.
std::string_view without_date(std::string_view model);

}  // namespace pricing
