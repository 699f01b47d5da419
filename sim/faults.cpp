#include "faults.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "text.hpp"

namespace sim {

namespace {

using number = std::optional<std::uint64_t>;

struct fault_kind {
    std::string_view name;
    std::string_view argument;  // for the help; empty: takes none, [X]: optional
    std::string_view help;
    // Returns false when the argument is wrong.
    bool (*apply)(fault_plan&, std::string_view argument);
};

bool read_count(std::string_view text, number& into) {
    std::uint64_t value = 0;
    if (!read_number(text, value)) return false;
    into = value;
    return true;
}

bool read_time(std::string_view text, std::optional<std::chrono::milliseconds>& into) {
    number value;
    if (!read_count(text, value) || *value > 86'400'000) return false;
    into = std::chrono::milliseconds(*value);
    return true;
}

bool set(std::string_view argument, bool& flag) {
    flag = true;
    return argument.empty();
}

// N[;retry-after=S][;should-retry=true|false]
bool read_status(fault_plan& plan, std::string_view text) {
    status_fault result;
    const auto end = std::min(text.find(';'), text.size());
    number status;
    if (!read_count(text.substr(0, end), status) || *status < 400 || *status > 599) return false;
    result.status = static_cast<int>(*status);
    text.remove_prefix(end);
    while (!text.empty()) {
        text.remove_prefix(1);
        const auto stop = std::min(text.find(';'), text.size());
        const std::string_view part = trim(text.substr(0, stop));
        text.remove_prefix(stop);
        constexpr std::string_view retry_after = "retry-after=";
        constexpr std::string_view should_retry = "should-retry=";
        if (part.starts_with(retry_after)) {
            if (!read_count(part.substr(retry_after.size()), result.retry_after)) return false;
        } else if (part.starts_with(should_retry)) {
            result.should_retry = part.substr(should_retry.size());
        } else {
            return false;
        }
    }
    plan.status = result;
    return true;
}

bool read_html(fault_plan& plan, std::string_view text) {
    number status;
    if (!read_count(text.empty() ? "502" : text, status) || *status < 400 || *status > 599) return false;
    plan.html = static_cast<int>(*status);
    return true;
}

bool read_overload(fault_plan& plan, std::string_view text) {
    if (text.empty() || text == "first")
        plan.overload = overload_place::first;
    else if (text == "start")
        plan.overload = overload_place::start;
    else if (text == "content")
        plan.overload = overload_place::content;
    else
        return false;
    return true;
}

constexpr fault_kind kinds[] = {
    {"status", "N[;retry-after=S][;should-retry=B]", "answer with status N (400-599) in the error envelope",
     read_status},
    {"html", "[N]", "answer with an edge error page in HTML, no request-id (default 502)", read_html},
    {"slow-head", "MS", "wait before the response head",
     [](fault_plan& plan, std::string_view text) { return read_time(text, plan.slow_head); }},
    {"delay-first-event", "MS", "send the head, then wait before the first event",
     [](fault_plan& plan, std::string_view text) { return read_time(text, plan.delay_first_event); }},
    {"event-interval", "MS", "pace the stream: wait before every event but the first, one write each",
     [](fault_plan& plan, std::string_view text) { return read_time(text, plan.event_interval); }},
    {"stall-after-events", "N", "go silent after N events, until the client leaves",
     [](fault_plan& plan, std::string_view text) { return read_count(text, plan.stall_after_events); }},
    {"stall-after-bytes", "N", "go silent after N body bytes, until the client leaves",
     [](fault_plan& plan, std::string_view text) { return read_count(text, plan.stall_after_bytes); }},
    {"cut-at-byte", "N", "close the connection after N body bytes",
     [](fault_plan& plan, std::string_view text) { return read_count(text, plan.cut_at_byte); }},
    {"cut-after-events", "N", "close the connection after N events",
     [](fault_plan& plan, std::string_view text) { return read_count(text, plan.cut_after_events); }},
    {"cut-before-head", "", "read the request, then close the connection",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.cut_before_head); }},
    {"rst", "", "reset (RST) instead of close: alone before the head, beside a cut at that cut",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.rst); }},
    {"clean-eof-after-events", "N", "end the body properly after N events, without message_stop",
     [](fault_plan& plan, std::string_view text) { return read_count(text, plan.clean_eof_after_events); }},
    {"overload-in-stream", "[first|start|content]",
     "an overloaded_error event as the first event, after message_start, or after some content", read_overload},
    {"garbage", "N", "N random bytes and a blank line between two events (sync: before the JSON)",
     [](fault_plan& plan, std::string_view text) { return read_count(text, plan.garbage); }},
    {"garbage-json", "", "one event whose data is no JSON (sync: a truncated body)",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.garbage_json); }},
    {"crlf", "", "CRLF line ends in the stream",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.crlf); }},
    {"split", "N", "write the body in pieces of N bytes, one chunk and one TCP write each",
     [](fault_plan& plan, std::string_view text) { return read_count(text, plan.split) && *plan.split > 0; }},
    {"unknown-events", "", "events, delta types and fields that nobody knows",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.unknown_events); }},
    {"trailing-spaces", "", "spaces behind the JSON of each event",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.trailing_spaces); }},
    {"no-usage", "", "no usage object anywhere",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.no_usage); }},
    {"close-delimited", "", "no content-length, no chunks: the body ends with the connection",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.close_delimited); }},
    {"http10", "", "answer as HTTP/1.0, the body ends with the connection",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.http10); }},
    {"bad-chunk", "", "a chunk size that is no number, after the first chunk",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.bad_chunk); }},
    {"big-head", "N", "one more response header of N bytes",
     [](fault_plan& plan, std::string_view text) {
         return read_count(text, plan.big_head) && *plan.big_head <= 1 << 20;
     }},
    {"informational", "", "a 103 response before the real one",
     [](fault_plan& plan, std::string_view text) { return set(text, plan.informational); }},
};

}  // namespace

