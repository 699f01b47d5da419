#include "stream.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "state.hpp"
#include "text.hpp"

namespace sim {

namespace {

// The body ends properly although the message does not.
struct early_end {};

// Writes events one after the other; pace, cuts and stalls count them, pings included.
class event_writer {
public:
    event_writer(exchange& ex, std::uint64_t seed) : ex_(ex), plan_(ex.out.plan), random_(seed) {
        paced_ = plan_.event_interval.has_value();
        interval_ = plan_.event_interval.value_or(milliseconds{0});
        if (!paced_ && ex.world.chosen.event_interval.count() > 0) {
            paced_ = true;
            interval_ = ex.world.chosen.event_interval;
        }
    }

    void begin() {
        ex_.out.begin(200, "text/event-stream; charset=utf-8");
        if (plan_.delay_first_event || paced_) ex_.out.flush();
        if (plan_.delay_first_event) ex_.out.peer().sleep_for(*plan_.delay_first_event);
        after_event();
    }

    void event(std::string_view name, std::string_view data) {
        if (paced_ && events_ > 0 && interval_.count() > 0) ex_.out.peer().sleep_for(interval_);
        const std::string_view line_end = plan_.crlf ? "\r\n" : "\n";
        const std::string_view padding =
            plan_.trailing_spaces ? std::string_view("            ").substr(0, 1 + events_ % 12) : "";
        ex_.out.write(fmt::format("event: {}{}data: {}{}{}{}", name, line_end, data, padding, line_end, line_end));
        if (paced_) ex_.out.flush();
        ++events_;
    }

    // To be called once the ledger knows of the event: this is where a fault may end the stream.
    void after_event() {
        const auto reached = [&](const std::optional<std::uint64_t>& limit) { return limit && events_ >= *limit; };
        if (reached(plan_.stall_after_events)) {
            ex_.out.flush();
            ex_.out.peer().wait_until_client_leaves();
        }
        if (reached(plan_.cut_after_events)) {
            ex_.out.flush();
            ex_.out.cut();
        }
        if (reached(plan_.clean_eof_after_events)) throw early_end{};
    }

    void noise() {
        if (plan_.garbage) {
            std::string bytes(*plan_.garbage, '\0');
            for (char& byte : bytes) byte = static_cast<char>(random_.next() & 0xff);
            ex_.out.write(bytes + "\n\n");
        }
        if (plan_.garbage_json)
            event("content_block_delta", R"({"type":"content_block_delta","index":0,"delta":{"type":"text_del)");
        if (plan_.unknown_events) {
            event("future_event",
                  R"({"type":"future_event","index":99,"anything":{"deep":[1,2.50,1e400,"\ud83d\ude42"]}})");
        }
    }

private:
    exchange& ex_;
    const fault_plan& plan_;
    random_source random_;
    milliseconds interval_{0};
    bool paced_ = false;
    std::uint64_t events_ = 0;
};

class message_stream {
public:
    message_stream(exchange& ex, const message_facts& facts, const answer& said, const stream_wishes& wishes)
        : ex_(ex),
          plan_(ex.out.plan),
          facts_(facts),
          said_(said),
          wishes_(wishes),
          random_(wishes.seed),
          events_(ex, wishes.seed) {
        const std::uint64_t size =
            std::max<std::uint64_t>(1, wishes.tokens_per_event == 0 ? 2 : wishes.tokens_per_event);
        const std::uint64_t deltas = said.output_tokens() / size + 1;
        ping_every_ = wishes.pings == 0 ? 0 : std::max<std::uint64_t>(1, deltas / (wishes.pings + 1));
    }

    void send() {
        events_.begin();
        if (plan_.overload == overload_place::first) return overload();
        open();
        if (plan_.overload == overload_place::start) {
            bill_nothing();
            return overload();
        }
        for (std::size_t index = 0; index < said_.blocks.size(); ++index) send_block(index, said_.blocks[index]);
        while (pings_sent_ < wishes_.pings) ping();
        close();
    }

private:
    void emit(std::string_view name, std::string_view data, std::uint64_t tokens = 0) {
        events_.event(name, data);
        if (tokens > 0) {
            ex_.row.output_tokens_sent += tokens;
            ex_.row.billed.output = std::max(opening_output_tokens, ex_.row.output_tokens_sent);
            ex_.row.billed.thinking = std::min(ex_.row.output_tokens_sent, said_.thinking_tokens());
        }
        events_.after_event();
    }

    void open() {
        events_.event("message_start",
                      fmt::format(R"({{"type":"message_start","message":{}}})", opening_message_json(facts_)));
        ex_.row.billed = facts_.usage;
        ex_.row.billed.output = std::min(opening_output_tokens, facts_.usage.output);
        ex_.row.billed.thinking = 0;
        ex_.save();
        events_.after_event();
    }

    void bill_nothing() { ex_.row.billed = {}; }

