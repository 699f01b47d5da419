// One request of a job through the gateway's own front, over a pair of connected sockets inside of the process: one end
// is served like a client's connection, by a handler that knows the caller (gateway/job_front.hpp), the other is
// written and read here. Destroying a call that is under way ends its request as that of a client that left.
// Thread rule: the reactor's thread; one coroutine.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/chunked.hpp"
#include "http/head.hpp"
#include "worker/lane.hpp"

namespace worker {

class inner_call {
public:
    // `money`: what the job's claim brought, or null. `clock` ends every wait when it is cancelled. Throws
    // std::system_error when there are no descriptors left.
    inner_call(lane& on, net::timer& clock, std::shared_ptr<const governance::caller> who, std::string job_id,
               std::shared_ptr<governance::arrived_money> money);
    inner_call(const inner_call&) = delete;
    inner_call& operator=(const inner_call&) = delete;

    // Errors of all: upstream_cut (the front is gone), upstream_protocol_error, shutting_down (the clock was
    // cancelled). A front that answers before it has read everything ends the sending without an error.
    net::task<base::result<void>> send(std::string_view head, std::string_view body);
    net::task<base::result<const http::response_head*>> read_head();  // valid until the next wait
    // Payload of the answer's body, in the reactor's scratch: gone at the next wait. Empty: it has ended.
    net::task<base::result<std::string_view>> read();

private:
    net::task<base::result<std::string_view>> receive();
    std::string_view take_payload(base::result<void>& how);

    lane& lane_;
    net::timer& clock_;
    std::unique_ptr<net::stream> stream_;
    std::string kept_;          // the head, and bytes behind it, as far as they came
    std::string_view unread_;   // body bytes behind the head, in kept_
    http::response_head head_;  // views into kept_
    http::chunk_decoder chunks_;
    http::body_framing framing_ = http::body_framing::none;
    std::uint64_t body_left_ = 0;
    bool ended_ = false;
};

}  // namespace worker
