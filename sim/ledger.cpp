#include "ledger.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sim {

namespace {

std::string usage_json(const token_usage& usage) {
    return fmt::format(
        R"({{"input_tokens":{},"cache_creation_input_tokens":{},)"
        R"("cache_creation":{{"ephemeral_5m_input_tokens":{},"ephemeral_1h_input_tokens":{}}},)"
        R"("cache_read_input_tokens":{},"output_tokens":{},"output_tokens_details":{{"thinking_tokens":{}}}}})",
        usage.input, usage.cache_write(), usage.cache_write_5m, usage.cache_write_1h, usage.cache_read, usage.output,
        usage.thinking);
}

void append_row(std::string& text, const ledger_row& row) {
    const auto into = std::back_inserter(text);
    fmt::format_to(
        into, R"({{"seq":{},"request_id":{},"method":{},"path":{},"key_suffix":{},"model":{},"stream":{},"status":{},)",
        row.seq, quote(row.request_id), quote(row.method), quote(row.path), quote(row.key_suffix),
        quote_or_null(row.model), row.stream, row.status);
    fmt::format_to(into,
                   R"("started_at":"{}","headers":{{"anthropic-version":{},"anthropic-beta":{},)"
                   R"("x-stainless-retry-count":{},"user-agent":{}}},)",
                   rfc3339_micros(row.started_at), quote_or_null(row.version), quote_or_null(row.beta),
                   quote_or_null(row.retry_count), quote_or_null(row.user_agent));
    fmt::format_to(into, R"("message_id":{},"usage":{},"service_tier":{},"inference_geo":{},"output_tokens_sent":{},)",
                   quote_or_null(row.message_id), usage_json(row.billed), quote_or_null(row.service_tier),
                   quote_or_null(row.inference_geo), row.output_tokens_sent);
    fmt::format_to(into,
                   R"("request_bytes":{},"response_bytes":{},"faults":{},"batch_id":{},"custom_id":{},)"
                   R"("complete":{},"client_left":{}}})",
                   row.request_bytes, row.response_bytes, quote_or_null(row.faults), quote_or_null(row.batch_id),
                   quote_or_null(row.custom_id), row.complete, row.client_left);
}

}  // namespace

void ledger::sums::add(const ledger_row& row) {
    ++requests;
    completed += row.complete ? 1 : 0;
    departed += row.client_left ? 1 : 0;
    billed.input += row.billed.input;
    billed.cache_write_5m += row.billed.cache_write_5m;
    billed.cache_write_1h += row.billed.cache_write_1h;
    billed.cache_read += row.billed.cache_read;
    billed.output += row.billed.output;
    billed.thinking += row.billed.thinking;
}

void ledger::open(ledger_row& row) {
    const std::lock_guard lock(mutex_);
    row.seq = next_++;
    if (rows_.size() >= rows_max_) {
        forgotten_.add(rows_.front());
        rows_.pop_front();
    }
    rows_.push_back(row);
}

void ledger::save(const ledger_row& row) {
    const std::lock_guard lock(mutex_);
    if (rows_.empty() || row.seq < rows_.front().seq) return;
    rows_[row.seq - rows_.front().seq] = row;  // numbers are consecutive
}

void ledger::clear() {
    const std::lock_guard lock(mutex_);
    rows_.clear();
    forgotten_ = {};
}

std::string ledger::to_json(std::uint64_t since, std::size_t limit) const {
    const std::lock_guard lock(mutex_);
    sums totals = forgotten_;
    std::string text = R"({"requests":[)";
    std::size_t shown = 0;
    for (const ledger_row& row : rows_) {
        totals.add(row);
        if (row.seq <= since || shown >= limit) continue;
        if (shown++ > 0) text += ',';
        append_row(text, row);
    }
    fmt::format_to(std::back_inserter(text),
                   R"(],"totals":{{"requests":{},"complete":{},"client_left":{},"usage":{}}}}})", totals.requests,
                   totals.completed, totals.departed, usage_json(totals.billed));
    return text;
}

}  // namespace sim
