// Uploaded files of all workspaces: what they were, their digest, and the first part of their content.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "text.hpp"

namespace sim {

struct stored_file {
    std::string id;
    std::string key;  // of the workspace
    std::string filename;
    std::string mime_type;
    std::string sha256;   // hexadecimal
    std::string content;  // whole when size <= content_bytes_max, else only the beginning
    std::uint64_t size = 0;
    wall_clock::time_point created_at;
    std::string expires_at;  // empty: never

    static constexpr std::size_t content_bytes_max = 1 << 20;
    bool downloadable() const { return size == content.size(); }
};

struct file_store {
    static constexpr std::size_t files_max = 10'000;  // the oldest are forgotten

    std::mutex mutex;
    std::vector<std::shared_ptr<const stored_file>> newest_last;
};

}  // namespace sim
