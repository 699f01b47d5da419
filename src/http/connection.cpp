#include "http/connection.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace http {

using base::errc;
using base::fail;
using net::io_status;
using net::wake;

namespace {

// One read takes a whole small request; the rest of a large body is read to where it stays.
constexpr std::size_t head_read_bytes = 16 * 1024;
// Of a body that nobody wanted: so much is read away to keep the connection, beyond it a new one is cheaper.
constexpr std::uint64_t unread_body_bytes_max = 1 << 20;

iovec part_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

}  // namespace

body_reservation::body_reservation(body_reservation&& other) noexcept
    : load_(std::exchange(other.load_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

body_reservation& body_reservation::operator=(body_reservation&& other) noexcept {
    if (this != &other) {
        release();
        load_ = std::exchange(other.load_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
}

void body_reservation::release() {
    if (load_ && bytes_ > 0) load_->in_flight_bytes.fetch_sub(bytes_, std::memory_order_relaxed);
    bytes_ = 0;
}

bool body_reservation::try_take(server_load& load, std::uint64_t bytes, std::uint64_t limit, body_reservation& taken) {
    taken = body_reservation(load, 0);
    return taken.grow(bytes, limit);
}

bool body_reservation::grow(std::uint64_t more, std::uint64_t limit) {
    const std::uint64_t before = load_->in_flight_bytes.fetch_add(more, std::memory_order_relaxed);
    if (before + more > limit) {
        load_->in_flight_bytes.fetch_sub(more, std::memory_order_relaxed);
        return false;
    }
    bytes_ += more;
    return true;
}

connection::connection(net::reactor& owner, int fd, const server_options& options, server_load& load)
    : stream_(owner, fd), timer_(owner), options_(options), load_(load) {}

const std::string& connection::peer() {
    if (peer_.empty()) peer_ = net::peer_address(stream_.fd());
    return peer_;
}

net::task<bool> connection::accept_tls(ssl_ctx_st& context) {
    net::ssl_ptr ssl(SSL_new(&context));
    if (!ssl) co_return false;
    SSL_set_accept_state(ssl.get());
    stream_.use_tls(std::move(ssl));
    timer_.set_after(options_.head_timeout.count());
    for (;;) {
        const auto outcome = stream_.handshake();
        if (outcome.status == io_status::done) co_return true;
        if (outcome.status != io_status::blocked) co_return false;
        if (co_await stream_.unblocked(timer_) != wake::ready) co_return false;
    }
}

void connection::keep_input() {
    if (input_.data() == kept_.data() || input_.empty()) {
        if (input_.empty()) {
            kept_ = std::string();  // an idle connection keeps no buffer
            input_ = {};
        }
        return;
    }
    std::string moved(input_);  // input_ may point into kept_
    kept_.swap(moved);
    input_ = kept_;
}

// Reads more bytes behind the unread ones; the deadline is the caller's.
net::task<connection::fill_outcome> connection::fill() {
    for (;;) {
        const std::span<char> scratch = reactor().scratch();
        const bool in_scratch =
            !input_.empty() && input_.data() >= scratch.data() && input_.data() < scratch.data() + scratch.size();
        if (in_scratch) keep_input();
        // What epoll has not announced is not asked for: one system call less a request.
        const auto got =
            stream_.has_unread() ? stream_.read(scratch.first(head_read_bytes)) : net::io_result{io_status::blocked};
        switch (got.status) {
            case io_status::done:
                if (input_.empty()) {
                    input_ = {scratch.data(), got.bytes};
                } else {
                    std::string joined;
                    joined.reserve(input_.size() + got.bytes);
                    joined.append(input_).append(scratch.data(), got.bytes);
                    kept_.swap(joined);
                    input_ = kept_;
                }
                co_return fill_outcome::data;
            case io_status::end:
                co_return fill_outcome::end;
            case io_status::failed:
                co_return fill_outcome::failed;
            case io_status::blocked:
                break;
        }
        switch (co_await stream_.readable(timer_)) {
            case wake::ready:
                break;
            case wake::timeout:
                co_return fill_outcome::timeout;
            case wake::hangup:
            case wake::cancelled:
                co_return fill_outcome::cancelled;
        }
    }
}

net::task<next_request> connection::read_head(request_head& head) {
    const head_limits limits{options_.head_bytes_max, options_.headers_max};
    const auto refuse = [this](base::error why) {
        refusal_ = std::move(why);
        close_after_ = true;
        keep_alive_ = false;
        return next_request::refused;
    };
    bytes_written_ = 0;
    body_bytes_ = 0;
    body_waited_ms_ = 0;
    body_ended_ = true;
    framing_ = body_framing::none;
    continue_owed_ = false;
    close_after_ = false;
    request_began_us_ = 0;
    between_requests_ = input_.empty();
    timer_.set_after(options_.keep_alive_timeout.count());

    head_search search;
    for (;;) {
        if (!input_.empty()) {
            if (request_began_us_ == 0) {
                request_began_us_ = net::monotonic_us();
                between_requests_ = false;
                if (idle_close_asked_) timer_.revive();  // the request came first after all
                idle_close_asked_ = false;
                timer_.set_after(options_.head_timeout.count());
            }
            const auto ended = head_end(input_, limits, search);
            if (!ended) co_return refuse(ended.error());
            if (*ended) break;
        }
        switch (co_await fill()) {
            case fill_outcome::data:
                break;
            case fill_outcome::timeout:
                if (input_.empty()) co_return next_request::closed;
                co_return refuse(
                    {errc::request_timeout, "The request's head did not arrive in time (CLAUDE_PROXY_HEAD_TIMEOUT)."});
            case fill_outcome::end:
            case fill_outcome::failed:
            case fill_outcome::cancelled:
                co_return next_request::closed;
        }
    }

    const std::string_view bytes = input_.substr(0, search.line_begin);
    if (auto parsed = parse_request(bytes, limits, head); !parsed) co_return refuse(std::move(parsed.error()));
    input_.remove_prefix(bytes.size());
    framing_ = head.framing;
    keep_alive_ = head.keep_alive;
    continue_owed_ = head.expect_continue;
    chunks_ = chunk_decoder();
    body_left_ = head.framing == body_framing::length ? head.content_length : 0;
    body_ended_ = head.framing == body_framing::none || (head.framing == body_framing::length && body_left_ == 0);
    co_return next_request::ready;
}

void connection::close_if_idle() {
    if (!between_requests_ || idle_close_asked_ || timer_.cancelled()) return;
    idle_close_asked_ = true;
    timer_.cancel();
}

std::string_view connection::take_buffered_body(std::size_t bytes_max) {
    if (framing_ != body_framing::length) return {};
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>({input_.size(), body_left_, bytes_max}));
    const std::string_view taken = input_.substr(0, size);
    input_.remove_prefix(size);
    body_left_ -= size;
    body_bytes_ += size;
    body_ended_ = body_left_ == 0;
    return taken;
}

// Payload from the unread input; 0 when more input is needed or the body has ended.
base::result<std::size_t> connection::decode_into(std::span<char> into) {
    if (framing_ == body_framing::length) {
        const std::string_view taken = take_buffered_body(into.size());
        std::memcpy(into.data(), taken.data(), taken.size());
        return taken.size();
    }
    // The coding never grows: as many coded bytes as there is room for can be decoded in place.
    const std::size_t coded = std::min(input_.size(), into.size());
    std::memcpy(into.data(), input_.data(), coded);
    const auto outcome = chunks_.decode(into.first(coded));
    input_.remove_prefix(outcome.consumed);
    body_bytes_ += outcome.payload;
    if (outcome.state == chunk_decoder::status::malformed) {
        close_after_ = true;
        return fail(errc::bad_framing, "The chunked body is malformed.");
    }
    body_ended_ = outcome.state == chunk_decoder::status::complete;
    return outcome.payload;
}

// A client may pause, and it may be slow, but not slower than body_bytes_per_second_min on the whole.
void connection::bound_body_wait() {
    const std::int64_t earned_ms =
        options_.body_idle_timeout.count() +
        static_cast<std::int64_t>(body_bytes_ * 1000 / std::max<std::uint64_t>(options_.body_bytes_per_second_min, 1));
    timer_.set_after(std::min<std::int64_t>(options_.body_idle_timeout.count(), earned_ms - body_waited_ms_));
}

net::task<base::result<std::size_t>> connection::read_body(std::span<char> into) {
    const auto gone = [this](fill_outcome how) {
        close_after_ = true;
        switch (how) {
            case fill_outcome::timeout:
                return fail(errc::request_timeout,
                            "The request's body stopped arriving (CLAUDE_PROXY_BODY_IDLE_TIMEOUT) or is too slow "
                            "(CLAUDE_PROXY_BODY_BYTES_PER_SECOND_MIN).");
            case fill_outcome::cancelled:
                return fail(errc::shutting_down, "The gateway is shutting down.");
            default:
                return fail(errc::client_left);
        }
    };
    while (!body_ended_) {
        if (!input_.empty()) {
            const auto got = decode_into(into);
            if (!got || *got > 0) co_return got;
            if (body_ended_) break;
            continue;
        }
        if (continue_owed_) {
            continue_owed_ = false;
            if (const auto sent = co_await write("HTTP/1.1 100 Continue\r\n\r\n"); !sent)
                co_return std::unexpected(sent.error());
            bytes_written_ = 0;
            continue;
        }
        bound_body_wait();
        const std::int64_t wait_began_ms = reactor().now_ms();
        if (framing_ == body_framing::length && into.size() >= 4096) {
            // Large bodies go where they belong without a copy through the scratch.
            const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), body_left_));
            const auto got = stream_.has_unread() ? stream_.read(into.first(room)) : net::io_result{io_status::blocked};
            if (got.status == io_status::done) {
                body_left_ -= got.bytes;
                body_bytes_ += got.bytes;
                body_ended_ = body_left_ == 0;
                co_return got.bytes;
            }
            if (got.status != io_status::blocked) co_return gone(fill_outcome::end);
            const wake why = co_await stream_.readable(timer_);
            body_waited_ms_ += reactor().now_ms() - wait_began_ms;
            if (why != wake::ready)
                co_return gone(why == wake::timeout ? fill_outcome::timeout : fill_outcome::cancelled);
            continue;
        }
        const auto how = co_await fill();
        body_waited_ms_ += reactor().now_ms() - wait_began_ms;
        if (how != fill_outcome::data) co_return gone(how);
    }
    co_return std::size_t{0};
}

