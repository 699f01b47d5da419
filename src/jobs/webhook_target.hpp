// Where webhooks may go: what a URL must look like, told at submit, and which addresses may be reached, checked on the
// address of the socket when a name has been resolved. Plain functions of values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "governance/directory.hpp"
#include "jobs/webhook_options.hpp"

namespace jobs {

using ip_address = std::array<std::uint8_t, 16>;  // IPv4 as ::ffff:a.b.c.d

class webhook_rules {
public:
    // Error: invalid_argument, a sentence about `allow`.
    static base::result<webhook_rules> read(const webhook_options& options);

    bool allow_http() const { return allow_http_; }

    // Why webhooks cannot go to that URL: a sentence for the caller. A host that is a name may still turn out to have
    // an address that is refused.
    std::optional<std::string> url_problem(std::string_view url) const;

    // What is wrong with that address: "private", "loopback", ...; nothing for public and for allowed ones.
    std::optional<std::string_view> address_problem(const ip_address& address) const;

private:
    std::vector<governance::ip_range> allowed_;
    bool allow_http_ = false;
};

inline constexpr std::size_t webhook_url_bytes_max = 2'048;

// "https://host:443" of a URL without a problem, in lower case and always with the port: what has a breaker and a bound
// of its own. Something else for something else, but never an exception.
std::string webhook_endpoint(std::string_view url);

}  // namespace jobs
