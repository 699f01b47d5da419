#include "gateway/client_address.hpp"

#include <algorithm>
#include <ranges>

namespace gateway {
namespace {

bool is_forwarded_for(const http::header& line) {
    return line.id == http::field::other && http::equals_lower(line.name, "x-forwarded-for");
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

bool is_port(std::string_view text) {
    constexpr std::size_t digits_max = 5;
    return !text.empty() && text.size() <= digits_max &&
           std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool is_trusted_proxy(std::string_view peer, std::span<const governance::ip_range> trusted) {
    if (trusted.empty()) return false;
    const auto address = governance::parse_ip_address(peer);
    return address && std::ranges::any_of(trusted, [&](const auto& range) { return range.contains(*address); });
}

std::optional<governance::ip_address> read_forwarded_entry(std::string_view entry) {
    if (entry.starts_with('[')) {
        const std::size_t end = entry.find(']');
        if (end == entry.npos) return std::nullopt;
        const std::string_view behind = entry.substr(end + 1);
        if (!behind.empty() && (behind.front() != ':' || !is_port(behind.substr(1)))) return std::nullopt;
        entry = entry.substr(1, end - 1);
        return entry.find(':') == entry.npos ? std::nullopt : governance::parse_ip_address(entry);
    }
    // One colon is before a port, more are an IPv6 address.
    const std::size_t colon = entry.find(':');
    if (colon != entry.npos && entry.find(':', colon + 1) == entry.npos) {
        if (!is_port(entry.substr(colon + 1))) return std::nullopt;
        entry = entry.substr(0, colon);
    }
    return governance::parse_ip_address(entry);
}

std::optional<governance::ip_address> client_address(const http::request_head& head, std::uint32_t hops) {
    std::optional<governance::ip_address> found;
    for (const auto& line : head.headers | std::views::reverse) {
        if (!is_forwarded_for(line)) continue;
        std::string_view list = line.value;
        for (bool more = true; more;) {
            if (hops-- == 0) return found;
            const std::size_t comma = list.rfind(',');
            more = comma != list.npos;
            const auto address = read_forwarded_entry(trimmed(more ? list.substr(comma + 1) : list));
            if (!address) return found;
            found = address;
            list = list.substr(0, more ? comma : 0);
        }
    }
    return found;
}

}  // namespace gateway
