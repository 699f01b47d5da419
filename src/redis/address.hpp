// Where Redis is and how it is spoken to, as REDIS_URL says it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "redis/options.hpp"

struct ssl_ctx_st;

namespace redis {

struct address {
    std::string host;
    std::uint16_t port = 6379;
    std::string user{};  // empty: the default user
    base::secret password{};
    std::uint32_t database = 0;
    bool tls = false;                     // rediss://
    std::shared_ptr<ssl_ctx_st> trust{};  // whom TLS believes
};

// errc::invalid_argument with a sentence that does not repeat the URL: it may carry a password.
base::result<address> parse_address(std::string_view url);

// The same of the settings, with the trust anchors read when TLS is spoken: the system's and those of `ca_file`. The
// sentence of an error begins with the setting's name. Blocking: a file is read.
base::result<address> address_of(const options& settings);

// Where a new connection goes: to the options' `live_url` as it is now, else to `otherwise`, of which the trust is
// kept. Whether TLS is spoken does not change while the process runs.
address address_now(const options& settings, const address& otherwise);

}  // namespace redis
