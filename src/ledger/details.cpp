#include "ledger/details.hpp"

#include <charconv>
#include <limits>

#include "base/member_name.hpp"
#include "ledger/plain_text.hpp"

namespace ledger {
namespace {

using base::member_name;

// Members of one object, with commas where they belong. Names need no escapes.
class members {
public:
    explicit members(std::string& to) : to_(to) { to_ += '{'; }

    void text(const member_name& name, std::string_view value) {
        if (value.empty()) return;
        begin(name);
        append_json(to_, value);
    }
    void number(const member_name& name, std::int64_t value) {
        if (value == 0) return;
        begin(name);
        append_number(to_, value);
    }
    void count(const member_name& name, std::uint64_t value) {
        constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
        number(name, static_cast<std::int64_t>(value < most ? value : most));
    }
    void flag(const member_name& name, bool value) {
        if (!value) return;
        begin(name);
        to_ += "true";
    }
    void begin(const member_name& name) {
        to_ += first_ ? name.text_of_first() : name.text();
        first_ = false;
    }
    void end() { to_ += '}'; }

private:
    std::string& to_;
    bool first_ = true;
};

void append_iterations(std::string& to, const attempt_view& of) {
    std::string_view left = of.iterations;
    to += '[';
    for (std::uint16_t i = 0; i < of.numbers.iterations; ++i) {
        if (i > 0) to += ',';
        const iteration_view each = read_iteration(left);
        members object(to);
        object.text("type", each.type);
        object.text("model", each.model);
        object.count("input_tokens", each.tokens.input);
        object.count("cache_write_5m_tokens", each.tokens.write_5m);
        object.count("cache_write_1h_tokens", each.tokens.write_1h);
        object.count("cache_read_tokens", each.tokens.read);
        object.count("output_tokens", each.tokens.output);
        object.end();
    }
    to += ']';
}

}  // namespace

void append_number(std::string& to, std::int64_t number) {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    to.append(digits, end);
}

void append_details(std::string& to, const attempt_view& of) {
    const attempt_numbers& n = of.numbers;
    members object(to);
    object.text("route", of[text::route]);
    object.text("subject", of[text::subject]);
    if (of[text::model_asked] != of[text::model]) object.text("model_asked", of[text::model_asked]);
    object.text("reason", of[text::reason]);
    object.text("stop_reason", of[text::stop_reason]);
    object.flag("stream", n.stream);
    object.flag("unknown_model", n.unknown_model);
    object.count("thinking_tokens", n.thinking_tokens);
    object.count("web_fetches", n.web_fetches);
    object.text("service_tier", of[text::service_tier]);
    object.text("inference_geo", of[text::inference_geo]);
    object.text("speed", of[text::speed]);
    if (n.iterations > 0) {
        object.begin("iterations");
        append_iterations(to, of);
    }
    object.number("iterations_cut", n.iterations_cut);
    object.number("hold_pico", n.hold);
    object.text("upstream_request_id", of[text::upstream_request_id]);
    object.text("message_id", of[text::message_id]);
    object.text("user_agent", of[text::user_agent]);
    object.count("bytes_in", n.bytes_in);
    object.count("bytes_out", n.bytes_out);
    object.count("overhead_us", n.overhead_us);
    object.count("total_us", n.total_us);
    object.end();
}

}  // namespace ledger
