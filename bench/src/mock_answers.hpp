// The answers of the mock upstream, built once. Sizes follow real ones: a JSON message of 1.2 KB, deltas of about 130
// bytes, the response headers that Claude sends.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

namespace bench {

inline std::string chunk_of(std::string_view data) {
    char size[24];
    snprintf(size, sizeof size, "%zx\r\n", data.size());
    return std::string(size).append(data).append("\r\n");
}

struct answers {
    std::string message;      // a whole JSON answer with its head
    std::string stream_head;  // the head of a stream
    std::string stream_start;
    std::string stream_end;

    answers() {
        const std::string headers =
            "date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
            "request-id: req_011CMockMockMockMockMock\r\n"
            "anthropic-organization-id: 00000000-0000-4000-8000-000000000000\r\n"
            "anthropic-ratelimit-requests-limit: 4000\r\n"
            "anthropic-ratelimit-requests-remaining: 3999\r\n"
            "anthropic-ratelimit-requests-reset: 2026-01-01T00:00:00Z\r\n"
            "anthropic-ratelimit-tokens-limit: 400000\r\n"
            "anthropic-ratelimit-tokens-remaining: 399000\r\n"
            "anthropic-ratelimit-tokens-reset: 2026-01-01T00:00:00Z\r\n"
            "via: 1.1 mock\r\n";

        std::string text;
        while (text.size() < 850) text += "The quick brown fox jumps over the lazy dog near the river bank. ";
        const std::string body =
            R"({"id":"msg_01MockMockMockMockMockMock","type":"message","role":"assistant","model":"claude-mock-json",)"
            R"("content":[{"type":"text","text":")" +
            text +
            R"("}],"stop_reason":"end_turn","stop_sequence":null,)"
            R"("usage":{"input_tokens":312,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,)"
            R"("output_tokens":187,"service_tier":"standard"}})";
        message = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + headers +
                  "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;

        stream_head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n" +
            headers + "transfer-encoding: chunked\r\n\r\n";
        stream_start =
            chunk_of(
                "event: message_start\n"
                R"(data: {"type":"message_start","message":{"id":"msg_01MockMockMockMockMockMock","type":"message",)"
                R"("role":"assistant","model":"claude-mock","content":[],"stop_reason":null,"stop_sequence":null,)"
                R"("usage":{"input_tokens":312,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,)"
                R"("output_tokens":1}}})"
                "\n\n") +
            chunk_of(
                "event: content_block_start\n"
                R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"
                "\n\n");
        stream_end = chunk_of(
                         "event: content_block_stop\n"
                         R"(data: {"type":"content_block_stop","index":0})"
                         "\n\n") +
                     chunk_of(
                         "event: message_delta\n"
                         R"(data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
                         R"("usage":{"output_tokens":200}})"
                         "\n\n") +
                     chunk_of(
                         "event: message_stop\n"
                         R"(data: {"type":"message_stop"})"
                         "\n\n") +
                     "0\r\n\r\n";
    }
};

inline constexpr std::size_t delta_bytes_max = 256;

// Writes one delta as one chunk to `out` (delta_bytes_max long) and returns its length. Its text is a five-digit number
// and the time in microseconds as twelve hexadecimal digits, by which the load generator checks order and measures the
// delay.
inline std::size_t write_delta(char* out, unsigned number, std::uint64_t time_us) {
    static constexpr std::string_view before =
        "event: content_block_delta\n"
        R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")";
    static constexpr std::string_view after = "\"}}\n\n";
    static constexpr std::size_t text_bytes = 5 + 1 + 12;
    static constexpr std::size_t body_bytes = before.size() + text_bytes + after.size();
    static_assert(body_bytes >= 16 && body_bytes < 256, "the chunk size below has two digits");
    static constexpr char hex[] = "0123456789abcdef";

    char* at = out;
    const auto put = [&](std::string_view text) {
        memcpy(at, text.data(), text.size());
        at += text.size();
    };
    const char size_line[] = {hex[body_bytes >> 4], hex[body_bytes & 15], '\r', '\n'};
    put({size_line, sizeof size_line});
    put(before);
    for (int digit = 4; digit >= 0; --digit, number /= 10) at[digit] = static_cast<char>('0' + number % 10);
    at += 5;
    *at++ = ' ';
    for (int digit = 11; digit >= 0; --digit, time_us >>= 4) at[digit] = hex[time_us & 15];
    at += 12;
    put(after);
    put("\r\n");
    return static_cast<std::size_t>(at - out);
}

}  // namespace bench