net::task<base::result<void>> connection::write(std::string_view text) {
    std::array parts{part_of(text)};
    co_return co_await write(parts);
}

bool connection::write_now(std::span<iovec> parts) {
    const auto wrote = stream_.write(parts);
    bytes_written_ += wrote.bytes;
    return wrote.status == io_status::done;
}

net::task<base::result<void>> connection::write(std::span<iovec> parts) {
    auto wrote = stream_.write(parts);
    bytes_written_ += wrote.bytes;
    if (wrote.status == io_status::done) co_return base::result<void>();
    if (wrote.status != io_status::blocked) {
        close_after_ = true;
        co_return fail(errc::client_left);
    }
    // What the client does not take now may lie in the scratch: keep it before anybody else runs.
    std::string rest;
    for (const auto& part : parts) rest.append(static_cast<const char*>(part.iov_base), part.iov_len);
    keep_input();
    std::array left{part_of(rest)};
    for (;;) {
        timer_.set_after(options_.write_idle_timeout.count());
        switch (co_await stream_.unblocked(timer_)) {
            case wake::ready:
                break;
            case wake::timeout:
                close_after_ = true;
                stream_.reset();
                co_return fail(errc::slow_reader, "The client took no bytes for the whole write_idle_timeout.");
            case wake::hangup:
            case wake::cancelled:
                close_after_ = true;
                co_return fail(errc::shutting_down, "The gateway is shutting down.");
        }
        wrote = stream_.write(left);
        bytes_written_ += wrote.bytes;
        if (wrote.status == io_status::done) co_return base::result<void>();
        if (wrote.status != io_status::blocked) {
            close_after_ = true;
            co_return fail(errc::client_left);
        }
    }
}

