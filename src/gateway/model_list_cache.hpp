// The last good answers of GET /v1/models, so that clients still start while the upstream is down.
// Thread rule: any thread; shared by all reactors.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace gateway {

class model_list_cache {
public:
    static constexpr std::size_t entries_max = 64;  // distinct targets (path and query); the oldest answer goes first
    static constexpr std::size_t body_bytes_max = 1 << 20;

    // The JSON last seen for this target, or nullptr.
    std::shared_ptr<const std::string> find(const std::string& target) const;
    void store(const std::string& target, const std::string& body);

private:
    struct kept {
        std::shared_ptr<const std::string> body;
        std::uint64_t stored = 0;  // counts up: the lowest is the oldest
    };

    mutable std::mutex mutex_;
    std::map<std::string, kept, std::less<>> bodies_;
    std::uint64_t stored_ = 0;
};

}  // namespace gateway
