// Puts the events of one streamed Messages answer together: the JSON that `POST /v1/messages` without `stream` would
// have answered. Used for the results of jobs, which always run as streams.
//
// The rules are those of the official SDKs (MessageStream, BetaMessageStream), so that a client sees the same message
// either way; tests/golden/assembly/ has cases made by them. Two things go beyond the SDKs: every value keeps its
// spelling (1.0, 1e400, escapes, the order of keys), and members that no SDK knows yet are kept:
//
// - message_start gives the message, content_block_start appends a block as it is.
// - text_delta and thinking_delta append; signature_delta and compaction_delta replace; citations_delta appends to
//   `citations`, which it makes an array when it is none.
// - input_json_delta appends to the text of `input` of tool_use, server_tool_use and mcp_tool_use. It must be JSON in
//   the end; nothing at all means {}. An input that was cut off, because the answer reached max_tokens, is closed as
//   the SDKs close it (raw_json.hpp, completed_json).
// - A delta of an unknown kind, or one for another type of block, is ignored and counted.
// - message_delta: members of its `delta`, of its `usage` and its own (context_management) replace those of the message
//   and of its usage. A null changes nothing, but for the three stop_ members. Identity (id, type, role, model) and
//   content are never replaced.
// - A `fallback` block names the model that answered: it becomes the message's model.
// - A delta of a block that has not begun is a failure (the TypeScript SDK loses it, the Python SDK throws).
// - Unknown events, pings, and all that comes before message_start or after message_stop are ignored.
//
// Members of usage keep their last value that is not null, also when that is 0. Thread rule: one thread at a time;
// no I/O, no clock. Views that are passed in are not kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace anthropic {

class raw_cursor;

class message_assembler {
public:
    struct options {
        std::size_t answer_bytes_max = 64 * 1024 * 1024;  // of all that is kept; a longer answer is a failure
    };

    message_assembler() : message_assembler(options{}) {}
    explicit message_assembler(options limits) : limits_(limits) {}

    // The next event: the value of its `event:` line and its joined data.
    void event(std::string_view name, std::string_view data);

    // Every event of complete text: whole events as the upstream sent them, or a chunk of the job's log. The log's
    // `restart` begins anew; its `id:` lines and its `job` event are passed over.
    void events(std::string_view text);

    bool complete() const { return complete_; }  // message_stop was seen and nothing failed

    // Why there will be no message: upstream_error_event, upstream_protocol_error. Later events change nothing.
    const std::optional<base::error>& failure() const { return failure_; }

    // The data of the upstream's `error` event when it is JSON (up to error_bytes_max), else empty.
    std::string_view upstream_error() const { return upstream_error_; }

    std::uint64_t ignored_deltas() const { return ignored_deltas_; }

    // The message as one line of JSON; the assembler is then as new. Errors: failure(); upstream_cut when the stream
    // is not complete; upstream_protocol_error when the input of a tool is not JSON (names the block by its number).
    base::result<std::string> take();

    // Forgets everything: a new attempt begins.
    void reset() { *this = message_assembler(limits_); }

    static constexpr std::size_t error_bytes_max = 64 * 1024;
    static constexpr std::size_t members_max = 512;  // of the message and of its usage, some twenty in practice

private:
    enum class block_type : std::uint8_t { text, thinking, tool, compaction, fallback, other };

    struct member {
        std::string key;    // between its quotes, as written
        std::string name;   // what that means
        std::string value;  // JSON
    };
    using object = std::vector<member>;

    struct block {
        std::string start;  // the block as content_block_start has it
        block_type type = block_type::other;
        bool is_joined = false;
        std::string joined;     // text, thinking or the text of the input so far, between quotes as written
        std::string citations;  // further ones, each with a comma before it
        std::string signature, content, encrypted_content;  // replace those of `start` unless empty
    };

    struct delta_text;

    void begin_message(std::string_view data);
    void begin_block(std::string_view data);
    void add_block(std::string_view text);
    void add_delta(std::string_view data);
    void change_block(block& changed, const delta_text& delta);
    void join(block& changed, std::string_view key, std::optional<std::string_view> text);
    void end_message(std::string_view data);
    void change_message(const raw_cursor& changed);
    void fill(object& target, std::string_view text);
    void set(object& target, const raw_cursor& changed);
    bool fits(std::size_t bytes);
    void fail(base::errc kind, std::string detail);

    static const member* find(const object& in, std::string_view name);
    static base::result<std::string> input_of(const block& tool, std::size_t number);
    static base::result<void> write_block(std::string& to, const block& written, std::size_t number);

    options limits_;
    object message_, usage_;
    std::vector<block> blocks_;
    std::string served_by_;  // the model of the last fallback block, JSON
    std::size_t kept_bytes_ = 0;
    std::uint64_t ignored_deltas_ = 0;
    std::string upstream_error_;
    std::optional<base::error> failure_;
    bool has_begun_ = false, has_usage_ = false, complete_ = false;
};

}  // namespace anthropic
