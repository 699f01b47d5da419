// Who the client is when proxies stand between it and us (docs/adr/2026-11-25-counted-proxies.md). Decisions of values.
//
// Each proxy appends the address of whom it heard to `x-forwarded-for`. So the last entry was written by the proxy that
// is connected to us, the one before it by the proxy before that, and what is further to the left than our proxies
// reach was written by anybody. We believe a connection that comes from one of our proxies, and as many entries from
// the right as there are proxies of ours on the way.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "governance/ip_range.hpp"
#include "http/head.hpp"

namespace gateway {

// `peer`: the textual address of the other end of the connection.
bool is_trusted_proxy(std::string_view peer, std::span<const governance::ip_range> trusted);

// The address farthest away that `hops` proxies vouch for: the entry so many from the right, or the last one before it
// when entries are missing or malformed. Nothing when there is none, as for a proxy's own health checks. Several lines
// are one list; at most `hops` entries are looked at, however many there are.
std::optional<governance::ip_address> client_address(const http::request_head& head, std::uint32_t hops);

// One entry: an address, with or without port and brackets. Nothing when it is anything else.
std::optional<governance::ip_address> read_forwarded_entry(std::string_view entry);

}  // namespace gateway
