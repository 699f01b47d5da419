// Any bytes as a stream: the job's log is the same for all splits and says what the stream says; a message that comes
// out is JSON; a reader can go on behind every event. Any bytes as JSON: what simdjson accepts is accepted, a cut text
// that is closed is JSON, and splicing `stream` leaves JSON that has it as wanted. The first byte of the input seeds
// the sizes of the pieces.
#include <simdjson.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "anthropic/event_log.hpp"
#include "anthropic/event_text.hpp"
#include "anthropic/job_request.hpp"
#include "anthropic/message_assembly.hpp"
#include "anthropic/raw_json.hpp"

namespace {

using namespace anthropic;

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

// What comes of a text of events: the message, or why there is none.
std::string outcome(std::string_view events) {
    message_assembler assembler({.answer_bytes_max = 1 << 20});
    assembler.events(events);
    const bool was_complete = assembler.complete();
    const auto message = assembler.take();
    if (!message) return "failed: " + message.error().detail;
    require(was_complete, "only a complete stream gives a message");
    require(is_json(*message) && is_object(*message), "a message is a JSON object");
    require(find_member(*message, "content").has_value(), "a message has content");
    return *message;
}

std::string numbered(std::string_view stream, std::uint32_t random, bool is_bytewise) {
    event_numbering numbering({.first_id = 8});
    std::string log;
    while (!stream.empty()) {
        random = random * 1664525 + 1013904223;
        const std::string piece(stream.substr(0, is_bytewise ? 1 : random >> 26));  // its own, so that ASan guards it
        require(numbering.feed(piece, log).has_value(), "no event is too long here");
        stream.remove_prefix(piece.size());
    }
    numbering.end_stream(log);
    require(numbering.next_id() == last_id(log).value_or(7) + 1, "the last id is the log's last");
    return log;
}

void require_readers_can_go_on(std::string_view log) {
    const auto last = last_id(log).value_or(7);
    require(skip_to_after(log, 8, 7) == log, "all of it comes behind the event before the first");
    std::string_view rest = log;
    for (std::uint64_t id = 8; id <= last && id < 40; ++id) {
        const auto next = skip_to_after(log, 8, id);
        require(next.size() < rest.size() && rest.ends_with(next), "the rest gets shorter");
        event_text one(rest.substr(0, rest.size() - next.size()));
        require(one.next() && !one.next(), "it gets shorter by one event");
        rest = next;
    }
    if (last < 40) require(rest.empty(), "behind the last event is nothing");
}

void require_json_rules(std::string_view text) {
    simdjson::dom::parser parser;
    simdjson::dom::element document;
    const bool is_valid = parser.parse(text.data(), text.size()).get(document) == simdjson::SUCCESS;
    const auto checked = check_json(text);
    if (is_valid) require(checked.state == json_state::whole, "what simdjson accepts is whole");
    require(checked.at <= text.size() && checked.keep <= text.size(), "places are inside the text");
    const auto closed = completed_json(text);
    require(closed.has_value() || checked.state != json_state::whole, "a whole text is its own completion");
    if (closed) require(is_json(*closed), "a closed text is JSON");
    if (checked.state != json_state::whole || !is_object(text)) return;

    std::size_t end = 0;
    for (raw_cursor member(text); member.next(); end = member.end()) {
        require(member.begin() >= end && member.end() <= text.size(), "members follow each other");
        require(is_json(member.value()), "a member's value is JSON");
    }
    const auto streaming = streaming_body(text);
    require(streaming && is_json(*streaming) && find_member(*streaming, "stream") == "true", "stream is true");
    const auto params = batch_params(text);
    require(params && is_json(*params) && !find_member(*params, "stream"), "stream is gone");
}

void require_job_rules(std::string_view text) {
    const auto job = read_job_request(text);
    if (!job) return require(!job.error().detail.empty(), "a refusal says why");
    require(is_json(text) && is_object(job->request), "a job has a request");
    require(job->metadata.empty() || is_object(job->metadata), "metadata is an object");
    require(job->webhook_url.empty() || job->webhook_url.starts_with("https://"), "a webhook is called by https");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size == 0) return 0;
    const std::string text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
    const auto log = numbered(text, bytes[0], false);
    require(log == numbered(text, 0, true), "pieces and bytes give the same log");
    require_readers_can_go_on(log);
    require(outcome(text) == outcome(log), "the log says what the stream says");
    require_json_rules(text);
    require_job_rules(text);
    return 0;
}