    void overload() {
        ex_.save();
        emit("error",
             fmt::format(
                 R"({{"type":"error","error":{{"type":"overloaded_error","message":"Overloaded"}},"request_id":{}}})",
                 quote(ex_.row.request_id)));
        throw early_end{};
    }

    void ping() {
        emit("ping", R"({"type":"ping"})");
        ++pings_sent_;
    }

    void send_block(std::size_t index, const content_block& block) {
        emit("content_block_start", fmt::format(R"({{"type":"content_block_start","index":{},"content_block":{}}})",
                                                index, opening_block_json(block)));
        if (index == 0) emit("ping", R"({"type":"ping"})");
        if (block.kind == block_kind::tool_use) delta(index, R"({"type":"input_json_delta","partial_json":""})", 0);
        send_text(index, block);
        if (block.kind == block_kind::thinking) {
            delta(index, fmt::format(R"({{"type":"signature_delta","signature":{}}})", quote(block.signature)), 0);
        }
        if (plan_.unknown_events) delta(index, R"({"type":"future_delta","future":[null,true]})", 0);
        emit("content_block_stop", fmt::format(R"({{"type":"content_block_stop","index":{}}})", index));
    }

    void send_text(std::size_t index, const content_block& block) {
        if (block.kind == block_kind::thinking && !facts_.shows_thinking) {
            // Nothing to see, but it was generated: billed with the signature.
            ex_.row.output_tokens_sent += block.tokens();
            ex_.row.billed.output = std::max(opening_output_tokens, ex_.row.output_tokens_sent);
            ex_.row.billed.thinking = block.tokens();
            return;
        }
        std::string_view rest = block.text;
        while (!rest.empty()) {
            const std::uint64_t tokens = wishes_.tokens_per_event > 0 ? wishes_.tokens_per_event : 1 + random_.below(4);
            const std::string_view piece = rest.substr(0, offset_of(rest, tokens * characters_per_token));
            rest.remove_prefix(piece.size());
            delta(index, delta_json(block.kind, piece),
                  (characters(piece) + characters_per_token - 1) / characters_per_token);
            if (!noisy_) {
                noisy_ = true;
                events_.noise();
                if (plan_.overload == overload_place::content) overload();
            }
            if (ping_every_ > 0 && ++deltas_ % ping_every_ == 0 && pings_sent_ < wishes_.pings) ping();
        }
    }

    static std::string delta_json(block_kind kind, std::string_view piece) {
        switch (kind) {
            case block_kind::thinking:
                return fmt::format(R"({{"type":"thinking_delta","thinking":{}}})", quote(piece));
            case block_kind::tool_use:
                return fmt::format(R"({{"type":"input_json_delta","partial_json":{}}})", quote(piece));
            case block_kind::text:
                break;
        }
        return fmt::format(R"({{"type":"text_delta","text":{}}})", quote(piece));
    }

    void delta(std::size_t index, std::string_view what, std::uint64_t tokens) {
        emit("content_block_delta",
             fmt::format(R"({{"type":"content_block_delta","index":{},"delta":{}}})", index, what), tokens);
    }

    void close() {
        const bool thinks = facts_.usage.thinking > 0;
        const std::string usage =
            plan_.no_usage ? "" : fmt::format(R"(,"usage":{})", final_usage_json(facts_.usage, thinks));
        emit("message_delta", fmt::format(R"({{"type":"message_delta","delta":{{"stop_reason":{},"stop_sequence":{},)"
                                          R"("stop_details":null,"container":null}}{}}})",
                                          quote(said_.stop_reason), quote_or_null(said_.stop_sequence), usage));
        // A client may stop reading at message_stop and look at the ledger: the row must be complete by then.
        ex_.row.billed = facts_.usage;
        ex_.row.complete = true;
        ex_.save();
        events_.event("message_stop", R"({"type":"message_stop"})");
        events_.after_event();  // a fault may still keep back the end of the body
        ex_.out.finish();
    }

    exchange& ex_;
    const fault_plan& plan_;
    const message_facts& facts_;
    const answer& said_;
    const stream_wishes& wishes_;
    random_source random_;
    event_writer events_;
    std::uint64_t ping_every_ = 0;
    std::uint64_t pings_sent_ = 0;
    std::uint64_t deltas_ = 0;
    bool noisy_ = false;
};

}  // namespace

void send_stream(exchange& ex, const message_facts& facts, const answer& said, const stream_wishes& wishes) {
    ex.row.status = 200;
    ex.row.stream = true;
    ++ex.world.count.streams_active;
    struct leave {
        state& world;
        ~leave() { --world.count.streams_active; }
    } const leaving{ex.world};
    try {
        message_stream(ex, facts, said, wishes).send();
    } catch (const early_end&) {
        ex.out.finish();
    } catch (const client_left&) {
        ++ex.world.count.streams_cancelled;
        throw;
    }
}

}  // namespace sim
