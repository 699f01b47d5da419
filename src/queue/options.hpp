// Settings of the queue.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "aws/options.hpp"

namespace queue {

using std::chrono::milliseconds;

struct options {
    std::string url = "embedded";          // QUEUE_URL: "embedded", or an SQS queue's URL or name
    milliseconds hidden_for{60'000};       // a received message comes again after this; whole seconds, at most 12 h
    std::uint32_t receives_max = 10;       // then a message goes to the dead-letter queue; SQS: set when it is created
    std::uint64_t queue_max = 100'000;     // embedded: messages held; more are not taken
    std::uint64_t dead_max = 1'000;        // embedded: dead messages held; the oldest is forgotten
    milliseconds depth_every{5'000};       // SQS: `look` asks at most so often
    std::uint32_t batch_attempts_max = 3;  // SQS: for the entries of a batch that the service failed to do
    aws::options aws;
};

}  // namespace queue
