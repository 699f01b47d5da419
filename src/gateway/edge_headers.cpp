#include "gateway/edge_headers.hpp"

namespace gateway {

bool is_name_of_the_edge(std::string_view name) {
    const auto is = [name](std::string_view known) { return http::equals_lower(name, known); };
    const auto begins = [name](std::string_view known) {
        return http::equals_lower(name.substr(0, known.size()), known);
    };
    switch (name.front() | 0x20) {
        case 'c':
            return begins("cloudfront-") || is("cf-connecting-ip") || is("cf-connecting-ipv6") || is("cf-ray") ||
                   is("cf-ipcountry") || is("cf-visitor");
        case 'f':
            return is("forwarded") || is("fastly-client-ip");
        case 't':
            return is("true-client-ip");
        case 'x':
            break;
        default:
            return false;
    }
    if (name.size() < 3) return false;
    switch (name[2] | 0x20) {
        case 'a':
            return begins("x-amzn-") || begins("x-amz-cf-");
        case 'c':
            return is("x-client-ip") || is("x-cluster-client-ip");
        case 'f':
            return begins("x-forwarded-");
        case 'o':
            return is("x-origin-verify") || is("x-original-forwarded-for");
        case 'r':
            return is("x-real-ip");
        default:
            return false;
    }
}

}  // namespace gateway
