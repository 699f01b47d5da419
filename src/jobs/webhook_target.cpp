#include "jobs/webhook_target.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <new>
#include <span>

namespace jobs {
namespace {

struct named_range {
    std::string_view range;
    std::string_view what;
};

// What no webhook may reach, after the registries of special-purpose addresses, and what clouds hide behind addresses
// that look public. IPv6 has one public part, 2000::/3: what lies outside is refused anyway, and stands here for its
// name only.
constexpr named_range refused_ranges[] = {
    {"0.0.0.0/8", "unspecified"},
    {"10.0.0.0/8", "private"},
    {"100.64.0.0/10", "shared address space"},
    {"127.0.0.0/8", "loopback"},
    {"169.254.0.0/16", "link-local"},
    {"172.16.0.0/12", "private"},
    {"192.0.0.0/24", "reserved"},
    {"192.0.2.0/24", "documentation"},
    {"192.88.99.0/24", "6to4 relay"},
    {"192.168.0.0/16", "private"},
    {"198.18.0.0/15", "benchmarking"},
    {"198.51.100.0/24", "documentation"},
    {"203.0.113.0/24", "documentation"},
    {"224.0.0.0/4", "multicast"},
    {"240.0.0.0/4", "reserved"},
    {"168.63.129.16/32", "cloud metadata"},
    {"::/128", "unspecified"},
    {"::1/128", "loopback"},
    {"64:ff9b:1::/48", "local translation"},
    {"fc00::/7", "private"},
    {"fe80::/10", "link-local"},
    {"fec0::/10", "site-local"},
    {"ff00::/8", "multicast"},
    {"2001::/23", "reserved"},  // Teredo, benchmarking and ORCHID among them
    {"2001:db8::/32", "documentation"},
    {"3fff::/20", "documentation"},
};

struct range_with_name {
    governance::ip_range range;
    std::string_view what;
};

governance::ip_range range_of(std::string_view text) { return governance::parse_ip_range(text).value(); }

std::span<const range_with_name> all_refused() {
    static const std::vector<range_with_name> parsed = [] {
        std::vector<range_with_name> made;
        for (const auto& each : refused_ranges) made.push_back({range_of(each.range), each.what});
        return made;
    }();
    return parsed;
}

ip_address ipv4_at(const ip_address& inside, std::size_t offset) {
    ip_address made{};
    made[10] = made[11] = 0xFF;
    std::copy_n(inside.begin() + static_cast<std::ptrdiff_t>(offset), 4, made.begin() + 12);
    return made;
}

// The IPv4 address that packets to this IPv6 address end up at: 6to4, NAT64, ISATAP.
std::optional<ip_address> tunnelled(const ip_address& address) {
    static const auto nat64 = range_of("64:ff9b::/96"), six_to_four = range_of("2002::/16");
    if (six_to_four.contains(address)) return ipv4_at(address, 2);
    if (nat64.contains(address)) return ipv4_at(address, 12);
    const bool isatap = (address[8] & 0xFD) == 0 && address[9] == 0 && address[10] == 0x5E && address[11] == 0xFE;
    if (isatap) return ipv4_at(address, 12);
    return std::nullopt;
}

struct url_free {
    void operator()(CURLU* what) const { curl_url_cleanup(what); }
};

// A URL in the parts that libcurl, which will send the request, finds in it: a second reader could find others.
class url_parts {
public:
    explicit url_parts(std::string_view text) : url_(curl_url()) {
        if (!url_) throw std::bad_alloc();
        is_whole_ = curl_url_set(url_.get(), CURLUPART_URL, std::string(text).c_str(), 0) == CURLUE_OK;
    }
    bool is_whole() const { return is_whole_; }
    std::optional<std::string> part(CURLUPart which, unsigned flags = 0) const {
        char* found = nullptr;
        if (curl_url_get(url_.get(), which, &found, flags) != CURLUE_OK || !found) return std::nullopt;
        const std::unique_ptr<char, decltype(&curl_free)> owned(found, curl_free);
        return std::string(found);
    }

private:
    std::unique_ptr<CURLU, url_free> url_;
    bool is_whole_ = false;
};

std::string lower(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

// Of an address in a URL, which has brackets around IPv6.
std::optional<ip_address> literal_of(std::string_view host) {
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return governance::parse_ip_address(host);
}

}  // namespace

base::result<webhook_rules> webhook_rules::read(const webhook_options& options) {
    webhook_rules made;
    made.allow_http_ = options.allow_http;
    for (std::string_view rest = options.allow; !rest.empty();) {
        const std::string_view item = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), item.size() + 1));
        if (item.empty()) continue;
        const auto range = governance::parse_ip_range(item);
        if (!range) return base::fail(base::errc::invalid_argument, fmt::format("{} is no address range", item));
        made.allowed_.push_back(*range);
    }
    return made;
}

