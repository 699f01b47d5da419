#include "http/chunked.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/percent.hpp"
#include "http/head.hpp"

namespace http {
namespace {

// Fields that decide framing, routing or credentials have no business behind the body (RFC 9110 6.5.1).
bool forbidden_trailer(field id) {
    switch (id) {
        case field::authorization:
        case field::connection:
        case field::content_length:
        case field::content_type:
        case field::expect:
        case field::host:
        case field::te:
        case field::trailer:
        case field::transfer_encoding:
        case field::x_api_key:
            return true;
        default:
            return false;
    }
}

}  // namespace

chunk_decoder::outcome chunk_decoder::decode(std::span<char> bytes) {
    std::size_t in = 0;
    std::size_t out = 0;
    const auto malformed = [&] { return outcome{status::malformed, in, out}; };
    while (in < bytes.size() && at_ != at::done) {
        const char c = bytes[in];
        switch (at_) {
            case at::size: {
                const int digit = base::hex_digit(c);
                if (digit >= 0) {
                    if (++digits_ > 15) return malformed();
                    left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
                } else if (digits_ == 0) {
                    return malformed();
                } else if (c == ';') {
                    at_ = at::extension;
                } else if (c == '\r') {
                    at_ = at::size_lf;
                } else {
                    return malformed();
                }
                ++in;
                break;
            }
            case at::extension:
                if (c == '\r') {
                    at_ = at::size_lf;
                } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f ||
                           ++line_bytes_ > line_bytes_max) {
                    return malformed();
                }
                ++in;
                break;
            case at::size_lf:
                if (c != '\n') return malformed();
                ++in;
                digits_ = 0;
                line_bytes_ = 0;
                at_ = left_ > 0 ? at::data : at::trailer;
                break;
            case at::data: {
                const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - in));
                if (in != out) std::memmove(bytes.data() + out, bytes.data() + in, step);
                in += step;
                out += step;
                left_ -= step;
                if (left_ == 0) at_ = at::data_cr;
                break;
            }
            case at::data_cr:
                if (c != '\r') return malformed();
                ++in;
                at_ = at::data_lf;
                break;
            case at::data_lf:
                if (c != '\n') return malformed();
                ++in;
                at_ = at::size;
                break;
            case at::trailer:
                if (c == '\r') {
                    at_ = at::trailer_lf;
                } else if (c == '\n' || ++trailer_bytes_ > trailer_bytes_max) {
                    return malformed();
                } else {
                    trailer_line_.push_back(c);
                }
                ++in;
                break;
            case at::trailer_lf: {
                if (c != '\n') return malformed();
                ++in;
                if (trailer_line_.empty()) {
                    at_ = at::done;
                    break;
                }
                header parsed;
                if (!parse_header_line(trailer_line_, parsed) || forbidden_trailer(parsed.id)) return malformed();
                trailer_line_.clear();
                at_ = at::trailer;
                break;
            }
            case at::done:
                break;
        }
    }
    return {at_ == at::done ? status::complete : status::more, in, out};
}

std::size_t chunk_size_line(std::size_t size, std::span<char, 18> into) {
    char* const end = std::to_chars(into.data(), into.data() + 16, size, 16).ptr;
    end[0] = '\r';
    end[1] = '\n';
    return static_cast<std::size_t>(end - into.data()) + 2;
}

}  // namespace http
