// Message Batches of all workspaces. The store is a plain list under one mutex; the behaviour is in batches.cpp.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "connection.hpp"
#include "text.hpp"

namespace sim {

struct batch_item {
    std::string custom_id;
    std::string params;   // the Messages body as JSON
    std::string result;   // one line of the results once the batch has ended
    std::string outcome;  // succeeded, errored, canceled, expired
};

struct batch {
    std::string id;
    std::string key;  // of the workspace
    std::string version;
    std::string public_url;
    std::vector<batch_item> items;
    wall_clock::time_point created_at;
    steady::time_point due;
    wall_clock::time_point cancelled_at{};
    wall_clock::time_point ended_at{};
    bool canceling = false;
    bool ended = false;
};

struct batch_store {
    static constexpr std::size_t batches_max = 10'000;  // the oldest are forgotten

    std::mutex mutex;
    std::vector<std::shared_ptr<batch>> newest_last;
};

}  // namespace sim
