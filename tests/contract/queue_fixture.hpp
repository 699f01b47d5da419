// One suite for every queue: each test runs on the embedded one and on two servers that speak the protocol of Amazon
// SQS, and begins with a queue of its own. tools/with_servers starts the servers.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "database_fixture.hpp"
#include "queue/queue.hpp"

namespace contract {

using namespace std::chrono_literals;
using bodies = std::multiset<std::string>;
using steady = std::chrono::steady_clock;

inline std::vector<queue::message> messages_of(const bodies& all, std::chrono::seconds delay = 0s) {
    std::vector<queue::message> made;
    for (const auto& each : all) made.push_back({each, delay});
    return made;
}
inline bodies numbered(int count, std::string_view name = "job_") {
    bodies made;
    for (int i = 0; i < count; ++i) made.insert(std::string(name) + std::to_string(i));
    return made;
}
inline bodies bodies_of(const std::vector<queue::delivery>& all) {
    bodies made;
    for (const auto& each : all) made.insert(each.body);
    return made;
}
inline std::vector<std::string> receipts_of(const std::vector<queue::delivery>& all) {
    std::vector<std::string> made;
    for (const auto& each : all) made.push_back(each.receipt);
    return made;
}

// An SQS queue of this test on the server of an environment variable.
inline queue::options settings_on(const char* variable) {
    static std::atomic<int> made = 0;
    queue::options settings;
    settings.url = "jobs-" + std::to_string(::getpid()) + "-" + std::to_string(++made);
    settings.depth_every = 0ms;
    settings.aws.region = "eu-west-1";
    settings.aws.endpoint_url_sqs = environment(variable);
    if (settings.aws.endpoint_url_sqs.empty())
        throw std::runtime_error(std::string(variable) + " is not set: run this by tools/with_servers");
    settings.aws.access_key_id = settings.aws.secret_access_key = base::secret("test");
    return settings;
}

class queue_suite : public testing::TestWithParam<const char*> {
public:
    bool is_embedded() const { return std::string_view(GetParam()) == "embedded"; }
    const char* variable() const {
        return std::string_view(GetParam()) == "fauxqs" ? "TEST_FAUXQS_URL" : "TEST_SQS_URL";
    }
    // A queue that is empty and made.
    std::unique_ptr<queue::port> open(std::uint32_t receives_max = 10, milliseconds hidden_for = 60s) const {
        queue::options settings;
        if (!is_embedded()) settings = settings_on(variable());
        settings.receives_max = receives_max;
        settings.hidden_for = hidden_for;
        queue::create(settings);
        return queue::open(settings);
    }
};

// Receives until there are so many, and not for ever.
inline std::vector<queue::delivery> receive_all(queue::port& on, std::size_t count) {
    std::vector<queue::delivery> all;
    const auto until = steady::now() + 30s * time_scale();
    while (all.size() < count && steady::now() < until) {
        for (auto& each : on.receive(10, 2s)) all.push_back(std::move(each));
    }
    return all;
}

inline std::string name_of_queue(const testing::TestParamInfo<const char*>& info) { return info.param; }

}  // namespace contract
