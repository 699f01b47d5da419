// Who we are for Amazon: the first of these that the settings know.
//
//   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN,
//   2. the container's endpoint (ECS, EKS Pod Identity): AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or ..._FULL_URI,
//   3. the machine's role: the instance metadata service, version 2 only.
//
// Files of other tools (~/.aws) are not read. What expires is renewed ahead by the one thread that notices, while
// others go on with what there is; a failed renewal is no failure before the old ones have expired. Thread rule: any
// thread; may block for some requests of credentials_timeout.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "aws/failure.hpp"
#include "aws/http.hpp"
#include "aws/options.hpp"

namespace aws {

struct credentials {
    base::secret key_id{};
    base::secret secret{};
    base::secret session_token{};              // empty: none
    std::optional<std::int64_t> expires_ms{};  // since 1970
    std::string_view source{};                 // "environment", "container" or "instance"
};
using credentials_ptr = std::shared_ptr<const credentials>;

class credential_chain {
public:
    using clock = std::function<std::int64_t()>;  // milliseconds since 1970

    // `over` must outlive this.
    credential_chain(const options& settings, http& over, clock now = {});

    // Never null. Throws failure: there are none, or their source is away and the last ones have expired.
    credentials_ptr current();
    // A service refused these: the next `current` asks their source again, unless it is the environment.
    void forget(const credentials_ptr& refused);

private:
    credentials fetch();
    credentials from_environment() const;
    credentials from_container();
    credentials from_instance();
    std::string ask(const http_request& request, std::string_view whom);
    http_request container_request() const;

    const options settings_;
    http& http_;
    const clock now_;
    std::mutex mutex_;
    std::condition_variable renewed_;
    credentials_ptr known_;
    bool renewing_ = false;
    std::uint64_t renewals_ = 0;      // that have ended, well or not
    std::int64_t renew_at_ms_ = 0;    // not before
    std::optional<failure> trouble_;  // of the last renewal
};

// Where a container's credentials may be asked for without TLS: this machine, and the link-local addresses of ECS and
// EKS. Anything else on plain http could be anybody.
bool may_give_credentials(const url_parts& endpoint);

}  // namespace aws
