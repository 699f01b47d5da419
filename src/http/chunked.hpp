// Reads the chunked transfer coding (RFC 9112 7.1) strictly, in place, at any split of the input. Chunk extensions and
// trailers are checked for shape, bounded and dropped. No I/O; one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace http {

class chunk_decoder {
public:
    static constexpr std::size_t line_bytes_max = 4096;     // a chunk size line with its extensions
    static constexpr std::size_t trailer_bytes_max = 8192;  // all trailers

    enum class status : std::uint8_t { more, complete, malformed };

    struct outcome {
        status state;
        std::size_t consumed;  // input bytes read; less than given only when complete or malformed
        std::size_t payload;   // payload bytes, moved to the front of the input
    };

    outcome decode(std::span<char> bytes);

private:
    enum class at : std::uint8_t { size, extension, size_lf, data, data_cr, data_lf, trailer, trailer_lf, done };

    at at_ = at::size;
    std::uint8_t digits_ = 0;
    std::uint64_t left_ = 0;
    std::size_t line_bytes_ = 0;
    std::size_t trailer_bytes_ = 0;
    std::string trailer_line_;
};

// Writes the size line of a chunk ("1a2b\r\n") for `size` > 0 into `into`; returns its length. 16 + 2 bytes suffice.
std::size_t chunk_size_line(std::size_t size, std::span<char, 18> into);

}  // namespace http