bool connection::will_keep_alive() const {
    if (!keep_alive_ || close_after_ || load_.draining.load(std::memory_order_relaxed)) return false;
    // A body that nobody will read in full costs more than a new connection.
    return body_ended_ || (framing_ == body_framing::length && body_left_ <= unread_body_bytes_max && !continue_owed_);
}

net::task<bool> connection::finish_request() {
    // Only what the answer's head has promised counts: a drain that began since then must not break the promise.
    if (close_after_ || !keep_alive_) {
        if (!body_ended_ || stream_.has_unread() || !input_.empty()) co_await linger();
        co_return false;
    }
    if (body_ended_) {
        keep_input();
        co_return true;
    }
    std::uint64_t read_away = 0;
    std::array<char, 4095> sink;
    while (!body_ended_) {
        const auto got = co_await read_body(sink);
        if (!got) co_return false;
        read_away += *got;
        if (read_away > unread_body_bytes_max) {
            co_await linger();
            co_return false;
        }
    }
    keep_input();
    co_return true;
}

net::task<void> connection::linger() {
    input_ = {};
    kept_ = std::string();
    stream_.shutdown_write();
    timer_.set_after(options_.linger_timeout.count());
    std::uint64_t read_away = 0;
    while (read_away < options_.linger_bytes_max) {
        const auto got = stream_.read(reactor().scratch());
        if (got.status == io_status::done) {
            read_away += got.bytes;
        } else if (got.status != io_status::blocked) {
            co_return;
        } else if (co_await stream_.unblocked(timer_) != wake::ready) {
            co_return;
        }
    }
}

}  // namespace http
