#include "ledger/checksum.hpp"

#include <array>
#include <cstring>

namespace ledger {
namespace {

constexpr std::uint32_t polynomial = 0x82f63b78;  // reflected

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
        table[byte] = value;
    }
    return table;
}
constexpr std::array<std::uint32_t, 256> table = make_table();

#if defined(__x86_64__)
const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;

__attribute__((target("sse4.2"))) std::uint32_t by_instruction(const std::byte* data, std::size_t bytes) {
    std::uint64_t sum = 0xffffffff;
    for (; bytes >= 8; data += 8, bytes -= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, data, 8);
        sum = __builtin_ia32_crc32di(sum, word);
    }
    auto rest = static_cast<std::uint32_t>(sum);
    for (; bytes > 0; ++data, --bytes) rest = __builtin_ia32_crc32qi(rest, static_cast<unsigned char>(*data));
    return ~rest;
}
#endif

}  // namespace

std::uint32_t crc32c_by_table(const std::byte* data, std::size_t bytes) {
    std::uint32_t sum = 0xffffffff;
    for (; bytes > 0; ++data, --bytes) sum = (sum >> 8) ^ table[(sum ^ static_cast<std::uint32_t>(*data)) & 0xff];
    return ~sum;
}

std::uint32_t crc32c(const std::byte* data, std::size_t bytes) {
#if defined(__x86_64__)
    if (has_instruction) return by_instruction(data, bytes);
#endif
    return crc32c_by_table(data, bytes);
}

}  // namespace ledger
