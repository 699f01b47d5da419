// What QUEUE_URL says: where the queue is, in which region, and its name. Plain functions of values.
#pragma once

#include <string>
#include <string_view>

#include "aws/client.hpp"
#include "queue/options.hpp"

namespace queue {

struct sqs_address {
    std::string name;
    std::string url;  // empty: to be asked for by the name
    aws::service at;
};

// Throws failure{false}, a sentence about QUEUE_URL or the AWS setting that is wrong or missing.
sqs_address address_of(const options& settings);

// The region in a host of Amazon's queues, such as sqs.eu-west-1.amazonaws.com or
// vpce-1a-2b.sqs.eu-west-1.vpce.amazonaws.com; empty: there is none.
std::string_view region_in(std::string_view host);

// The dead-letter queue's name, and its URL: both are in the same account and region.
std::string dead_name_of(std::string_view name);
std::string sibling_url(std::string_view url, std::string_view name);

}  // namespace queue
