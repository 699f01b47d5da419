// Reads server-sent events out of a byte stream that may be split anywhere, without delaying or copying it.
//
// It serves three needs of the relay: where an event ends (our own `ping` or `error` may only go between events), what
// kinds of events have passed (the preamble is held until real content), and the text of the few events that carry
// usage. Text of other events is never kept. Line ends LF, CR and CRLF; comments, unknown events and garbage are passed
// over. Rules: docs/protocol.md and the WHATWG event stream format. Thread rule: one thread at a time; no I/O.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace anthropic {

enum class event_kind : std::uint8_t {
    message_start,
    content_block_start,
    content_block_delta,
    content_block_stop,
    message_delta,
    message_stop,
    ping,
    error,
    other,  // unknown name: future events pass through
};

class event_sink {
public:
    virtual ~event_sink() = default;
    // One complete event. `data` holds the joined data lines for message_start, message_delta and error (empty with
    // `oversized` when longer than the limit) and, for content_block_start, too; it is empty for all other kinds.
    // `data_bytes` counts the payload of every kind. The views die when the call returns.
    virtual void on_event(event_kind kind, std::string_view data, std::uint64_t data_bytes, bool oversized) = 0;
};

class sse_scanner {
public:
    // `data_bytes_max`: longest event text kept for the kinds above, in bytes.
    explicit sse_scanner(std::size_t data_bytes_max = 256 * 1024) : data_bytes_max_(data_bytes_max) {}

    // Reads the next bytes and reports each event that they complete. The kind comes from the `event:` line; without
    // one (the SDKs drop such events) it comes from the "type" member at the head of the data, else `other`.
    void feed(std::string_view bytes, event_sink& sink);

    // True when everything fed so far ends exactly after an event (or nothing was fed): something may be inserted here.
    // After a lone CR or a CR that may be half of CRLF it is false until the next byte tells.
    bool between_events() const;

private:
    static constexpr std::size_t name_bytes_max = 32;  // longer event names are unknown ones

    // What the next byte of the line belongs to.
    enum class at : std::uint8_t { line_start, field_name, data_space, data, event_space, event, ignored };

    std::size_t skip_byte_order_mark(std::string_view bytes);
    void read_line_part(std::string_view part);
    void end_line(event_sink& sink);
    void end_event(event_sink& sink);
    void begin_data_line();
    void add_data(std::string_view part);
    void add_name(std::string_view part);
    std::string_view name() const { return {name_, name_bytes_}; }
    event_kind kind() const;

    std::size_t data_bytes_max_;
    std::string data_;                // the event's data, or the beginning of it when the rest is of no use
    std::uint64_t data_bytes_ = 0;    // all of the event's data
    char name_[name_bytes_max] = {};  // the field's name as far as it has come, later the event's name
    std::uint8_t name_bytes_ = 0;
    std::uint8_t mark_bytes_ = 0;  // bytes of a byte order mark seen; all three also when there is none
    at at_ = at::line_start;
    event_kind named_ = event_kind::other;  // by the `event:` line, when has_name_
    bool has_name_ = false;
    bool has_data_ = false;
    bool is_cut_ = false;    // data_ lacks bytes
    bool in_line_ = false;   // the line has bytes
    bool in_event_ = false;  // a line that is not blank has ended since the last blank one
    bool after_cr_ = false;  // an LF now would belong to the line end before it
};

// One past the last blank line in `bytes`, or 0: everything before it is complete events. Lines end in LF, CR or CRLF.
std::size_t last_event_end(std::string_view bytes);

}  // namespace anthropic
