// The front of one request that a durable job sends: the frame, the admission, the forwarding and the account are those
// of POST /v1/messages; only who asks is known from the job instead of a credential.
//
// The caller is a member of the handler, and a handler serves one connection inside of the process: nothing that
// arrives over the network can name a caller this way. Thread rule: the reactor's thread.
#pragma once

#include <memory>
#include <string>

#include "gateway/front.hpp"
#include "jobs/job.hpp"

namespace gateway {

// The owner of a job as the directory has it now. Waits where the key may be younger than this replica's directory.
// Errors: credential_expired (revoked, expired, archived), credential_invalid, permission_denied, directory_stale,
// shutting_down (the clock was cancelled).
net::task<base::result<std::shared_ptr<const governance::caller>>> find_owner(service& s, net::reactor& reactor,
                                                                              net::timer& clock,
                                                                              const jobs::owner& who);

class job_front final : public front {
public:
    // `money`: what the job's claim brought, or null.
    job_front(service& parts, std::shared_ptr<const governance::caller> who, std::string job_id,
              std::shared_ptr<governance::arrived_money> money)
        : front(parts), caller_(std::move(who)), job_id_(std::move(job_id)), money_(std::move(money)) {}

protected:
    net::task<void> run(exchange& x, const http::request_head& head) override;

private:
    const std::shared_ptr<const governance::caller> caller_;
    const std::string job_id_;
    std::shared_ptr<governance::arrived_money> money_;
};

}  // namespace gateway
