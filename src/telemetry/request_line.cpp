#include "telemetry/request_line.hpp"

#include "base/error.hpp"
#include "base/member_name.hpp"
#include "telemetry/line.hpp"

namespace telemetry {
namespace {

using anthropic::answer_state;
using base::member_name;

// The time of the line is the end of the request: lines of a log should be in order.
std::chrono::system_clock::time_point end_of(const request_record& finished) {
    return finished.started_at + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                     std::chrono::microseconds(finished.total_us));
}

bool is_our_kind_of_trouble(std::string_view reason) {
    for (unsigned kind = 0; kind <= static_cast<unsigned>(base::errc_last); ++kind) {
        const auto facts = base::facts_of(static_cast<base::errc>(kind));
        if (facts.reason == reason) return facts.whose != base::fault::client;
    }
    return true;  // a reason without a row is a bug of ours
}

std::string_view name_of(answer_state state) { return state == answer_state::complete ? "complete" : "partial"; }

// Members of a JSON object whose begin is already there.
struct members {
    std::string& out;

    void name(const member_name& key) const { out.append(key.text()); }
    void text(const member_name& key, std::string_view value) const {
        if (value.empty()) return;
        name(key);
        append_quoted(out, value);
    }
    void number(const member_name& key, std::uint64_t value) const {
        name(key);
        append_number(out, value);
    }
    void number_unless_zero(const member_name& key, std::uint64_t value) const {
        if (value != 0) number(key, value);
    }
    void ms_unless_zero(const member_name& key, std::uint64_t us) const {
        if (us == 0) return;
        name(key);
        append_ms(out, us);
    }
    void boolean(const member_name& key, bool value) const {
        name(key);
        out.append(value ? "true" : "false");
    }
};

void append_usage(const members& line, const anthropic::metered& answer) {
    if (answer.state != answer_state::none) {
        const auto& [tokens, thinking, searches, fetches, tier, geo, speed, iterations] = answer.counts;
        line.number("input_tokens", tokens.input_tokens);
        line.number("cache_creation_input_tokens", tokens.cache_creation_input_tokens);
        line.number("cache_read_input_tokens", tokens.cache_read_input_tokens);
        if (tokens.cache_creation_5m) line.number("cache_creation_5m", *tokens.cache_creation_5m);
        if (tokens.cache_creation_1h) line.number("cache_creation_1h", *tokens.cache_creation_1h);
        line.number("output_tokens", tokens.output_tokens);
        line.number_unless_zero("thinking_tokens", thinking);
        line.number_unless_zero("web_search_requests", searches);
        line.number_unless_zero("web_fetch_requests", fetches);
        line.number_unless_zero("iterations", iterations.size());
        line.text("service_tier", tier);
        line.text("inference_geo", geo);
        line.text("speed", speed);
        line.text("usage_state", name_of(answer.state));
    }
    if (answer.damaged) line.boolean("usage_damaged", true);
    line.text("stop_reason", answer.stop_reason);
    line.text("error_type", answer.error_type);
}

void append_json(std::string& out, const request_record& finished) {
    begin_line(out, format::json, end_of(finished), severity_of(finished), "request");
    const members line{out};
    line.text("request_id", finished.request_id);
    line.text("upstream_request_id", finished.upstream_request_id);
    line.text("method", finished.method);
    line.text("path", finished.path);
    line.text("route", finished.route);
    line.text("peer", finished.peer);
    line.text("caller", finished.caller);
    line.text("team", finished.team);
    line.text("model", finished.model);
    line.text("response_model", finished.answer.model);
    line.number("status", static_cast<std::uint64_t>(std::max(finished.status, 0)));
    line.text("reason", finished.reason);
    line.boolean("stream", finished.stream);
    append_usage(line, finished.answer);
    if (finished.cost_pico > 0) line.number("cost_pico", static_cast<std::uint64_t>(finished.cost_pico));
    line.number_unless_zero("attempts", finished.attempts);
    line.number("bytes_in", finished.bytes_in);
    line.number("bytes_out", finished.bytes_out);
    line.number_unless_zero("pings", finished.pings);
    line.name("total_ms");
    append_ms(out, finished.total_us);
    line.ms_unless_zero("overhead_ms", finished.overhead_us);
    line.ms_unless_zero("upstream_head_ms", finished.upstream_head_us);
    line.ms_unless_zero("first_byte_ms", finished.first_byte_us);
    line.ms_unless_zero("first_content_ms", finished.first_content_us);
    line.text("user_agent", finished.user_agent);
    out.push_back('}');
}

void append_text(std::string& out, const request_record& finished) {
    const auto word = [&out](std::string_view key, std::string_view value) {
        if (!value.empty()) append_field(out, format::text, key, value);
    };
    const auto number = [&out](std::string_view key, std::uint64_t value) {
        out.append(" ").append(key).append("=");
        append_number(out, value);
    };
    begin_line(out, format::text, end_of(finished), severity_of(finished), "request");
    out.push_back(' ');
    append_word(out, finished.method.empty() ? "-" : finished.method);
    out.push_back(' ');
    append_word(out, finished.path.empty() ? "-" : finished.path);
    out.push_back(' ');
    append_number(out, static_cast<std::uint64_t>(std::max(finished.status, 0)));
    out.push_back(' ');
    append_ms(out, finished.total_us);
    out.append("ms");
    word("reason", finished.reason);
    if (finished.stream) out.append(" stream");
    word("caller", finished.caller);
    word("team", finished.team);
    word("model", finished.answer.model.empty() ? finished.model : finished.answer.model);
    if (finished.answer.state != answer_state::none) {
        const auto& tokens = finished.answer.counts.tokens;
        number("input", tokens.input_tokens);
        number("cache_write", tokens.cache_creation_input_tokens);
        number("cache_read", tokens.cache_read_input_tokens);
        number("output", tokens.output_tokens);
        if (finished.answer.state != answer_state::complete) out.append(" usage=partial");
    }
    word("stop", finished.answer.stop_reason);
    word("error_type", finished.answer.error_type);
    if (finished.attempts > 1) number("attempts", finished.attempts);
    number("bytes_in", finished.bytes_in);
    number("bytes_out", finished.bytes_out);
    word("peer", finished.peer);
    word("id", finished.request_id);
    word("upstream_id", finished.upstream_request_id);
}

}  // namespace

level severity_of(const request_record& finished) {
    if (finished.status >= 500) return level::warn;
    return !finished.reason.empty() && is_our_kind_of_trouble(finished.reason) ? level::warn : level::info;
}

void append_request(std::string& out, const request_record& finished, format form) {
    if (form == format::json) {
        append_json(out, finished);
    } else {
        append_text(out, finished);
    }
    out.push_back('\n');
}

std::string format_request(const request_record& finished, format form) {
    std::string line;
    append_request(line, finished, form);
    line.pop_back();
    return line;
}

}  // namespace telemetry
