#include "ledger/record.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <limits>

#include "ledger/checksum.hpp"
#include "ledger/plain_text.hpp"

namespace ledger {
namespace {

struct record_head {
    std::uint32_t bytes = 0;
    std::uint32_t checksum = 0;  // of what follows it
    record_kind kind = record_kind::attempt;
    std::uint8_t reserved = 0;
    std::uint16_t iteration_bytes = 0;
    std::uint32_t reserved_too = 0;
};
constexpr std::size_t checked_from = 8;  // after length and checksum, in records and in slots

using text_lengths = std::array<std::uint16_t, texts>;
constexpr std::size_t fixed_bytes = sizeof(record_head) + sizeof(attempt_numbers) + sizeof(text_lengths);

constexpr std::size_t iteration_fixed_bytes = sizeof(counts) + 2;
constexpr std::size_t iteration_text_bytes_max = 64;

constexpr std::size_t texts_bytes_max() {
    std::size_t sum = 0;
    for (const std::uint16_t bytes : text_bytes_max) sum += bytes;
    return sum;
}
static_assert(fixed_bytes + accounts_max * sizeof(account_id) + texts_bytes_max() < record_bytes_max,
              "a record always has room for all its texts");

constexpr std::size_t rounded(std::size_t bytes) { return (bytes + 7) / 8 * 8; }

template <class Value>
std::byte* put(std::byte* to, const Value& what) {
    std::memcpy(to, &what, sizeof what);
    return to + sizeof what;
}
std::byte* put_raw(std::byte* to, std::string_view what) {
    if (!what.empty()) std::memcpy(to, what.data(), what.size());
    return to + what.size();
}
std::byte* put_text(std::byte* to, std::string_view what) {
    std::byte* const end = put_raw(to, what);
    mend_text(reinterpret_cast<char*>(to), what.size());
    return end;
}
// Texts that lie side by side are looked at in one piece: hardly one of them needs to be mended.
void mend_texts(std::byte* begin, std::span<const std::uint16_t> lengths, const std::byte* end) {
    auto* at = reinterpret_cast<char*>(begin);
    if (is_plain_ascii(at, static_cast<std::size_t>(end - begin))) return;
    for (const std::uint16_t length : lengths) {
        mend_text(at, length);
        at += length;
    }
}
template <class Value>
Value get(const std::byte* from) {
    Value what;
    std::memcpy(&what, from, sizeof what);
    return what;
}
std::string_view view(const std::byte* from, std::size_t bytes) { return {reinterpret_cast<const char*>(from), bytes}; }

std::string_view model_of(const attempt& of) { return of.model.empty() ? of.model_asked : of.model; }

std::array<std::string_view, texts> texts_of(const attempt& of) {
    return {of.team_id,
            of.key_id,
            model_of(of),
            of.tags,
            of.request_id,
            of.price_table,
            of.model_asked,
            of.route,
            of.reason,
            of.stop_reason,
            of.subject,
            of.user_agent,
            of.upstream_request_id,
            of.message_id,
            of.usage.service_tier,
            of.usage.inference_geo,
            of.usage.speed};
}

counts counts_of(const anthropic::token_counts& tokens) {
    counts sum{.input = tokens.input_tokens, .read = tokens.cache_read_input_tokens, .output = tokens.output_tokens};
    const std::uint64_t split_5m = tokens.cache_creation_5m.value_or(0);
    const std::uint64_t split_1h = tokens.cache_creation_1h.value_or(0);
    const std::uint64_t whole = std::max(tokens.cache_creation_input_tokens, split_5m + split_1h);
    sum.write_1h = split_1h;
    sum.write_5m = whole - split_1h;
    return sum;
}

void finish_head(std::byte* record, record_head head, std::uint32_t generation) {
    std::memcpy(record, &head, sizeof head);
    head.checksum = crc32c(record + checked_from, head.bytes - checked_from) ^ generation;
    std::memcpy(record, &head, sizeof head);
}

void zero_padding(std::byte* record, const std::byte* end, std::size_t bytes) {
    const auto used = static_cast<std::size_t>(end - record);
    std::memset(record + used, 0, bytes - used);
}

std::string_view iteration_type(const anthropic::iteration& of) { return cut_text(of.type, iteration_text_bytes_max); }
std::string_view iteration_model(const anthropic::iteration& of) {
    return cut_text(of.model, iteration_text_bytes_max);
}

}  // namespace

counts billed(const anthropic::usage& usage) {
    if (usage.iterations.empty()) return counts_of(usage.tokens);
    counts sum;
    for (const anthropic::iteration& each : usage.iterations) {
        const counts one = counts_of(each.tokens);
        sum.input += one.input;
        sum.write_5m += one.write_5m;
        sum.write_1h += one.write_1h;
        sum.read += one.read;
        sum.output += one.output;
    }
    return sum;
}

attempt_plan plan(const attempt& done, std::size_t accounts) {
    attempt_plan made;
    const auto all = texts_of(done);
    std::size_t bytes = fixed_bytes + std::min(accounts, accounts_max) * sizeof(account_id);
    for (std::size_t i = 0; i < texts; ++i) {
        std::size_t length = all[i].size();
        if (i == static_cast<std::size_t>(text::tags)) {
            const cut_list tags = cut_tags(all[i], text_bytes_max[i]);
            made.tags_closed = tags.closed;
            length = tags.bytes();
        } else if (length > text_bytes_max[i]) {
            length = cut_text(all[i], text_bytes_max[i]).size();
        }
        made.lengths[i] = static_cast<std::uint16_t>(length);
        bytes += length;
    }
    const std::size_t before = bytes;
    for (const anthropic::iteration& each : done.usage.iterations) {
        const std::size_t size = iteration_fixed_bytes + iteration_type(each).size() + iteration_model(each).size();
        if (made.iterations == iterations_max || bytes + size > record_bytes_max) break;
        bytes += size;
        ++made.iterations;
    }
    made.iteration_bytes = static_cast<std::uint16_t>(bytes - before);
    made.bytes = rounded(bytes);
    return made;
}

void write_record(std::byte* to, const attempt_plan& as, const attempt& done, std::int64_t started_ms,
                  std::uint32_t number, std::span<const account_id> accounts, std::uint32_t generation) {
    const std::size_t listed = std::min(accounts.size(), accounts_max);
    const std::size_t iterations = done.usage.iterations.size();
    const attempt_numbers numbers{
        .started_ms = started_ms,
        .finished_ms = done.finished_ms,
        .cost = done.cost,
        .cost_low = done.cost_low,
        .cost_high = done.cost_high,
        .hold = done.hold,
        .bytes_in = done.bytes_in,
        .bytes_out = done.bytes_out,
        .overhead_us = done.overhead_us,
        .total_us = done.total_us,
        .tokens = billed(done.usage),
        .thinking_tokens = done.usage.thinking_tokens,
        .web_searches = done.usage.web_search_requests,
        .web_fetches = done.usage.web_fetch_requests,
        .number = number,
        .status = done.status,
        .result = done.result,
        .stream = done.stream,
        .unknown_model = done.unknown_model,
        .accounts = static_cast<std::uint8_t>(listed),
        .iterations = as.iterations,
        .iterations_cut = static_cast<std::uint16_t>(std::min<std::size_t>(iterations - as.iterations, 0xffff)),
    };
    std::byte* at = put(to + sizeof(record_head), numbers);
    at = put(at, as.lengths);
    for (const account_id account : accounts.first(listed)) at = put(at, account);
    const auto all = texts_of(done);
    std::byte* const first_text = at;
    for (std::size_t i = 0; i < texts; ++i) {
        if (i != static_cast<std::size_t>(text::tags)) {
            at = put_raw(at, all[i].substr(0, as.lengths[i]));
        } else if (const cut_list tags = cut_tags(all[i], text_bytes_max[i]); tags.closed) {
            at = put_raw(at, tags.kept);
        } else {
            at = put(put_raw(at, tags.kept), ']');
        }
    }
    mend_texts(first_text, as.lengths, at);
    for (std::size_t i = 0; i < as.iterations; ++i) {
        const anthropic::iteration& each = done.usage.iterations[i];
        const std::string_view type = iteration_type(each);
        const std::string_view model = iteration_model(each);
        at = put(at, counts_of(each.tokens));
        at = put(at, static_cast<std::uint8_t>(type.size()));
        at = put(at, static_cast<std::uint8_t>(model.size()));
        at = put_text(put_text(at, type), model);
    }
    zero_padding(to, at, as.bytes);
    finish_head(to, {.bytes = static_cast<std::uint32_t>(as.bytes), .iteration_bytes = as.iteration_bytes}, generation);
}

iteration_view read_iteration(std::string_view& left) {
    const auto* from = reinterpret_cast<const std::byte*>(left.data());
    iteration_view read;
    read.tokens = get<counts>(from);
    const std::size_t type = get<std::uint8_t>(from + sizeof(counts));
    const std::size_t model = get<std::uint8_t>(from + sizeof(counts) + 1);
    read.type = left.substr(iteration_fixed_bytes, type);
    read.model = left.substr(iteration_fixed_bytes + type, model);
    left.remove_prefix(iteration_fixed_bytes + type + model);
    return read;
}

namespace {

// Refusals: their numbers, then their texts. The time is the first, for time_of.
struct refusal_numbers {
    std::int64_t at_ms = 0;
    std::int32_t status = 0;
    std::array<std::uint16_t, 6> lengths{};
};
std::array<std::string_view, 6> texts_of(const refusal& what) {
    return {cut_text(what.request_id, 64), cut_text(what.team_id, 128), cut_text(what.key_id, 128),
            cut_text(what.model, 96),      cut_text(what.reason, 48),   cut_text(what.detail, 512)};
}

}  // namespace

std::size_t record_bytes(const refusal& what) {
    std::size_t bytes = sizeof(record_head) + sizeof(refusal_numbers);
    for (const std::string_view each : texts_of(what)) bytes += each.size();
    return rounded(bytes);
}

void write_record(std::byte* to, const refusal& what, std::uint32_t generation) {
    const auto all = texts_of(what);
    refusal_numbers numbers{.at_ms = what.at_ms, .status = what.status};
    std::byte* at = to + sizeof(record_head) + sizeof numbers;
    for (std::size_t i = 0; i < all.size(); ++i) {
        numbers.lengths[i] = static_cast<std::uint16_t>(all[i].size());
        at = put_text(at, all[i]);
    }
    put(to + sizeof(record_head), numbers);
    const std::size_t bytes = rounded(static_cast<std::size_t>(at - to));
    zero_padding(to, at, bytes);
    finish_head(to, {.bytes = static_cast<std::uint32_t>(bytes), .kind = record_kind::refusal}, generation);
}

std::size_t whole_record(std::span<const std::byte> from, std::uint32_t generation) {
    if (from.size() < sizeof(record_head)) return 0;
    const auto head = get<record_head>(from.data());
    if (head.bytes < sizeof(record_head) || head.bytes > from.size() || head.bytes > record_bytes_max) return 0;
    if (head.kind != record_kind::attempt && head.kind != record_kind::refusal) return 0;
    const std::uint32_t sum = crc32c(from.data() + checked_from, head.bytes - checked_from) ^ generation;
    return sum == head.checksum ? head.bytes : 0;
}

record_kind kind_of(const std::byte* record) { return get<record_head>(record).kind; }

std::int64_t time_of(const std::byte* record) {
    const bool is_attempt = kind_of(record) == record_kind::attempt;
    return get<std::int64_t>(record + sizeof(record_head) + (is_attempt ? offsetof(attempt_numbers, finished_ms) : 0));
}

attempt_view read_attempt(const std::byte* record) {
    attempt_view read;
    read.numbers = get<attempt_numbers>(record + sizeof(record_head));
    const auto lengths = get<text_lengths>(record + sizeof(record_head) + sizeof(attempt_numbers));
    const std::byte* at = record + fixed_bytes;
    read.accounts = at;
    at += read.numbers.accounts * sizeof(account_id);
    const std::byte* begin = at;
    for (std::size_t i = 0; i < texts; ++i) {
        read.text_of[i] = view(at, lengths[i]);
        at += lengths[i];
        if (i == static_cast<std::size_t>(text::tags))
            read.summed_by = view(begin, static_cast<std::size_t>(at - begin));
    }
    read.iterations = view(at, get<record_head>(record).iteration_bytes);
    return read;
}

refusal_view read_refusal(const std::byte* record) {
    const auto numbers = get<refusal_numbers>(record + sizeof(record_head));
    std::array<std::string_view, 6> all;
    const std::byte* at = record + sizeof(record_head) + sizeof numbers;
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = view(at, numbers.lengths[i]);
        at += numbers.lengths[i];
    }
    return {numbers.at_ms, numbers.status, all[0], all[1], all[2], all[3], all[4], all[5]};
}

