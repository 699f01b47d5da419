// Decodes one answer at a time from a connection, in whatever pieces it arrives, and checks it: a stream must be whole
// and in order (message_start, the wanted number of deltas numbered from 0, message_delta, message_stop), other answers
// must hold a given text.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "clock.hpp"

namespace bench {

// The events of one stream.
class stream_check {
public:
    void restart() { *this = stream_check(); }

    // Takes one line without its newline. Returns the time stamp of a delta.
    std::optional<std::uint64_t> line(std::string_view text) {
        if (text.ends_with('\r')) text.remove_suffix(1);
        if (text.starts_with("event:")) event(trimmed(text.substr(6)));
        if (!text.starts_with("data:")) return std::nullopt;
        has_data_ = true;
        return data(text);
    }

    // For a stamp that cannot be: the bytes are not those that were sent.
    void reject() { out_of_order_ = true; }

    bool has_data() const { return has_data_; }
    std::uint64_t events() const { return events_; }
    unsigned deltas() const { return deltas_; }

    // What is wrong with the finished stream; empty: nothing.
    std::string_view complaint(unsigned deltas_wanted) const {
        if (out_of_order_) return "sse_order";
        const bool whole = starts_ == 1 && deltas_ == deltas_wanted && message_deltas_ == 1 && stops_ == 1;
        return whole ? "" : "sse_incomplete";
    }

private:
    static std::string_view trimmed(std::string_view text) {
        while (text.starts_with(' ')) text.remove_prefix(1);
        return text;
    }

    void event(std::string_view name) {
        ++events_;
        if (name == "message_start") {
            if (starts_++ || deltas_) out_of_order_ = true;
        } else if (name == "message_delta") {
            ++message_deltas_;
        } else if (name == "message_stop") {
            if (stops_++ || !message_deltas_) out_of_order_ = true;
        } else if (name == "content_block_delta" && stops_) {
            out_of_order_ = true;
        }
    }

    // The text of a delta is its five-digit number, a space, and the time it was sent as twelve hexadecimal digits.
    std::optional<std::uint64_t> data(std::string_view text) {
        static constexpr std::string_view member = "\"text\":";
        const std::size_t kind = text.find("text_delta");
        if (kind == text.npos) return std::nullopt;
        std::size_t at = text.find(member, kind);
        if (at == text.npos) return out_of_order();
        at += member.size();
        while (at < text.size() && text[at] == ' ') ++at;
        ++at;  // the quote
        if (at + 18 > text.size()) return out_of_order();

        unsigned number = 0;
        for (int i = 0; i < 5; ++i) number = number * 10 + static_cast<unsigned>(text[at + i] - '0');
        if (number != deltas_) out_of_order_ = true;
        ++deltas_;
        std::uint64_t stamp = 0;
        for (int i = 6; i < 18; ++i) {
            const char digit = text[at + i];
            stamp = stamp << 4 | static_cast<unsigned>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
        }
        return stamp;
    }

    std::nullopt_t out_of_order() {
        out_of_order_ = true;
        return std::nullopt;
    }

    unsigned starts_ = 0, deltas_ = 0, message_deltas_ = 0, stops_ = 0;
    std::uint64_t events_ = 0;
    bool has_data_ = false;
    bool out_of_order_ = false;
};

// Decodes head, content-length, chunked and until-close bodies. `OnBody` is called with pieces of the decoded body.
class answer_reader {
public:
    enum class progress { needs_more, complete, bad_chunk };

    void restart() {
        state_ = state::head;
        head_.clear();
        line_.clear();
        remaining_ = 0;
        status_ = 0;
        closes_ = false;
    }

    int status() const { return status_; }
    bool closes() const { return closes_; }                              // the connection ends with this answer
    bool ends_at_close() const { return state_ == state::until_close; }  // no length was given
    const std::string& head() const { return head_; }

    // Takes bytes from the front of `bytes` up to the end of the answer.
    template <typename OnBody>
    progress read(std::string_view& bytes, OnBody on_body) {
        while (!bytes.empty()) {
            switch (state_) {
                case state::head:
                    read_head(bytes);
                    if (state_ == state::length && remaining_ == 0) return progress::complete;
                    break;
                case state::length:
                    read_body(bytes, on_body);
                    if (remaining_ == 0) return progress::complete;
                    break;
                case state::chunk_size:
                    if (!read_line(bytes)) break;
                    remaining_ = strtoull(line_.c_str(), nullptr, 16);
                    state_ = remaining_ ? state::chunk_data : state::trailer;
                    line_.clear();
                    break;
                case state::chunk_data:
                    read_body(bytes, on_body);
                    if (remaining_ == 0) state_ = state::chunk_end;
                    break;
                case state::chunk_end:
                    if (bytes.front() == '\n')
                        state_ = state::chunk_size;
                    else if (bytes.front() != '\r')
                        return progress::bad_chunk;
                    bytes.remove_prefix(1);
                    break;
                case state::trailer: {
                    if (!read_line(bytes)) break;
                    const bool is_end = line_ == "\r\n" || line_ == "\n";
                    line_.clear();
                    if (is_end) return progress::complete;
                    break;
                }
                case state::until_close:
                    on_body(bytes);
                    bytes = {};
                    break;
            }
        }
        return progress::needs_more;
    }

private:
    enum class state { head, length, chunk_size, chunk_data, chunk_end, trailer, until_close };

    void read_head(std::string_view& bytes) {
        const std::size_t before = head_.size();
        head_.append(bytes);
        const std::size_t found = head_.find("\r\n\r\n", before > 3 ? before - 3 : 0);
        if (found == head_.npos) {
            bytes = {};
            return;
        }
        head_.resize(found + 4);
        bytes.remove_prefix(head_.size() - before);
        status_ = head_.size() > 12 ? atoi(head_.c_str() + 9) : 0;
        if (status_ == 100) return restart();

        state_ = state::until_close;
        for_each_header(head_, [this](std::string_view name, std::string_view value) {
            if (same_name(name, "content-length") && state_ != state::chunk_size) {
                state_ = state::length;
                remaining_ = strtoull(std::string(value).c_str(), nullptr, 10);
            }
            if (same_name(name, "transfer-encoding")) state_ = state::chunk_size;
            if (same_name(name, "connection") && same_name(value, "close")) closes_ = true;
        });
        if (state_ == state::until_close) closes_ = true;
    }

    template <typename OnBody>
    void read_body(std::string_view& bytes, OnBody& on_body) {
        const std::size_t taken = std::min(bytes.size(), remaining_);
        on_body(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        remaining_ -= taken;
    }

    // True when a whole line, newline included, is in line_.
    bool read_line(std::string_view& bytes) {
        const std::size_t end_of_line = bytes.find('\n');
        const std::size_t taken = end_of_line == bytes.npos ? bytes.size() : end_of_line + 1;
        line_.append(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        return end_of_line != bytes.npos;
    }

    state state_ = state::head;
    std::string head_;
    std::string line_;
    std::size_t remaining_ = 0;  // of the body or of the chunk
    int status_ = 0;
    bool closes_ = false;
};

}  // namespace bench
