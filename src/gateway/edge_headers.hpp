// What proxies in front of us write into requests. It speaks of the way that a request took through somebody's network
// and is for us at most: it does not go upstream.
#pragma once

#include "http/head.hpp"

namespace gateway {

// The rest of `is_of_the_edge`, for a name that begins as one of them does.
bool is_name_of_the_edge(std::string_view name);

// True for these request headers, and for no other:
//
//   x-origin-verify                              the secret between CloudFront and the load balancer
//   forwarded, x-forwarded-*, x-real-ip, x-client-ip, x-cluster-client-ip, x-original-forwarded-for, true-client-ip,
//   fastly-client-ip, cf-connecting-ip, cf-connecting-ipv6
//                                                addresses and names of clients and of hosts inside
//   via                                          hosts inside; ours would be the next one (docs/protocol.md)
//   x-amzn-*, x-amz-cf-*, cloudfront-*           load balancer and CloudFront: traces, place, TLS, who was signed in
//   cf-ray, cf-ipcountry, cf-visitor             the same of Cloudflare
//
// Everything else is the client's and passes as it came: `anthropic-*`, `x-stainless-*`, `user-agent`, `traceparent`,
// `x-request-id`, what nobody knows; `x-amz-*` and `cf-*` besides the above, for an upstream that reads them
// (`cf-aig-*`); and `cdn-loop`, which may never be taken away (RFC 8586).
//
// On the way of every request: the first letters decide for nearly all names.
inline bool is_of_the_edge(const http::header& candidate) {
    if (candidate.id != http::field::other)
        return candidate.id == http::field::via || candidate.id == http::field::x_forwarded_proto;
    const char first = static_cast<char>(candidate.name.front() | 0x20);
    if (first == 'x') {
        const char third = candidate.name.size() > 2 ? static_cast<char>(candidate.name[2] | 0x20) : ' ';
        if (third == 's') return false;  // x-stainless-*, of which SDKs send many
    } else if (first != 'c' && first != 'f' && first != 't') {
        return false;
    }
    return is_name_of_the_edge(candidate.name);
}

}  // namespace gateway
