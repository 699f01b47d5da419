#include "http.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "text.hpp"

namespace sim {

std::string_view request::value(std::string_view name) const {
    const auto found = std::ranges::find(headers, name, &header::name);
    return found == headers.end() ? std::string_view{} : std::string_view(found->value);
}

std::size_t request::count(std::string_view name) const {
    return static_cast<std::size_t>(std::ranges::count(headers, name, &header::name));
}

std::vector<std::string> request::parameters(std::string_view name) const {
    std::vector<std::string> values;
    std::string_view rest = query;
    while (!rest.empty()) {
        const auto end = std::min(rest.find('&'), rest.size());
        const std::string_view pair = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const auto equals = std::min(pair.find('='), pair.size());
        if (percent_decoded(pair.substr(0, equals)) != name) continue;
        values.push_back(percent_decoded(pair.substr(std::min(equals + 1, pair.size()))));
    }
    return values;
}

std::optional<std::string> request::parameter(std::string_view name) const {
    auto values = parameters(name);
    if (values.empty()) return {};
    return std::move(values.front());
}

bool request_reader::fill(steady::time_point deadline) {
    constexpr std::size_t step = 16384;
    if (begin_ > 0) {
        buffer_.erase(0, begin_);
        begin_ = 0;
    }
    const std::size_t before = buffer_.size();
    buffer_.resize(before + step);
    const std::size_t got = peer_.read_some(buffer_.data() + before, step, deadline);
    buffer_.resize(before + got);
    return got > 0;
}

namespace {

bool is_token(std::string_view text) {
    constexpr std::string_view extra = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::ranges::all_of(text, [&](char letter) {
        return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
               (letter >= 'A' && letter <= 'Z') || extra.find(letter) != std::string_view::npos;
    });
}

void read_request_line(std::string_view line, request& result) {
    const auto first = line.find(' ');
    const auto last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) throw malformed_request{.message = "bad request line"};
    const std::string_view version = line.substr(last + 1);
    if (version != "HTTP/1.1" && version != "HTTP/1.0") throw malformed_request{505, "HTTP version not supported"};
    result.version_1_0 = version == "HTTP/1.0";
    result.keep_alive = !result.version_1_0;
    result.method = line.substr(0, first);
    result.target = line.substr(first + 1, last - first - 1);
    if (!is_token(result.method) || result.target.empty() || result.target.front() != '/') {
        throw malformed_request{.message = "bad method or target"};
    }
    const auto question = std::min(result.target.find('?'), result.target.size());
    result.path = percent_decoded(std::string_view(result.target).substr(0, question));
    result.query = result.target.substr(std::min(question + 1, result.target.size()));
}

void read_framing(request& result) {
    for (const header& field : result.headers) {
        if (field.name == "content-length") {
            std::uint64_t length = 0;
            if (!read_number(field.value, length)) throw malformed_request{.message = "bad content-length"};
            if (result.content_length) throw malformed_request{.message = "two content-length headers"};
            result.content_length = length;
        } else if (field.name == "transfer-encoding") {
            if (lower(field.value) != "chunked" || result.chunked) {
                throw malformed_request{.message = "unsupported transfer-encoding"};
            }
            result.chunked = true;
        } else if (field.name == "connection") {
            const std::string wish = lower(field.value);
            if (wish.find("close") != std::string::npos) result.keep_alive = false;
            if (wish.find("keep-alive") != std::string::npos) result.keep_alive = true;
        } else if (field.name == "expect") {
            result.expects_continue = lower(field.value) == "100-continue";
        }
    }
    if (result.chunked && result.content_length) {
        throw malformed_request{.message = "both content-length and transfer-encoding"};
    }
}

}  // namespace

std::optional<request> request_reader::next_head(milliseconds idle) {
    // Some clients send an empty line between requests; RFC 9112 asks servers to skip it.
    const auto deadline = steady::now() + idle;
    std::size_t end = std::string::npos;
    for (;;) {
        while (buffer_.compare(begin_, 2, "\r\n") == 0) begin_ += 2;
        end = buffer_.find("\r\n\r\n", begin_);
        if (end != std::string::npos) break;
        if (buffer_.size() - begin_ > head_bytes_max) throw malformed_request{431, "request head too large"};
        if (!fill(deadline)) {
            if (begin_ == buffer_.size()) return {};
            throw malformed_request{.message = "truncated request head"};
        }
    }
    std::string_view head(buffer_.data() + begin_, end + 2 - begin_);
    begin_ = end + 4;

    request result;
    const auto next_line = [&head] {
        const auto stop = head.find("\r\n");
        const std::string_view text = head.substr(0, stop);
        head.remove_prefix(stop + 2);
        return text;
    };
    read_request_line(next_line(), result);
    while (!head.empty()) {
        const std::string_view text = next_line();
        const auto colon = text.find(':');
        if (colon == std::string_view::npos || !is_token(text.substr(0, colon)) ||
            text.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos) {
            throw malformed_request{.message = "bad header line"};
        }
        result.headers.push_back({lower(text.substr(0, colon)), std::string(trim(text.substr(colon + 1)))});
    }
    read_framing(result);

    chunked_ = result.chunked;
    in_chunk_ = false;
    left_ = result.content_length.value_or(0);
    body_bytes_ = 0;
    body_finished_ = !chunked_ && left_ == 0;
    continue_wanted_ = result.expects_continue && !body_finished_;
    return result;
}

std::string_view request_reader::line() {
    constexpr std::size_t line_bytes_max = 8192;
    std::size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n", begin_)) == std::string::npos) {
        if (buffer_.size() - begin_ > line_bytes_max) throw malformed_request{.message = "chunk line too long"};
        if (!fill(steady::now() + body_patience)) throw client_left{};
    }
    const std::string_view text(buffer_.data() + begin_, end - begin_);
    begin_ = end + 2;
    return text;
}

void request_reader::next_chunk() {
    if (in_chunk_ && !line().empty()) throw malformed_request{.message = "chunk longer than its size"};
    const std::string_view text = line();
    const std::string_view size = trim(text.substr(0, std::min(text.find(';'), text.size())));
    const auto [end, failure] = std::from_chars(size.data(), size.data() + size.size(), left_, 16);
    if (size.empty() || failure != std::errc{} || end != size.data() + size.size()) {
        throw malformed_request{.message = "bad chunk size"};
    }
    in_chunk_ = true;
    if (left_ > 0) return;
    while (!line().empty()) continue;  // trailers are read and forgotten
    body_finished_ = true;
}

std::size_t request_reader::take(char* into, std::size_t size) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, left_));
    std::size_t got = std::min(wanted, buffer_.size() - begin_);
    if (got > 0) {
        std::memcpy(into, buffer_.data() + begin_, got);
        begin_ += got;
    } else {
        got = peer_.read_some(into, wanted, steady::now() + body_patience);
        if (got == 0) throw client_left{};
    }
    left_ -= got;
    body_bytes_ += got;
    return got;
}

std::size_t request_reader::read_body(char* into, std::size_t size) {
    if (body_finished_) return 0;
    if (continue_wanted_) {
        continue_wanted_ = false;
        peer_.write_all("HTTP/1.1 100 Continue\r\n\r\n");
    }
    if (chunked_ && left_ == 0) next_chunk();
    if (body_finished_) return 0;
    const std::size_t got = take(into, size);
    if (!chunked_ && left_ == 0) body_finished_ = true;
    return got;
}

}  // namespace sim
