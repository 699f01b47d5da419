// CRC-32C (Castagnoli) of the journal's records: one instruction for eight bytes where the processor has it. A plain
// function; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ledger {

std::uint32_t crc32c(const std::byte* data, std::size_t bytes);

// The same by table, as processors without the instruction compute it; exposed for tests.
std::uint32_t crc32c_by_table(const std::byte* data, std::size_t bytes);

}  // namespace ledger