std::optional<std::string> fault_plan::add(std::string_view text) {
    while (!text.empty()) {
        const auto end = std::min(text.find(','), text.size());
        const std::string_view item = trim(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (item.empty()) continue;
        const auto equals = std::min(item.find('='), item.size());
        const std::string_view argument = trim(item.substr(std::min(equals + 1, item.size())));
        const auto kind = std::ranges::find(kinds, trim(item.substr(0, equals)), &fault_kind::name);
        if (kind == std::end(kinds)) return fmt::format("x-sim-fault: unknown kind in '{}'", item);
        if (!kind->apply(*this, argument)) return fmt::format("x-sim-fault: bad argument in '{}'", item);
    }
    return {};
}

bool fault_plan::ends_before_head() const {
    const bool cuts_later = cut_at_byte || cut_after_events;
    return cut_before_head || (rst && !cuts_later);
}

std::string fault_help() {
    std::string text;
    for (const fault_kind& kind : kinds) {
        const std::string form = kind.argument.empty() ? std::string(kind.name)
                                 : kind.argument.starts_with('[')
                                     ? fmt::format("{}[={}", kind.name, kind.argument.substr(1))
                                     : fmt::format("{}={}", kind.name, kind.argument);
        text += form.size() > 30 ? fmt::format("  {}\n  {:<30} {}\n", form, "", kind.help)
                                 : fmt::format("  {:<30} {}\n", form, kind.help);
    }
    return text;
}

void armed_faults::arm(entry what) {
    constexpr std::size_t entries_max = 10'000;
    const std::lock_guard lock(mutex_);
    if (entries_.size() >= entries_max) entries_.pop_front();
    entries_.push_back(std::move(what));
}

void armed_faults::clear() {
    const std::lock_guard lock(mutex_);
    entries_.clear();
}

std::deque<armed_faults::entry> armed_faults::list() const {
    const std::lock_guard lock(mutex_);
    return entries_;
}

namespace {

bool matches(const armed_faults::entry& entry, std::string_view method, std::string_view path, std::string_view key) {
    const std::string_view wanted = entry.path;
    const bool path_fits = wanted.empty() || wanted == path ||
                           (wanted.ends_with('*') && path.starts_with(wanted.substr(0, wanted.size() - 1)));
    return path_fits && (entry.method.empty() || entry.method == method) && key.ends_with(entry.key_suffix);
}

}  // namespace

std::string armed_faults::take(std::string_view method, std::string_view path, std::string_view key) {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::ranges::find_if(entries_, [&](const entry& one) { return matches(one, method, path, key); });
    if (found == entries_.end()) return {};
    std::string fault = found->fault;
    if (--found->count == 0) entries_.erase(found);
    return fault;
}

}  // namespace sim
