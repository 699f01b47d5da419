// Arbitrary bytes as a request or response head. Properties: no crash; the end is found at the same place whatever the
// split; an accepted request has unambiguous framing and lines that lie inside the head.
#include <cstdlib>
#include <string_view>

#include "http/head.hpp"

namespace {
void check(bool holds) {
    if (!holds) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const http::head_limits limits{4096, 32};
    http::head_search whole;
    const auto at_once = http::head_end(bytes, limits, whole);
    http::head_search stepwise;
    base::result<bool> in_steps = false;
    for (std::size_t end = 0; end <= size && in_steps && !*in_steps; ++end)
        in_steps = http::head_end(bytes.substr(0, end), limits, stepwise);
    if (!at_once || !*at_once) {
        // Pieces may show an error earlier or a limit later, but never an end that the whole does not have.
        check(!in_steps || !*in_steps);
        return 0;
    }
    check(in_steps && *in_steps && stepwise.line_begin == whole.line_begin);

    const std::string_view head_bytes = bytes.substr(0, whole.line_begin);
    http::request_head request;
    if (http::parse_request(head_bytes, limits, request)) {
        int lengths = 0, codings = 0, hosts = 0;
        for (const auto& entry : request.headers) {
            check(!entry.name.empty() && entry.line.data() >= bytes.data() &&
                  entry.line.data() + entry.line.size() <= bytes.data() + size);
            check(entry.line.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
            lengths += entry.id == http::field::content_length;
            codings += entry.id == http::field::transfer_encoding;
            hosts += entry.id == http::field::host;
        }
        check(lengths + codings <= 1 && hosts <= 1 && request.target.starts_with('/'));
        check((request.framing == http::body_framing::chunked) == (codings == 1));
    }
    http::response_head response;
    if (http::parse_response(head_bytes, limits, size % 2 == 0, response))
        check(response.status >= 100 && response.status <= 999);
    return 0;
}
