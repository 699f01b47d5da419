// Meters one answer from its bytes as they pass: usage by the overwrite rule (docs/protocol.md), for streams and for
// JSON bodies. It never alters or delays bytes, never throws and survives garbage (then `damaged` is set): the relay
// does not depend on it. Thread rule: one thread at a time; no I/O, no clock.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "anthropic/member_scanner.hpp"
#include "anthropic/sse_scanner.hpp"
#include "anthropic/usage.hpp"

namespace anthropic {

// For `content-type: text/event-stream`. Feed it events (it is the sink of an sse_scanner).
//
// Overwrite rule: start with message_start.message.usage; for every message_delta.usage each member that is present and
// not null replaces (never adds). Members that the delta lacks stay. A non-zero count of the prompt (input, cache
// writes, cache reads) is kept when a later one is 0. A second message_start is not believed (the SDKs ignore it) and
// sets `damaged`; what comes after message_stop changes nothing but the event counts.
class stream_meter final : public event_sink {
public:
    void on_event(event_kind kind, std::string_view data, std::uint64_t data_bytes, bool oversized) override;

    const metered& result() const { return result_; }

    // True once the caller would see real content: a content_block_delta, a content_block_start that is complete in
    // itself (a server tool's result: any block type other than text, thinking, tool_use, server_tool_use and
    // mcp_tool_use), content_block_stop, message_delta, message_stop or an unknown event.
    bool content_seen() const { return content_seen_; }
    bool error_seen() const { return error_seen_; }  // an `error` event has passed
    // The JSON of the first one, as it came (white space at the ends removed). Empty when it was oversized.
    const std::string& error_data() const { return error_data_; }

private:
    void on_message_start(std::string_view data);
    void on_message_delta(std::string_view data);
    void on_message_stop();
    void on_error(std::string_view data);

    metered result_;
    std::string error_data_;
    bool started_ = false;
    bool content_seen_ = false;
    bool error_seen_ = false;
};

// For JSON answers of /v1/messages, fed as the bytes pass. An answer that is not one whole JSON object (cut, HTML) is
// `damaged`; a usage that was found in it is `partial`.
class json_meter {
public:
    json_meter();
    void feed(std::string_view bytes);
    // The whole body has passed. Afterwards result() is final.
    void finish();
    const metered& result() const& { return result_; }
    metered&& result() && { return std::move(result_); }

private:
    member_scanner scanner_;
    metered result_;
};

}  // namespace anthropic