namespace {

// The first four in one piece, as in a record. Tags leave room for request id and price table, which follow them.
constexpr std::array<text, 10> slot_texts = {text::team_id,    text::key_id,      text::model,       text::tags,
                                             text::request_id, text::price_table, text::model_asked, text::route,
                                             text::subject,    text::user_agent};
using slot_lengths = std::array<std::uint16_t, slot_texts.size()>;
constexpr std::size_t slot_fixed_bytes = sizeof(slot_head) + sizeof(slot_lengths);
static_assert(slot_fixed_bytes + 128 + 128 + 96 + 64 + 32 + 2 <= slot_bytes, "ids, model and price table are whole");

std::atomic_ref<std::uint32_t> open_mark(std::byte* slot) {
    return std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(slot));
}

}  // namespace

void open_slot(std::byte* slot, const attempt& about) {
    auto all = texts_of(about);
    if (all[static_cast<std::size_t>(text::model_asked)] == all[static_cast<std::size_t>(text::model)])
        all[static_cast<std::size_t>(text::model_asked)] = {};
    slot_lengths lengths{};
    std::byte* at = slot + slot_fixed_bytes;
    for (std::size_t i = 0; i < slot_texts.size(); ++i) {
        const auto which = static_cast<std::size_t>(slot_texts[i]);
        std::size_t room = static_cast<std::size_t>(slot + slot_bytes - at);
        const std::byte* begin = at;
        if (slot_texts[i] == text::tags) {
            room -= text_bytes_max[static_cast<std::size_t>(text::request_id)] +
                    text_bytes_max[static_cast<std::size_t>(text::price_table)];
            const cut_list tags = cut_tags(all[which], std::min<std::size_t>(room, text_bytes_max[which]));
            at = put_raw(at, tags.kept);
            if (!tags.closed) at = put(at, ']');
        } else {
            at = put_raw(at, cut_text(all[which], std::min<std::size_t>(room, text_bytes_max[which])));
        }
        lengths[i] = static_cast<std::uint16_t>(at - begin);
    }
    mend_texts(slot + slot_fixed_bytes, lengths, at);
    slot_head head{.started_ms = about.started_ms,
                   .hold = about.hold,
                   .number = about.number,
                   .bytes = static_cast<std::uint16_t>(at - slot),
                   .stream = about.stream ? std::uint8_t{1} : std::uint8_t{0}};
    put(put(slot, head), lengths);
    head.checksum = crc32c(slot + checked_from, head.bytes - checked_from);
    std::memcpy(slot + offsetof(slot_head, checksum), &head.checksum, sizeof head.checksum);
    open_mark(slot).store(1, std::memory_order_release);
}

