// The log of a job: the events of its stream, each with an `id:` line of ours in front, so that a reader can go on
// behind the last event that it has seen (`Last-Event-ID`).
//
// The ids of a job's log count from 1 without a gap, over all attempts. Of the bytes of an event nothing else changes;
// its line ends stay what they were. Left out are only things that Anthropic does not send: `id:` lines of the
// upstream's own (they would contradict ours), blocks without data (a proxy's keep-alive comments; they are no events),
// and a byte order mark. Pings are events and stay.
//
// Thread rule: one thread at a time; no I/O, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace anthropic {

// Makes the log out of the bytes of upstream streams.
class event_numbering {
public:
    struct options {
        std::uint64_t first_id = 1;                      // of the next event: one behind the last of the log
        std::size_t event_bytes_max = 16 * 1024 * 1024;  // results of server tools come in one event
    };

    event_numbering() : event_numbering(options{}) {}
    explicit event_numbering(options chosen) : chosen_(chosen), next_id_(chosen.first_id) {}

    // Reads the next bytes of a stream, split anywhere, and appends each event that they complete to `log`.
    // Errors: upstream_protocol_error (an event longer than event_bytes_max), also for all further bytes.
    base::result<void> feed(std::string_view bytes, std::string& log);

    // The stream has ended. Appends an event whose last byte could still have been half of a line end. False when the
    // stream ended inside an event; that one is dropped.
    bool end_stream(std::string& log);

    // Appends an event of our own (restart_event, job_event). Half an event that feed() left is dropped with the
    // attempt that it belonged to: the next bytes are those of a new stream.
    void add(std::string_view event, std::string& log);

    std::uint64_t next_id() const { return next_id_; }

private:
    void end_line(std::string& log);
    void begin_stream();

    options chosen_;
    std::uint64_t next_id_;
    std::string event_;                          // what there is of the event, without what is left out
    std::size_t line_begin_ = 0, line_end_ = 0;  // of the line being read, in event_; line_end_ is set by its CR
    bool has_data_ = false, after_cr_ = false, is_first_line_ = true, failed_ = false;
};

// The helpers below read chunks of a log: whole events as event_numbering wrote them.

// The id of the last event. Nothing when there is no event.
std::optional<std::uint64_t> last_id(std::string_view chunk);

// What comes behind the event `last_seen_id` in a chunk whose first event has the id `first_id`: all of it when that is
// an earlier event, nothing when the chunk has no later one.
std::string_view skip_to_after(std::string_view chunk, std::uint64_t first_id, std::uint64_t last_seen_id);

// "event: restart\ndata: {"type":"restart","attempt":2,"reason":"..."}\n\n": what came before is void, the answer
// begins anew. `attempt` is the number of the attempt that begins.
std::string restart_event(std::uint64_t attempt, std::string_view reason);

// "event: job\ndata: {"type":"job","status":"succeeded"}\n\n": the last event of a log. `error`: the error object as
// JSON, or empty.
std::string job_event(std::string_view status, std::string_view error = {});

}  // namespace anthropic
