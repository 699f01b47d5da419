// HTTP/1.1 requests, read from a connection: heads, bodies by length or in chunks, 100-continue. Written by hand and
// shared with nobody: the gateway has its own, so that each checks the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connection.hpp"

namespace sim {

struct header {
    std::string name;  // lower case
    std::string value;
};

struct request {
    std::string method;
    std::string target;  // as sent
    std::string path;    // percent-decoded, without the query
    std::string query;
    std::vector<header> headers;
    std::optional<std::uint64_t> content_length;
    bool chunked = false;
    bool keep_alive = true;
    bool version_1_0 = false;
    bool expects_continue = false;

    // The first header of that lower-case name, or an empty text.
    std::string_view value(std::string_view name) const;
    std::size_t count(std::string_view name) const;
    // A decoded query parameter.
    std::optional<std::string> parameter(std::string_view name) const;
    std::vector<std::string> parameters(std::string_view name) const;
};

// A request that cannot be understood; answered with `status`, then the connection is closed.
struct malformed_request {
    int status = 400;
    std::string message;
};

class request_reader {
public:
    static constexpr std::size_t head_bytes_max = 512 << 10;
    static constexpr std::chrono::seconds body_patience{60};

    explicit request_reader(connection& peer) : peer_(peer) {}

    // The next request head. Nothing when the client closed or stayed idle. Throws malformed_request, client_left.
    std::optional<request> next_head(milliseconds idle);

    // Some bytes of the body of the last head; 0 at its end. Sends 100 Continue first when that is awaited.
    std::size_t read_body(char* into, std::size_t size);
    // The client waits for 100 Continue and was never told to go on: its connection cannot be used again.
    bool awaits_continue() const { return continue_wanted_; }
    bool body_finished() const { return body_finished_; }
    std::uint64_t body_bytes() const { return body_bytes_; }

private:
    bool fill(steady::time_point deadline);
    std::string_view line();
    std::size_t take(char* into, std::size_t size);
    void next_chunk();

    connection& peer_;
    std::string buffer_;
    std::size_t begin_ = 0;
    std::uint64_t left_ = 0;  // in the body, or in the current chunk
    std::uint64_t body_bytes_ = 0;
    bool chunked_ = false;
    bool in_chunk_ = false;
    bool continue_wanted_ = false;
    bool body_finished_ = true;
};

}  // namespace sim
