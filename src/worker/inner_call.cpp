#include "worker/inner_call.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "gateway/job_front.hpp"
#include "http/server.hpp"

namespace worker {
namespace {

using base::errc;
using base::fail;
using net::io_status;

constexpr http::head_limits head_limits_of_answers{64 * 1024, 256};

iovec part_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

struct counted {
    std::atomic<std::uint32_t>& count;
    explicit counted(std::atomic<std::uint32_t>& what) : count(what) { ++count; }
    ~counted() { --count; }
};

// The front's side. It lives on its own: a call that was given up settles after its job has gone on.
net::task<void> serve_call(lane& on, int fd, std::shared_ptr<const governance::caller> who, std::string job_id,
                           std::shared_ptr<governance::arrived_money> money) {
    const counted under_way(on.counts.requests_under_way);
    http::connection client(on.reactor, fd, on.http, on.load);
    gateway::job_front front(on.parts, std::move(who), std::move(job_id), std::move(money));
    http::request_head head;
    co_await http::serve_requests(client, head, front);
}

}  // namespace

inner_call::inner_call(lane& on, net::timer& clock, std::shared_ptr<const governance::caller> who, std::string job_id,
                       std::shared_ptr<governance::arrived_money> money)
    : lane_(on), clock_(clock) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0)
        throw std::system_error(errno, std::generic_category(), "no connection inside of the process");
    lane_.reactor.spawn(serve_call(on, ends[1], std::move(who), std::move(job_id), std::move(money)));
    stream_ = std::make_unique<net::stream>(on.reactor, ends[0]);
}

net::task<base::result<void>> inner_call::send(std::string_view head, std::string_view body) {
    std::array parts{part_of(head), part_of(body)};
    for (;;) {
        const auto wrote = stream_->write(parts);
        if (wrote.status == io_status::done) co_return base::result<void>();
        if (wrote.status != io_status::blocked) co_return base::result<void>();  // the answer may say why
        if (stream_->has_unread()) co_return base::result<void>();
        if (co_await stream_->readable_or_writable(clock_) != net::wake::ready) co_return fail(errc::shutting_down);
    }
}

// Whatever has come, in the scratch. Empty: the front has closed its end.
net::task<base::result<std::string_view>> inner_call::receive() {
    for (;;) {
        const auto scratch = lane_.reactor.scratch();
        const auto got = stream_->has_unread() ? stream_->read(scratch) : net::io_result{io_status::blocked};
        if (got.status == io_status::done) co_return std::string_view(scratch.data(), got.bytes);
        if (got.status == io_status::end) co_return std::string_view();
        if (got.status == io_status::failed) co_return fail(errc::upstream_cut, "The request broke off.");
        if (co_await stream_->readable(clock_) != net::wake::ready) co_return fail(errc::shutting_down);
    }
}

net::task<base::result<const http::response_head*>> inner_call::read_head() {
    http::head_search search;
    for (;;) {
        const auto got = co_await receive();
        if (!got) co_return std::unexpected(got.error());
        if (got->empty()) co_return fail(errc::upstream_cut, "The request ended without an answer.");
        kept_.append(*got);
        const auto ended = http::head_end(kept_, head_limits_of_answers, search);
        if (!ended) co_return std::unexpected(ended.error());
        if (!*ended) continue;
        const std::string_view whole = kept_;
        const std::string_view bytes = whole.substr(0, search.line_begin);
        if (auto parsed = http::parse_response(bytes, head_limits_of_answers, false, head_); !parsed)
            co_return std::unexpected(std::move(parsed.error()));
        unread_ = whole.substr(bytes.size());
        framing_ = head_.framing;
        body_left_ = head_.content_length;
        ended_ = framing_ == http::body_framing::none || (framing_ == http::body_framing::length && body_left_ == 0);
        co_return &head_;
    }
}

// Of `unread_`, as much as the framing lets through.
std::string_view inner_call::take_payload(base::result<void>& how) {
    std::string_view payload = unread_;
    if (framing_ == http::body_framing::length) {
        payload = unread_.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(unread_.size(), body_left_)));
        body_left_ -= payload.size();
        ended_ = body_left_ == 0;
    } else if (framing_ == http::body_framing::chunked) {
        const auto decoded = chunks_.decode({const_cast<char*>(unread_.data()), unread_.size()});
        payload = unread_.substr(0, decoded.payload);
        ended_ = decoded.state == http::chunk_decoder::status::complete;
        if (decoded.state == http::chunk_decoder::status::malformed)
            how = fail(errc::upstream_protocol_error, "The answer's chunks are malformed.");
    }
    unread_ = {};
    return payload;
}

net::task<base::result<std::string_view>> inner_call::read() {
    base::result<void> how;
    while (!ended_) {
        if (unread_.empty()) {
            const auto got = co_await receive();
            if (!got) co_return std::unexpected(got.error());
            if (got->empty()) {
                ended_ = true;
                if (framing_ == http::body_framing::until_close) break;
                co_return fail(errc::upstream_cut, "The answer broke off.");
            }
            unread_ = *got;
        }
        const std::string_view payload = take_payload(how);
        if (!how) co_return std::unexpected(how.error());
        if (!payload.empty()) co_return payload;
    }
    co_return std::string_view();
}

}  // namespace worker
