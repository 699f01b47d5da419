// Who may ask: the static client keys of CLAUDE_PROXY_API_KEYS, all of team `default`.
//
// Keys are kept and compared as HMAC-SHA-256 under a pepper made at start, in constant time, so neither memory dumps
// nor timing tell a key. Thread rule: immutable after construction; `find` may be called from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.hpp"

namespace gateway {

struct caller {
    std::string id;  // shown in logs: "static-1"
    std::string team;
};

class caller_table {
public:
    explicit caller_table(std::span<const base::secret> keys);
    ~caller_table();
    caller_table(const caller_table&) = delete;
    caller_table& operator=(const caller_table&) = delete;

    // The caller with that key, or nullptr. Reads every entry whatever the key is.
    const caller* find(std::string_view presented) const;

private:
    using digest = std::array<unsigned char, 32>;
    struct entry {
        digest hash;
        caller who;
    };
    digest hash(std::string_view key) const;

    std::array<unsigned char, 32> pepper_;
    std::vector<entry> entries_;
};

}  // namespace gateway
