// Text looked at 64 bytes at a time: vectors of bytes whose comparisons become one bit a byte. The same source is
// compiled for wider vectors too, and the loader picks what the processor has. GCC has no vectors of bool: there
// `has_wide_vectors` is 0, and the plain way does everything.
#pragma once

#if defined(__clang__)
#define has_wide_vectors 1

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define always_inline inline __attribute__((always_inline))
#if defined(__x86_64__) && !__has_feature(thread_sanitizer)  // TSan is not ready when the loader picks
#define for_wide_vectors __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define for_wide_vectors
#endif

namespace base {

constexpr std::ptrdiff_t block_bytes = 64;
using block = unsigned char __attribute__((ext_vector_type(64)));
using block_bits = bool __attribute__((ext_vector_type(64)));

always_inline std::uint64_t where(const block& bytes, char wanted) {
    return std::bit_cast<std::uint64_t>(
        __builtin_convertvector(bytes == static_cast<unsigned char>(wanted), block_bits));
}

always_inline std::uint64_t where_below(const block& bytes, char bound) {
    return std::bit_cast<std::uint64_t>(__builtin_convertvector(bytes < static_cast<unsigned char>(bound), block_bits));
}

}  // namespace base

#else
#define has_wide_vectors 0
#define for_wide_vectors
#endif
