#include "config/parse.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace config {
namespace {

struct unit {
    std::string_view name;
    std::uint64_t factor;
};
constexpr std::array duration_units{unit{"ms", 1}, unit{"s", 1'000}, unit{"m", 60'000}, unit{"h", 3'600'000}};
constexpr std::array size_units{unit{"", 1}, unit{"KiB", 1ull << 10}, unit{"MiB", 1ull << 20}, unit{"GiB", 1ull << 30}};

// A whole number and one of the units behind it; nothing else, and nothing that does not fit.
std::optional<std::uint64_t> number_with_unit(std::string_view text, std::span<const unit> units) {
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc()) return std::nullopt;
    const std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
    const auto found = std::ranges::find(units, rest, &unit::name);
    if (found == units.end()) return std::nullopt;
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / found->factor)
        return std::nullopt;
    return number * found->factor;
}

// The largest unit that divides the value; units are sorted from small to large.
std::string with_largest_unit(std::uint64_t value, std::span<const unit> units) {
    const unit* best = &units.front();
    for (const unit& each : units) {
        if (value != 0 && value % each.factor == 0) best = &each;
    }
    return fmt::format("{}{}", value / best->factor, best->name);
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view white = " \t\r\n";
    const std::size_t begin = text.find_first_not_of(white);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

}  // namespace

parsed<std::chrono::milliseconds> parse_duration(std::string_view text) {
    const auto value = number_with_unit(text, duration_units);
    if (!value) return std::unexpected("must be a whole number with a unit, such as 500ms, 15s, 10m or 1h");
    return std::chrono::milliseconds(static_cast<std::int64_t>(*value));
}

parsed<std::uint64_t> parse_size(std::string_view text) {
    const auto value = number_with_unit(text, size_units);
    if (!value) return std::unexpected("must be a number of bytes such as 65536, 64KiB, 32MiB or 1GiB");
    return *value;
}

parsed<std::uint64_t> parse_count(std::string_view text) {
    const auto value = number_with_unit(text, std::span(size_units).first(1));
    if (!value) return std::unexpected("must be a whole number");
    return *value;
}

parsed<address> parse_address(std::string_view text) {
    const auto refuse = [](std::string_view why) {
        return std::unexpected(
            fmt::format("must be an address and a port such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080; {}", why));
    };
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return refuse("the port is missing");
    std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    address made;
    made.port = 0;
    const auto [end, problem] = std::from_chars(port.data(), port.data() + port.size(), made.port);
    if (port.empty() || problem != std::errc() || end != port.data() + port.size()) {
        return refuse("the port must be a number from 0 to 65535 (0: any free one)");
    }
    in6_addr ignored{};
    const bool brackets = host.starts_with('[') && host.ends_with(']');
    if (brackets) host = host.substr(1, host.size() - 2);
    made.host = host;
    if (host.empty()) return refuse("the address is missing (0.0.0.0 listens on all)");
    const bool v6 = inet_pton(AF_INET6, made.host.c_str(), &ignored) == 1;
    if (v6 && !brackets) return refuse("an IPv6 address stands in brackets");
    if (brackets ? !v6 : made.host != "localhost" && inet_pton(AF_INET, made.host.c_str(), &ignored) != 1) {
        return refuse("the host must be an IP address or localhost");
    }
    return made;
}

std::vector<std::string_view> split_list(std::string_view text) {
    std::vector<std::string_view> items;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        if (const std::string_view item = trimmed(text.substr(0, comma)); !item.empty()) items.push_back(item);
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return items;
}

std::string duration_text(std::chrono::milliseconds value) {
    if (value.count() == 0) return "0s";
    return with_largest_unit(static_cast<std::uint64_t>(value.count()), duration_units);
}

std::string size_text(std::uint64_t value) { return with_largest_unit(value, size_units); }

std::string address_text(const address& value) {
    const bool v6 = value.host.find(':') != std::string::npos;
    return v6 ? fmt::format("[{}]:{}", value.host, value.port) : fmt::format("{}:{}", value.host, value.port);
}

bool is_loopback(std::string_view host) {
    if (host == "localhost") return true;
    const std::string name(host);
    in_addr v4{};
    if (inet_pton(AF_INET, name.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    in6_addr v6{};
    return inet_pton(AF_INET6, name.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace config
