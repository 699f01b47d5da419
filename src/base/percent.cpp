#include "base/percent.hpp"

namespace base {

std::optional<std::string> percent_decoded(std::string_view text, plus_sign plus) {
    std::string made;
    made.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%') {
            const int byte = escaped_byte(text.substr(i));
            if (byte < 0) return std::nullopt;
            made.push_back(static_cast<char>(byte));
            i += 2;
        } else {
            made.push_back(text[i] == '+' && plus == plus_sign::space ? ' ' : text[i]);
        }
    }
    return made;
}

}  // namespace base
