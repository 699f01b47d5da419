// What the mock upstream and the load generator share. The mock stamps every event with this clock and the load
// generator subtracts the stamp from it, so both must run on the same machine.
#pragma once

#include <strings.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace bench {

inline std::uint64_t now_us() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_nsec) / 1000;
}

inline timespec timespec_of_us(std::uint64_t us) {
    return {.tv_sec = static_cast<time_t>(us / 1'000'000), .tv_nsec = static_cast<long>(us % 1'000'000 * 1000)};
}

inline bool same_name(std::string_view a, std::string_view b) {
    return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

// Calls on_header(name, value) for every header line of a head that ends in an empty line.
template <typename OnHeader>
void for_each_header(std::string_view head, OnHeader on_header) {
    std::size_t at = head.find("\r\n") + 2;
    while (at < head.size()) {
        const std::size_t end = head.find("\r\n", at);
        if (end == head.npos || end == at) return;
        const std::string_view line = head.substr(at, end - at);
        at = end + 2;
        const std::size_t colon = line.find(':');
        if (colon == line.npos) continue;
        std::string_view value = line.substr(colon + 1);
        while (value.starts_with(' ')) value.remove_prefix(1);
        on_header(line.substr(0, colon), value);
    }
}

[[noreturn]] inline void fail(const char* what) {
    perror(what);
    exit(2);
}

}  // namespace bench
