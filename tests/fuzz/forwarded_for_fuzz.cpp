// Arbitrary bytes as lines of x-forwarded-for. Properties: no crash; the client is what a plain reading of the joined
// list from the right finds, whatever stands to the left of it; what is found has one text, which reads as the same.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/client_address.hpp"

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

// The values between line feeds, each a header line.
http::request_head head_of(std::string_view text) {
    http::request_head head;
    for (bool more = true; more;) {
        const std::size_t end = text.find('\n');
        more = end != text.npos;
        const std::string_view value = text.substr(0, end);
        head.headers.push_back({.name = "x-forwarded-for", .value = value, .line = value, .id = http::field::other});
        text.remove_prefix(more ? end + 1 : text.size());
    }
    return head;
}

std::vector<std::string> entries_of(std::string_view text) {
    std::vector<std::string> entries(1);
    for (const char c : text) {
        if (c == ',' || c == '\n') {
            entries.emplace_back();
        } else {
            entries.back() += c;
        }
    }
    for (auto& each : entries) {
        each.erase(0, each.find_first_not_of(" \t"));
        each.erase(each.find_last_not_of(" \t") + 1);
    }
    return entries;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto head = head_of(text);
    const auto entries = entries_of(text);
    const std::string longer = "10.0.0.1, \n[::1]:2,nonsense\n" + std::string(text);
    const auto longer_head = head_of(longer);
    for (std::uint32_t hops = 0; hops <= 4; ++hops) {
        std::optional<governance::ip_address> expected;
        std::uint32_t good = 0;
        while (good < hops && good < entries.size()) {
            const auto address = gateway::read_forwarded_entry(entries[entries.size() - 1 - good]);
            if (!address) break;
            expected = address;
            ++good;
        }
        const auto found = gateway::client_address(head, hops);
        check(found == expected);
        // Of what anybody can write to the left nothing is seen before all hops are used up.
        if (good == hops || good < entries.size()) check(gateway::client_address(longer_head, hops) == expected);
        if (found) {
            const std::string told = governance::text_of(*found);
            check(governance::parse_ip_address(told) == found);
        }
    }
    return 0;
}