void free_slot(std::byte* slot) { open_mark(slot).store(0, std::memory_order_release); }

bool slot_is_open(const std::byte* slot) { return get<slot_head>(slot).open == 1; }

bool slot_is_whole(const std::byte* slot) {
    const auto head = get<slot_head>(slot);
    return head.bytes >= slot_fixed_bytes && head.bytes <= slot_bytes &&
           crc32c(slot + checked_from, head.bytes - checked_from) == head.checksum;
}

attempt_view read_slot(const std::byte* slot) {
    const auto head = get<slot_head>(slot);
    const auto lengths = get<slot_lengths>(slot + sizeof head);
    attempt_view read;
    read.numbers.started_ms = head.started_ms;
    read.numbers.hold = head.hold;
    read.numbers.cost_high = head.hold;
    read.numbers.number = head.number;
    read.numbers.result = outcome::lost;
    read.numbers.stream = head.stream != 0;
    const std::byte* const begin = slot + slot_fixed_bytes;
    const std::byte* at = begin;
    for (std::size_t i = 0; i < slot_texts.size(); ++i) {
        read.text_of[static_cast<std::size_t>(slot_texts[i])] = view(at, lengths[i]);
        at += lengths[i];
        if (slot_texts[i] == text::tags) read.summed_by = view(begin, static_cast<std::size_t>(at - begin));
    }
    return read;
}

}  // namespace ledger
