// Arbitrary bytes as a chunked body. Properties: no crash; the same payload, state and end at any split; what is
// decoded and framed again decodes to itself.
#include <cstdlib>
#include <string>

#include "http/chunked.hpp"

namespace {

struct decoded {
    std::string payload;
    http::chunk_decoder::status state = http::chunk_decoder::status::more;
    std::size_t consumed = 0;
};

decoded decode(std::string_view bytes, std::size_t step) {
    http::chunk_decoder decoder;
    decoded all;
    while (!bytes.empty() && all.state == http::chunk_decoder::status::more) {
        std::string piece(bytes.substr(0, step));
        bytes.remove_prefix(piece.size());
        const auto outcome = decoder.decode(piece);
        if (outcome.payload > outcome.consumed || outcome.consumed > piece.size()) std::abort();
        all.payload.append(piece, 0, outcome.payload);
        all.consumed += outcome.consumed;
        all.state = outcome.state;
    }
    return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const decoded whole = decode(bytes, size + 1);
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
        const decoded pieces = decode(bytes, step);
        if (pieces.payload != whole.payload || pieces.state != whole.state || pieces.consumed != whole.consumed)
            std::abort();
    }
    if (whole.state == http::chunk_decoder::status::complete && !whole.payload.empty()) {
        std::array<char, 18> line;
        const std::size_t line_size = http::chunk_size_line(whole.payload.size(), line);
        const std::string again = std::string(line.data(), line_size) + whole.payload + "\r\n0\r\n\r\n";
        const decoded twice = decode(again, again.size());
        if (twice.payload != whole.payload || twice.state != http::chunk_decoder::status::complete) std::abort();
    }
    return 0;
}
