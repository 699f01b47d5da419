// What the journal's files hold: the bytes of one finished attempt, one refusal, one open attempt, and back again.
//
// A record is a head (length, CRC-32C, kind), a block of numbers, the lengths of its texts, and the texts. Everything
// is bounded by the named lengths below: a longer text is cut between two characters. All texts are valid UTF-8 without
// NUL whatever they were made of, because a database refuses a whole batch for one bad byte. Records are read by the
// machine that wrote them (byte order), and by later releases: a change of the layout changes `layout_version`.
// Plain functions of bytes without allocation; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "ledger/attempt.hpp"
#include "ledger/journal.hpp"

namespace ledger {

inline constexpr char layout_version[9] = "cpjrnl01";  // begins every file
inline constexpr std::size_t record_bytes_max = 3072;
inline constexpr std::size_t slot_bytes = 512;
inline constexpr std::size_t iterations_max = 32;  // written out one by one; their sums are always whole

enum class record_kind : std::uint8_t { attempt = 1, refusal = 2 };

// The texts of an attempt in their order on disk. The first four are what usage is summed up by, in one piece.
enum class text : std::uint8_t {
    team_id,
    key_id,
    model,
    tags,
    request_id,
    price_table,
    model_asked,
    route,
    reason,
    stop_reason,
    subject,
    user_agent,
    upstream_request_id,
    message_id,
    service_tier,
    inference_geo,
    speed,
};
inline constexpr std::size_t texts = 17;

// Longest length of each, in bytes. Ids of ours are at most 31.
inline constexpr std::array<std::uint16_t, texts> text_bytes_max = {
    128,  // team_id
    128,  // key_id
    96,   // model
    512,  // tags: cut after a whole element of the list
    64,   // request_id
    32,   // price_table
    96,   // model_asked
    64,   // route
    48,   // reason
    32,   // stop_reason
    128,  // subject
    160,  // user_agent
    64,   // upstream_request_id
    64,   // message_id
    16,   // service_tier
    16,   // inference_geo
    16,   // speed
};

struct counts {
    std::uint64_t input = 0;
    std::uint64_t write_5m = 0;  // writes without a known time to live included
    std::uint64_t write_1h = 0;
    std::uint64_t read = 0;
    std::uint64_t output = 0;
};

// What was billed: the sum over the iterations when there are any, else the top level.
counts billed(const anthropic::usage& usage);

struct attempt_numbers {
    std::int64_t started_ms = 0;
    std::int64_t finished_ms = 0;
    base::pico_dollars cost = 0;
    base::pico_dollars cost_low = 0;
    base::pico_dollars cost_high = 0;
    base::pico_dollars hold = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    std::uint64_t overhead_us = 0;
    std::uint64_t total_us = 0;
    counts tokens;
    std::uint64_t thinking_tokens = 0;
    std::uint64_t web_searches = 0;
    std::uint64_t web_fetches = 0;
    std::uint32_t number = 0;
    std::int32_t status = 0;
    outcome result = outcome::failed;
    bool stream = false;
    bool unknown_model = false;
    std::uint8_t accounts = 0;
    std::uint16_t iterations = 0;      // written out
    std::uint16_t iterations_cut = 0;  // that had no room
};

// A record as it lies in the journal. Views into it.
struct attempt_view {
    attempt_numbers numbers;
    std::array<std::string_view, texts> text_of;
    const std::byte* accounts = nullptr;  // numbers.accounts times an account_id, unaligned
    std::string_view iterations;          // for read_iteration
    std::string_view summed_by;           // team, key, model and tags in one piece

    std::string_view operator[](text which) const { return text_of[static_cast<std::size_t>(which)]; }
};

struct iteration_view {
    std::string_view type;
    std::string_view model;
    counts tokens;
};
// Takes the first iteration off `left`.
iteration_view read_iteration(std::string_view& left);

struct refusal_view {
    std::int64_t at_ms = 0;
    std::int32_t status = 0;
    std::string_view request_id;
    std::string_view team_id;
    std::string_view key_id;
    std::string_view model;
    std::string_view reason;
    std::string_view detail;
};

// How a record will be laid out: at most record_bytes_max bytes, a multiple of 8.
struct attempt_plan {
    std::size_t bytes = 0;
    std::array<std::uint16_t, texts> lengths{};
    std::uint16_t iterations = 0;
    std::uint16_t iteration_bytes = 0;
    bool tags_closed = true;  // false: they were cut and lack their "]", which is counted in the length
};
attempt_plan plan(const attempt& done, std::size_t accounts);
std::size_t record_bytes(const refusal& what);

// Writes the record: `to` has its bytes of room. Start and number are those of the open attempt. `generation` is the
// segment's: it is part of the checksum.
void write_record(std::byte* to, const attempt_plan& as, const attempt& done, std::int64_t started_ms,
                  std::uint32_t number, std::span<const account_id> accounts, std::uint32_t generation = 0);
void write_record(std::byte* to, const refusal& what, std::uint32_t generation = 0);

// The length of the whole record that `from` begins with; 0: none (nothing written, torn, or of another generation).
std::size_t whole_record(std::span<const std::byte> from, std::uint32_t generation = 0);
record_kind kind_of(const std::byte* record);
std::int64_t time_of(const std::byte* record);  // when the attempt finished or the request was refused
attempt_view read_attempt(const std::byte* record);
refusal_view read_refusal(const std::byte* record);

// An open attempt in its slot. Ids, model and price table are whole; then tags, subject and so on while there is room.
struct slot_head {
    std::uint32_t open = 0;  // 0: free. Stored last by opening, first by freeing
    std::uint32_t checksum = 0;
    std::int64_t started_ms = 0;
    base::pico_dollars hold = 0;
    std::uint32_t number = 0;
    std::uint16_t bytes = 0;  // of the whole slot
    std::uint8_t stream = 0;
    std::uint8_t reserved = 0;
};
void open_slot(std::byte* slot, const attempt& about);
void free_slot(std::byte* slot);
bool slot_is_open(const std::byte* slot);
bool slot_is_whole(const std::byte* slot);
attempt_view read_slot(const std::byte* slot);  // outcome `lost`; finished_ms is left to the reader

static_assert(std::is_trivially_copyable_v<attempt_numbers> && std::is_trivially_copyable_v<slot_head>);

}  // namespace ledger
