// Calls upstream about Message Batches that nobody in front of the gateway asked for: what the pollers of callers'
// batches and of the batch lane share. Thread rule: the reactor's thread; the clock is the caller's, and bounds or
// cancels every wait.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/fetch.hpp"
#include "resources/batch_rows.hpp"
#include "resources/options.hpp"

namespace gateway {

// When a batch is looked at again: after a quarter of its age, within what the settings allow.
resources::time_ms next_look(const resources::batch_entry& one, const resources::options& rules,
                             resources::time_ms now);

// Whether an answer to the making of a batch says that none was made. After any other that is not 200 nobody knows: a
// 5xx may come from a proxy on the way that lost the answer, but an overloaded API (529) has not begun.
constexpr bool refuses_batch(int status) { return (status >= 400 && status < 500 && status != 408) || status == 529; }

class batch_calls {
public:
    batch_calls(net::reactor& reactor, upstream::client& upstream) : reactor_(reactor), upstream_(upstream) {}

    // What one look at upstream has told.
    struct sight {
        bool there = false;
        std::string status;
        std::string head;  // of calls with the credential that sees it, without the request line
    };
    // Errors: it could not be asked.
    net::task<base::result<sight>> see(net::timer& clock, const std::string& upstream_id) const;

    // The results of a batch, line by line; `room` (may be empty) is asked after every piece, and may wait; false: the
    // call is given up. The status of the answer; lines come only of 200. Errors: it broke off, or a line is too long.
    using visitor = std::function<void(std::string_view line)>;
    using waiter = std::function<net::task<bool>()>;
    net::task<base::result<int>> results(net::timer& clock, const std::string& upstream_id, const std::string& head,
                                         const visitor& visit, const waiter& room) const;

    // The batch upstream that a row in `creating` stands for; an empty id: there is none. Nothing: not known yet.
    // `unknown` tells which ids belong to no batch that anybody here has made.
    //
    // Upstream keeps no note of ours. What is known of the batch are the time, the number of requests and, once it has
    // ended, the custom ids of its results: a batch that nobody else is known to have made and that has all three is
    // it. While one that could be it has not ended, the answer is: not known yet.
    using answer = std::function<void(std::optional<std::vector<std::string>>)>;
    using question = std::function<void(std::vector<std::string> upstream_ids, answer done)>;
    net::task<std::optional<std::string>> search(net::timer& clock, const resources::batch_entry& one,
                                                 const question& unknown) const;

    // Makes a batch, with one call at most. `headers`: lines with CRLF. Errors: those of upstream::call.
    net::task<base::result<fetched>> create(net::timer& clock, std::string_view headers, std::string_view body) const;
    // `head` as in a sight.
    net::task<base::result<fetched>> cancel(net::timer& clock, const std::string& upstream_id,
                                            const std::string& head) const;

private:
    net::task<std::optional<std::string>> digest_of_results(net::timer& clock, const std::string& upstream_id,
                                                            const std::string& head) const;
    std::string call_head(std::string_view credential,
                          std::string_view headers = "anthropic-version: 2023-06-01\r\n") const;
    std::string request_line(std::string_view method, std::string_view below) const;
    std::vector<std::string> credentials() const;  // one empty line when there are none

    net::reactor& reactor_;
    upstream::client& upstream_;
};

}  // namespace gateway
