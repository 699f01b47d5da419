// IP addresses and ranges of them, parsed: IPv4 is held as IPv4-mapped IPv6. Values; no I/O.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace governance {

using ip_address = std::array<std::uint8_t, 16>;

struct ip_range {
    ip_address address{};
    std::uint8_t prefix_bits = 0;  // of the 128

    bool contains(const ip_address& what) const;
};

std::optional<ip_address> parse_ip_address(std::string_view text);  // "::ffff:1.2.3.4" equals "1.2.3.4"
std::optional<ip_range> parse_ip_range(std::string_view text);      // "10.0.0.0/8", "::1", "2001:db8::/32"

// One text an address, however it was written; of a range always with its prefix.
std::string text_of(const ip_address& what);
std::string text_of(const ip_range& what);

}  // namespace governance
