// Reads the requests of one connection to the mock upstream, in whatever pieces they arrive. Only as strict as the mock
// needs: it finds the end of the body, whether credentials came along, and the model that says which answer is wanted.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "clock.hpp"

namespace bench {

enum class answer_kind { message, stream_at_once, stream_paced, stats, health };

struct asked {
    answer_kind kind = answer_kind::message;
    unsigned interval_ms = 0;  // stream_paced: between two deltas; 0 means one after the other
    unsigned deltas = 200;
    bool has_credentials = false;
};

class request_reader {
public:
    enum class progress { needs_more, complete, broken };

    // Takes bytes from the front of `bytes`. After `complete`, request() is what was asked and the rest of `bytes`
    // belongs to the next request.
    progress read(std::string_view& bytes) {
        while (!bytes.empty()) {
            switch (state_) {
                case state::head:
                    if (const auto done = read_head(bytes); done != progress::needs_more || state_ == state::head)
                        return done;
                    break;
                case state::length:
                    read_body(bytes);
                    if (remaining_ == 0) return end();
                    break;
                case state::chunk_data:
                    read_body(bytes);
                    if (remaining_ == 0) state_ = state::chunk_end;
                    break;
                case state::chunk_size:
                case state::chunk_end:
                case state::trailer:
                    if (read_line(bytes) && after_line()) return end();
                    break;
            }
        }
        return progress::needs_more;
    }

    const asked& request() const { return asked_; }

private:
    enum class state { head, length, chunk_size, chunk_data, chunk_end, trailer };
    static constexpr std::size_t head_bytes_max = 65536;
    static constexpr std::size_t model_bytes_max = 48;

    progress end() {
        state_ = state::head;
        return progress::complete;
    }

    progress read_head(std::string_view& bytes) {
        // The usual case, a head in one read, must not copy the body that follows it.
        const std::size_t before = head_.size();
        const std::size_t whole = before == 0 ? bytes.find("\r\n\r\n") : bytes.npos;
        head_.append(whole == bytes.npos ? bytes : bytes.substr(0, whole + 4));
        const std::size_t found = head_.find("\r\n\r\n", before > 3 ? before - 3 : 0);
        if (found == head_.npos) {
            bytes = {};
            return head_.size() > head_bytes_max ? progress::broken : progress::needs_more;
        }
        head_.resize(found + 4);
        bytes.remove_prefix(head_.size() - before);
        understand_head();
        head_.clear();
        if (state_ == state::length && remaining_ == 0) return end();
        return progress::needs_more;
    }

    void understand_head() {
        asked_ = {};
        window_.clear();
        model_found_ = false;
        remaining_ = 0;
        state_ = state::length;
        bool has_key = false, has_version = false;
        for_each_header(head_, [&](std::string_view name, std::string_view value) {
            if (same_name(name, "content-length")) remaining_ = strtoull(std::string(value).c_str(), nullptr, 10);
            if (same_name(name, "transfer-encoding") && value.find("chunked") != value.npos) state_ = state::chunk_size;
            if (same_name(name, "x-api-key") || same_name(name, "authorization")) has_key = true;
            if (same_name(name, "anthropic-version")) has_version = true;
        });
        asked_.has_credentials = has_key && has_version;
        if (head_.starts_with("GET /stats"))
            asked_.kind = answer_kind::stats;
        else if (head_.starts_with("GET "))
            asked_.kind = answer_kind::health;
    }

    void read_body(std::string_view& bytes) {
        const std::size_t taken = std::min(bytes.size(), remaining_);
        look_for_model(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        remaining_ -= taken;
    }

    // True when a whole line is in line_.
    bool read_line(std::string_view& bytes) {
        const std::size_t end_of_line = bytes.find('\n');
        const std::size_t taken = end_of_line == bytes.npos ? bytes.size() : end_of_line + 1;
        line_.append(bytes.substr(0, taken));
        bytes.remove_prefix(taken);
        return end_of_line != bytes.npos && line_.ends_with('\n');
    }

    // True when the line ended a chunked body.
    bool after_line() {
        const bool is_empty = line_ == "\r\n" || line_ == "\n";
        if (state_ == state::chunk_size) {
            remaining_ = strtoull(line_.c_str(), nullptr, 16);
            state_ = remaining_ ? state::chunk_data : state::trailer;
            line_.clear();
            return false;
        }
        line_.clear();
        if (state_ == state::trailer) return is_empty;
        state_ = state::chunk_size;
        return false;
    }

    // The name may be cut by two reads: the window keeps the last bytes of what was seen.
    void look_for_model(std::string_view part) {
        if (model_found_) return;
        if (!window_.empty()) find_model(window_ + std::string(part.substr(0, model_bytes_max)));
        if (!model_found_) find_model(part);
        if (model_found_) return;
        window_.append(part.size() > model_bytes_max ? part.substr(part.size() - model_bytes_max) : part);
        if (window_.size() > model_bytes_max) window_.erase(0, window_.size() - model_bytes_max);
    }

    void find_model(std::string_view text) {
        static constexpr std::string_view prefix = "claude-mock-";
        const std::size_t at = text.find(prefix);
        if (at == text.npos) return;
        const std::string_view rest = text.substr(at + prefix.size());
        const std::size_t end_of_name = rest.find('"');
        if (end_of_name == rest.npos) return;
        model_found_ = true;
        const std::string name(rest.substr(0, end_of_name));  // "json", "b0-n200", "s10-n200"
        if (!name.starts_with('s') && !name.starts_with('b')) return;
        asked_.kind = name[0] == 's' ? answer_kind::stream_paced : answer_kind::stream_at_once;
        asked_.interval_ms = static_cast<unsigned>(strtoul(name.c_str() + 1, nullptr, 10));
        const std::size_t count = name.find("-n");
        if (count != name.npos) asked_.deltas = static_cast<unsigned>(strtoul(name.c_str() + count + 2, nullptr, 10));
    }

    state state_ = state::head;
    std::string head_;
    std::string line_;
    std::string window_;
    std::size_t remaining_ = 0;  // of the body or of the chunk
    bool model_found_ = false;
    asked asked_;
};

}  // namespace bench
