#include "governance/jwt_parts.hpp"

#include <array>
#include <cstdint>

namespace governance {
namespace {

constexpr std::uint8_t foreign = 0xff;

constexpr std::array<std::uint8_t, 256> make_values() {
    std::array<std::uint8_t, 256> values{};
    values.fill(foreign);
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (std::size_t at = 0; at < alphabet.size(); ++at)
        values[static_cast<unsigned char>(alphabet[at])] = static_cast<std::uint8_t>(at);
    return values;
}
constexpr auto values = make_values();

}  // namespace

json_ptr parse_json_object(std::string_view text) {
    json_error_t ignored;  // it quotes the text, which may be a token's
    json_ptr parsed(json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, &ignored));
    return json_is_object(parsed.get()) ? std::move(parsed) : nullptr;
}

std::optional<std::string_view> string_in(const json_t* object, std::string_view name) {
    const json_t* const found = json_object_getn(object, name.data(), name.size());
    if (!json_is_string(found)) return {};
    return std::string_view(json_string_value(found), json_string_length(found));
}

std::optional<std::string> decode_base64url(std::string_view text) {
    if (text.size() % 4 == 1) return {};
    std::string bytes;
    bytes.reserve(text.size() * 3 / 4);
    std::uint32_t pending = 0;
    unsigned pending_bits = 0;
    for (const char character : text) {
        const std::uint8_t value = values[static_cast<unsigned char>(character)];
        if (value == foreign) return {};
        pending = (pending << 6 | value) & 0xffff;
        pending_bits += 6;
        if (pending_bits >= 8) {
            pending_bits -= 8;
            bytes.push_back(static_cast<char>(pending >> pending_bits & 0xff));
        }
    }
    if ((pending & ((1u << pending_bits) - 1)) != 0) return {};
    return bytes;
}

}  // namespace governance
