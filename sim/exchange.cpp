#include "exchange.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "state.hpp"

namespace sim {

namespace json = boost::json;

std::string exchange::read_body(std::uint64_t bytes_max) {
    const api_error too_large{
        .status = 413, .type = "request_too_large", .message = "Request exceeds the maximum size"};
    std::string text;
    if (asked.content_length) {
        if (*asked.content_length > bytes_max) throw too_large;
        text.reserve(*asked.content_length);
    }
    std::array<char, 32768> buffer;
    while (const std::size_t got = body.read_body(buffer.data(), buffer.size())) {
        if (text.size() + got > bytes_max) throw too_large;
        text.append(buffer.data(), got);
    }
    return text;
}

json::value exchange::read_json(std::uint64_t bytes_max) {
    const std::string text = read_body(bytes_max);
    constexpr std::size_t depth_max = 256;
    json::error_code failure;
    json::stream_parser parser(
        {},
        {.max_depth = depth_max, .allow_comments = false, .allow_trailing_commas = false, .allow_invalid_utf8 = false});
    std::size_t read = parser.write_some(text.data(), text.size(), failure);
    if (!failure && text.find_first_not_of(" \t\r\n", read) != std::string::npos) failure = json::error::extra_data;
    if (!failure) parser.finish(failure);
    if (!failure) return parser.release();
    const std::string_view before = std::string_view(text).substr(0, read);
    const auto lines = std::ranges::count(before, '\n');
    const auto column = before.size() - (before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1);
    throw invalid(fmt::format("The request body is not valid JSON: {}: line {} column {} (char {})", failure.message(),
                              lines + 1, column + 1, read));
}

void exchange::save() {
    row.response_bytes = out.body_bytes();
    if (recorded) world.truth.save(row);
}

void exchange::send(int status, std::string_view content_type, std::string_view text) {
    // A request that was refused half-read is cheaper to end than to read on.
    const std::uint64_t unread = asked.content_length.value_or(unread_bytes_max + 1) -
                                 std::min(asked.content_length.value_or(0), body.body_bytes());
    if (body.awaits_continue() || (!body.body_finished() && unread > unread_bytes_max)) out.close_afterwards();
    row.status = status;
    row.complete = true;
    save();
    out.send(status, content_type, text);
}

std::string exchange::wish(std::string_view name, std::string_view text) const {
    if (asked.count(name) > 0) return std::string(asked.value(name));
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        const std::string_view line = trim(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ':') {
            return std::string(trim(line.substr(name.size() + 1)));
        }
    }
    return {};
}

bool exchange::play_early_faults() {
    const fault_plan& plan = out.plan;
    if (plan.slow_head) out.peer().sleep_for(*plan.slow_head);
    if (plan.ends_before_head()) {
        if (plan.rst) out.peer().reset_on_close();
        throw connection_cut{plan.rst};
    }
    if (plan.html) {
        out.bare = true;
        send(*plan.html, "text/html; charset=UTF-8",
             fmt::format("<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
                         "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n",
                         *plan.html));
        return true;
    }
    if (plan.status) {
        throw api_error{.status = plan.status->status,
                        .type = std::string(error_type_of(plan.status->status)),
                        .message = std::string(error_message_of(plan.status->status)),
                        .retry_after = plan.status->retry_after,
                        .should_retry = plan.status->should_retry};
    }
    return false;
}

}  // namespace sim
