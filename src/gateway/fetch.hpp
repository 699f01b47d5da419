// A call upstream of our own, whose answer is for us: pages of a list, batches and their results.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "upstream/client.hpp"

namespace gateway {

struct fetched {
    int status = 0;
    std::string content_type{};
    std::string retry_after{};  // the header's value, or empty
    std::string body{};         // without what `take` was given
};

// Takes a piece of a body of status 200 that is gone at the next wait; false: enough, the call is given up.
using body_taker = std::function<net::task<bool>(std::string_view piece)>;

// `head` is whole but for framing and the blank line. The body is kept up to `bytes_max`, or given to `take`. A pooled
// connection that turns out closed is replaced once. Errors: those of upstream::call, upstream_protocol_error for a
// longer body, client_left. `downstream` may be null.
net::task<base::result<fetched>> fetch(upstream::client& from, net::timer& clock, net::stream* downstream,
                                       std::string_view head, std::uint64_t bytes_max, const body_taker& take = {});

// Sends a body, once: on a connection of its own, and never again. `head` as above.
net::task<base::result<fetched>> post(upstream::client& to, net::timer& clock, std::string_view head,
                                      std::string_view body, std::uint64_t bytes_max);

}  // namespace gateway
