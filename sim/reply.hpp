// One HTTP response. It owns the framing (length, chunks, until close) and the faults that live below the events: cuts
// and stalls at a byte, splitting, odd framing. Heads carry the noise of the real edge, so that tests can see it
// stripped.
#pragma once

#include <string>
#include <string_view>

#include "connection.hpp"
#include "faults.hpp"
#include "http.hpp"

namespace sim {

class reply {
public:
    reply(connection& peer, const request& asked) : peer_(peer), asked_(asked) {}

    // The faults to play; must be set before the head is written, if at all.
    fault_plan plan;
    // No request-id, no organization: what the edge or a health check answers.
    bool bare = false;

    void add_header(std::string_view name, std::string_view value);
    std::string request_id;

    // A whole answer with its length.
    void send(int status, std::string_view content_type, std::string_view body);

    // A body of unknown length. The head goes out with the first flush().
    void begin(int status, std::string_view content_type);
    void write(std::string_view bytes);  // buffered up to buffer_bytes_max
    void flush();
    void finish();
    // Ends the connection here and now.
    [[noreturn]] void cut();

    void close_afterwards() { keep_alive_ = false; }
    bool started() const { return started_; }
    bool keep_alive() const { return keep_alive_; }
    std::uint64_t body_bytes() const { return body_bytes_; }
    connection& peer() { return peer_; }

private:
    enum class framing { length, chunked, until_close };
    static constexpr std::size_t buffer_bytes_max = 16384;

    void write_head(int status, std::string_view content_type, framing how, std::size_t length);
    void emit(std::string_view bytes);
    void frame(std::string_view bytes);
    void send_output();

    connection& peer_;
    const request& asked_;
    std::string headers_;
    std::string output_;   // framed bytes, not yet sent
    std::string pending_;  // body bytes, not yet framed
    framing framing_ = framing::length;
    std::uint64_t body_bytes_ = 0;
    bool started_ = false;
    bool keep_alive_ = true;
    bool chunk_broken_ = false;
};

}  // namespace sim
