// The port to the queue: messages that say "look, a job waits". The database is the truth; a message that is lost,
// doubled or late costs time and never a job.
//
// Adapters: embedded (in process; what it has forgotten the sweeper announces again) and Amazon SQS (standard queues).
// A message is hidden from others from its `receive` until `hidden_for`, moved on by `extend`, has passed; then it
// comes again, unless it was removed. After receives_max of these it goes to the dead-letter queue instead.
//
// Calls block: never on a reactor. Thread rule: any thread, several at a time. Errors are exceptions of type `failure`.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "queue/options.hpp"

namespace queue {

class failure : public std::runtime_error {
public:
    // `retryable`: away, throttled, timed out; else our request, our credentials or a missing queue are wrong.
    failure(bool retryable, const std::string& what) : std::runtime_error(what), may_retry(retryable) {}
    bool may_retry;
};

struct message {
    std::string body;               // a job's id: printable ASCII, 1 to body_bytes_max bytes; else `send` throws
    std::chrono::seconds delay{0};  // not to be received before; at most delay_max, longer ones are cut
    static constexpr std::size_t body_bytes_max = 1024;
    static constexpr std::chrono::seconds delay_max{900};
};

struct delivery {
    std::string body;
    std::string receipt;         // names this receive of the message; means something to the adapter only
    std::uint32_t receives = 1;  // how often it was received, this time included
};

struct depth {
    std::uint64_t waiting = 0;    // may be received now; SQS: approximate
    std::uint64_t in_flight = 0;  // hidden
    std::uint64_t delayed = 0;
    std::uint64_t dead = 0;  // in the dead-letter queue
};

// What a port has done since its start; read them at any time.
struct counters {
    std::atomic<std::uint64_t> sent{0};      // messages, as the three below
    std::atomic<std::uint64_t> received{0};  // those that came again included
    std::atomic<std::uint64_t> extended{0};
    std::atomic<std::uint64_t> removed{0};
    std::atomic<std::uint64_t> not_taken{0};  // messages that `send` told by index
    std::atomic<std::uint64_t> failures{0};   // calls that threw
};

class port {
public:
    virtual ~port() = default;

    // Messages that were not taken, by index; empty: all are in the queue. Throws only when none was taken.
    virtual std::vector<std::size_t> send(std::span<const message> messages) = 0;
    // Waits up to `at_most` (20 s at most; SQS: whole seconds, rounded up) for the first message, then gives what is
    // there, up to `count` (10 at most).
    virtual std::vector<delivery> receive(std::size_t count, std::chrono::milliseconds at_most) = 0;
    // Hides the messages for `hidden_for` from now; 0 s: they come again at once. What is unknown by now is ignored.
    virtual void extend(std::span<const std::string> receipts, std::chrono::seconds hidden_for) = 0;
    virtual void remove(std::span<const std::string> receipts) = 0;
    virtual depth look() = 0;
    // Moves up to `count` messages of the dead-letter queue back; how many.
    virtual std::size_t redrive(std::size_t count) = 0;
    // Ends a `receive` that waits, and makes every later one return at once; for the end of the process. Any thread.
    virtual void stop() = 0;

    const counters& counts() const { return counts_; }

protected:
    counters counts_;
};

// `QUEUE_URL`: "embedded", or an SQS queue's URL or name. Does not connect. Throws failure{false} for anything else.
std::unique_ptr<port> open(const options& settings);

// Creates the SQS queue and its dead-letter queue with the redrive policy, or checks the ones that exist; what was
// done, a sentence a line. Embedded: nothing to do.
std::vector<std::string> create(const options& settings);

}  // namespace queue
