// The headers of a webhook after the Standard Webhooks specification: its id, which a receiver knows it again by, the
// time of this try, and HMAC-SHA-256 over both and the body, once for each secret in force. Plain function of values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/secret.hpp"

namespace worker {

// What `webhook-signature` says. Secrets are "whsec_" and base64; an empty one is passed over. Throws
// std::invalid_argument for anything else.
std::string webhook_signature(std::span<const base::secret> secrets, std::string_view id, std::int64_t at_seconds,
                              std::string_view body);

}  // namespace worker