std::optional<std::string> webhook_rules::url_problem(std::string_view url) const {
    constexpr std::size_t host_bytes_max = 253;  // of a name in the DNS
    if (url.size() > webhook_url_bytes_max)
        return fmt::format("The webhook's URL must have at most {} bytes.", webhook_url_bytes_max);
    const bool plain = std::ranges::all_of(url, [](char c) { return c > 0x20 && c < 0x7F && c != '\\'; });
    if (!plain) return "The webhook's URL must be of ASCII characters without white space and backslashes.";
    const std::string start = lower(std::string(url.substr(0, 8)));
    const bool tls = start == "https://", bare = start.starts_with("http://");
    if (!tls && !(bare && allow_http_))
        return allow_http_ ? "The webhook's URL must begin with https:// or http://."
                           : "The webhook's URL must begin with https://.";
    const std::string_view behind = url.substr(tls ? 8 : 7);
    const url_parts parts(url);
    if (!parts.is_whole() || behind.starts_with('/')) return "The webhook's URL is not well-formed.";
    // An `@` in the authority is a user even when it is empty; one in the path or the query is not.
    if (behind.substr(0, behind.find_first_of("/?#")).find('@') != behind.npos)
        return "The webhook's URL must not have a user or a password.";
    if (behind.find('#') != behind.npos) return "The webhook's URL must not have a fragment.";
    const auto host = parts.part(CURLUPART_HOST), port = parts.part(CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (!host || host->empty() || host->size() > host_bytes_max) return "The webhook's URL must have a host.";
    if (!port || *port == "0") return "The webhook's URL must have a port from 1 to 65535.";
    if (parts.part(CURLUPART_ZONEID)) return "The webhook's URL must not name a network interface.";
    if (const auto address = literal_of(*host)) {
        if (const auto why = address_problem(*address))
            return fmt::format("The webhook's URL has an address that may not be reached: {}.", *why);
    }
    return std::nullopt;
}

std::optional<std::string_view> webhook_rules::address_problem(const ip_address& address) const {
    const auto covers = [&](const governance::ip_range& range) { return range.contains(address); };
    if (std::ranges::any_of(allowed_, covers)) return std::nullopt;
    for (const auto& refused : all_refused())
        if (refused.range.contains(address)) return refused.what;
    static const auto ipv4 = range_of("0.0.0.0/0"), global = range_of("2000::/3");
    if (ipv4.contains(address)) return std::nullopt;
    const auto inner = tunnelled(address);
    if (inner) {
        if (const auto why = address_problem(*inner)) return why;
    }
    static const auto nat64 = range_of("64:ff9b::/96");
    if (!global.contains(address) && !nat64.contains(address)) return "not public";
    return std::nullopt;
}

std::string webhook_endpoint(std::string_view url) {
    const url_parts parts(url);
    const auto scheme = parts.part(CURLUPART_SCHEME), host = parts.part(CURLUPART_HOST),
               port = parts.part(CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (!scheme || !host || !port) return {};
    return lower(fmt::format("{}://{}:{}", *scheme, *host, *port));
}

}  // namespace jobs
