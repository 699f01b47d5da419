// Sends webhooks: one POST each over libcurl, on a thread of its own.
//
// A name is resolved for each connection, and the address is checked where its socket is made: what a name stands for
// at submit, or stood for a moment ago, decides nothing. No redirect is followed, no proxy is used, TLS is verified,
// time and answers are bounded. Thread rule: `send` from any thread; `done` is called on the sender's thread, must be
// short and must not throw.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "jobs/webhook_options.hpp"
#include "jobs/webhook_target.hpp"
#include "worker/webhook_decision.hpp"

namespace worker {

struct webhook_request {
    std::uint64_t number = 0;  // the caller's, for `done`
    std::string url;
    std::vector<std::string> headers;  // "name: value"
    std::string body;
};

class webhook_sender {
public:
    using outcome = std::function<void(std::uint64_t number, webhook_answer answer)>;

    // Throws when there is no memory or no thread.
    webhook_sender(const jobs::webhook_options& options, jobs::webhook_rules rules, outcome done);
    // Ends what is under way; nobody is told.
    ~webhook_sender();
    webhook_sender(const webhook_sender&) = delete;
    webhook_sender& operator=(const webhook_sender&) = delete;

    // `done` is called once, unless the sender goes first. The caller bounds how many are under way.
    void send(webhook_request what);

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace worker
