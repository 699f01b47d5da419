#include "worker/error_text.hpp"

#include <boost/json.hpp>
#include <charconv>

#include "anthropic/member_scanner.hpp"

namespace worker {
namespace {

std::string text_at(const boost::json::object& in, std::string_view name) {
    const auto* const found = in.if_contains(name);
    const auto* const text = found ? found->if_string() : nullptr;
    return text ? std::string(*text) : std::string();
}

const boost::json::object* object_at(const boost::json::object& in, std::string_view name) {
    const auto* const found = in.if_contains(name);
    return found ? found->if_object() : nullptr;
}

}  // namespace

answer_head read_answer_head(const http::response_head& head) {
    answer_head made;
    for (const auto& line : head.headers) {
        if (http::equals_lower(line.name, "x-claude-proxy-request-id")) made.request_id = line.value;
        if (http::equals_lower(line.name, "content-type"))
            made.event_stream = http::equals_lower(line.value.substr(0, line.value.find(';')), "text/event-stream");
        if (http::equals_lower(line.name, "retry-after")) {
            std::uint32_t seconds = 0;
            const char* const end = line.value.data() + line.value.size();
            if (const auto read = std::from_chars(line.value.data(), end, seconds);
                read.ec == std::errc() && read.ptr == end)
                made.retry_after = std::chrono::seconds(seconds);
        }
    }
    return made;
}

error_text read_error(std::string_view json) {
    error_text made;
    boost::system::error_code problem;
    const auto value = boost::json::parse(json, problem);
    if (problem || !value.is_object()) return made;
    const auto* const error = object_at(value.get_object(), "error");
    if (!error) return made;
    made.is_envelope = true;
    made.type = text_at(*error, "type");
    if (const auto* const details = object_at(*error, "details")) made.reason = text_at(*details, "reason");
    return made;
}

std::size_t before_error_event(std::string_view log) {
    std::size_t event = 0;  // where the event of the line begins
    std::size_t found = log.size();
    for (std::size_t at = 0; at < log.size();) {
        const std::size_t end = std::min(log.find_first_of("\r\n", at), log.size());
        const std::string_view line = log.substr(at, end - at);
        if (line.starts_with("id:")) event = at;
        if (line == "event: error" || line == "event:error") found = event;
        at = end + 1;
    }
    return found;
}

std::string usage_of(std::string_view message) {
    static constexpr std::string_view wanted[] = {"usage"};
    anthropic::member_scanner scanner(wanted);
    scanner.feed(message);
    const auto* const found = scanner.find("usage");
    return found ? found->text : std::string();
}

}  // namespace worker
