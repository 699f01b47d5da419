#include "governance/ip_range.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace governance {
namespace {

constexpr std::uint8_t mapped_bits = 96;  // of ::ffff:0:0/96, where IPv4 lives

bool is_ipv4(const ip_address& what) {
    return std::all_of(what.begin(), what.begin() + 10, [](std::uint8_t byte) { return byte == 0; }) &&
           what[10] == 0xFF && what[11] == 0xFF;
}

}  // namespace

bool ip_range::contains(const ip_address& what) const {
    const std::size_t whole = prefix_bits / 8;
    if (!std::equal(address.begin(), address.begin() + static_cast<std::ptrdiff_t>(whole), what.begin())) return false;
    const unsigned rest = prefix_bits % 8;
    return rest == 0 || ((address[whole] ^ what[whole]) >> (8 - rest)) == 0;
}

std::optional<ip_address> parse_ip_address(std::string_view text) {
    std::array<char, INET6_ADDRSTRLEN> terminated{};
    if (text.size() >= terminated.size() || text.find('\0') != text.npos) return std::nullopt;
    std::ranges::copy(text, terminated.begin());
    ip_address address{};
    if (text.find(':') != text.npos) {
        if (::inet_pton(AF_INET6, terminated.data(), address.data()) != 1) return std::nullopt;
        return address;
    }
    address[10] = address[11] = 0xFF;
    if (::inet_pton(AF_INET, terminated.data(), address.data() + mapped_bits / 8) != 1) return std::nullopt;
    return address;
}

std::optional<ip_range> parse_ip_range(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto address = parse_ip_address(text.substr(0, slash));
    if (!address) return std::nullopt;
    unsigned bits = 128;
    if (slash != text.npos) {
        const std::string_view digits = text.substr(slash + 1);
        const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
        if (failed != std::errc() || end != digits.data() + digits.size() || digits.size() > 3) return std::nullopt;
        if (text.substr(0, slash).find(':') == text.npos) {
            if (bits > 32) return std::nullopt;
            bits += mapped_bits;
        }
        if (bits > 128) return std::nullopt;
    }
    return ip_range{*address, static_cast<std::uint8_t>(bits)};
}

std::string text_of(const ip_address& what) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (is_ipv4(what)) {
        ::inet_ntop(AF_INET, what.data() + mapped_bits / 8, text.data(), text.size());
    } else {
        ::inet_ntop(AF_INET6, what.data(), text.data(), text.size());
    }
    return text.data();
}

std::string text_of(const ip_range& what) {
    const bool ipv4 = is_ipv4(what.address) && what.prefix_bits >= mapped_bits;
    const unsigned bits = what.prefix_bits - (ipv4 ? mapped_bits : 0U);
    if (ipv4 || !is_ipv4(what.address)) return text_of(what.address) + "/" + std::to_string(bits);
    return "::ffff:" + text_of(what.address) + "/" + std::to_string(bits);
}

}  // namespace governance
