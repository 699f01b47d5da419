#include "upstream/client.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace upstream {

using base::errc;
using base::fail;
using http::body_framing;
using net::io_status;
using net::wake;

namespace {

constexpr milliseconds sweep_every{1'000};
constexpr milliseconds resolve_poll{20};
constexpr std::size_t response_headers_max = 256;

iovec part_of(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

}  // namespace

client::client(net::reactor& owner, const options& settings, const origin& where, net::resolver& names,
               SSL_CTX* tls_context)
    : reactor_(owner), options_(settings), origin_(where), resolver_(names), sweep_timer_(owner) {
    if (tls_context) tls_.emplace(*tls_context, where.host);
    use_credentials(settings.credentials);
    reactor_.spawn(sweep());
}

client::~client() = default;

void client::use_credentials(std::span<const base::secret> all) {
    credential_lines_.clear();
    for (const auto& credential : all) {
        // OAuth tokens travel as bearer, keys in x-api-key; exactly one of the two (docs/protocol.md, credentials).
        const bool bearer = credential.reveal().starts_with("sk-ant-oat");
        credential_lines_.push_back((bearer ? "authorization: Bearer " : "x-api-key: ") +
                                    std::string(credential.reveal()) + "\r\n");
    }
}

std::string_view client::credential_line() {
    if (credential_lines_.empty()) return {};
    return credential_lines_[next_credential_++ % credential_lines_.size()];
}

std::unique_ptr<net::stream> client::take_idle() {
    while (!idle_.empty()) {
        auto stream = std::move(idle_.back().stream);
        idle_.pop_back();
        counts_.idle.fetch_sub(1, std::memory_order_relaxed);
        if (stream->tls() && stream->has_unread() && !stream->hung_up()) {
            // A session ticket may have come; anything else, or an end, makes the read return something.
            std::array<char, 1> probe;
            if (stream->read(probe).status == io_status::blocked) return stream;
        } else if (!stream->has_unread() && !stream->hung_up()) {
            return stream;
        }
        counts_.stale.fetch_add(1, std::memory_order_relaxed);
    }
    return nullptr;
}

void client::put_idle(std::unique_ptr<net::stream> stream) {
    if (idle_.size() >= options_.idle_connections_max || stream->hung_up()) return;
    idle_.push_back({std::move(stream), reactor_.now_ms()});
    counts_.idle.fetch_add(1, std::memory_order_relaxed);
}

// Closes pooled connections that are too old or that the upstream has closed.
net::task<void> client::sweep() {
    for (;;) {
        sweep_timer_.set_after(sweep_every.count());
        net::wait_op pause{nullptr, false, false, nullptr, sweep_timer_};
        co_await pause;
        const std::int64_t oldest = reactor_.now_ms() - options_.keep_alive_timeout.count();
        const auto removed = std::erase_if(
            idle_, [&](const idle_connection& entry) { return entry.since_ms < oldest || entry.stream->hung_up(); });
        counts_.idle.fetch_sub(static_cast<std::int64_t>(removed), std::memory_order_relaxed);
    }
}

call::call(client& owner, net::timer& clock, net::stream* downstream)
    : client_(owner), clock_(clock), downstream_(downstream) {
    total_deadline_ms_ = client_.reactor_.now_ms() + client_.options_.total_timeout.count();
    client_.counts_.active.fetch_add(1, std::memory_order_relaxed);
}

call::~call() {
    client_.counts_.active.fetch_sub(1, std::memory_order_relaxed);
    if (stream_ && complete_ && keep_alive_ && fully_sent_) client_.put_idle(std::move(stream_));
}

void call::bound(milliseconds at_most) {
    clock_.set(std::min(client_.reactor_.now_ms() + at_most.count(), total_deadline_ms_));
}

base::error call::explain(wake why, errc on_timeout) const {
    switch (why) {
        case wake::hangup:
            return {errc::client_left};
        case wake::cancelled:
            return {errc::shutting_down, "The gateway is shutting down."};
        case wake::timeout:
            if (client_.reactor_.now_ms() >= total_deadline_ms_) {
                return {errc::upstream_total_timeout, "The call took longer than CLAUDE_PROXY_UPSTREAM_TOTAL_TIMEOUT."};
            }
            break;
        case wake::ready:
            break;
    }
    switch (on_timeout) {
        case errc::upstream_connect_timeout:
            return {on_timeout, "No connection to the upstream within CLAUDE_PROXY_UPSTREAM_CONNECT_TIMEOUT."};
        case errc::upstream_head_timeout:
            return {on_timeout, "The upstream did not begin to answer within CLAUDE_PROXY_UPSTREAM_HEAD_TIMEOUT."};
        case errc::upstream_first_content_timeout:
            return {on_timeout, "The stream had no content within CLAUDE_PROXY_UPSTREAM_FIRST_CONTENT_TIMEOUT."};
        default:
            return {on_timeout, "The upstream was silent for CLAUDE_PROXY_UPSTREAM_IDLE_TIMEOUT."};
    }
}

net::task<base::result<void>> call::connect(reuse pooled, milliseconds at_most) {
    if (pooled == reuse::allowed) {
        stream_ = client_.take_idle();
        if (stream_) {
            reused_ = true;
            client_.counts_.reuses.fetch_add(1, std::memory_order_relaxed);
            co_return base::result<void>();
        }
    }
    client_.counts_.connects.fetch_add(1, std::memory_order_relaxed);
    bound(at_most);
    auto addresses = client_.resolver_.addresses();
    const std::int64_t deadline = clock_.deadline_ms();
    while (addresses->empty()) {  // the first answer of the resolver is still to come
        if (client_.reactor_.now_ms() >= deadline) {
            client_.counts_.connect_failures.fetch_add(1, std::memory_order_relaxed);
            co_return fail(errc::upstream_unresolved, "The name of the upstream's host cannot be resolved.");
        }
        clock_.set_after(resolve_poll.count());
        net::wait_op pause{nullptr, false, false, nullptr, clock_};
        if (co_await pause == wake::cancelled) co_return std::unexpected(explain(wake::cancelled, errc::internal));
        addresses = client_.resolver_.addresses();
    }
    clock_.set(deadline);
    base::error last{errc::upstream_connect_failed};
    for (std::size_t tried = 0; tried < addresses->size(); ++tried) {
        const auto& where = (*addresses)[(client_.next_address_ + tried) % addresses->size()];
        auto connected = co_await connect_to(where);
        if (connected) {
            client_.next_address_ = (client_.next_address_ + tried) % addresses->size();  // stay with what works
            co_return connected;
        }
        last = std::move(connected.error());
        if (last.kind != errc::upstream_connect_failed) break;
    }
    stream_.reset();
    if (last.kind != errc::client_left) client_.counts_.connect_failures.fetch_add(1, std::memory_order_relaxed);
    co_return std::unexpected(std::move(last));
}

net::task<base::result<void>> call::connect_to(const net::endpoint& where) {
    const int fd = socket(where.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        co_return fail(errc::upstream_connect_failed,
                       std::string("No socket for the upstream: ") + std::strerror(errno) + ".");
    }
    const int begun = ::connect(fd, reinterpret_cast<const sockaddr*>(&where.address), where.size);
    const int problem = begun == 0 ? 0 : errno;
    stream_ = std::make_unique<net::stream>(client_.reactor_, fd);
    if (problem != 0 && problem != EINPROGRESS) {
        co_return fail(errc::upstream_connect_failed,
                       std::string("The upstream cannot be reached: ") + std::strerror(problem) + ".");
    }
    if (problem == EINPROGRESS) {
        const wake why = co_await stream_->connected(clock_, downstream_);
        if (why != wake::ready) co_return std::unexpected(explain(why, errc::upstream_connect_timeout));
        int outcome = 0;
        socklen_t size = sizeof outcome;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome, &size);
        if (outcome != 0) {
            co_return fail(errc::upstream_connect_failed,
                           std::string("The upstream cannot be reached: ") + std::strerror(outcome) + ".");
        }
    }
    if (!client_.tls_) co_return base::result<void>();

    stream_->use_tls(client_.tls_->connection());
    for (;;) {
        const auto outcome = stream_->handshake();
        if (outcome.status == io_status::done) break;
        if (outcome.status != io_status::blocked) {
            co_return fail(errc::upstream_tls_failed, "TLS with the upstream failed: " + net::tls_error_text() + ".");
        }
        const wake why = co_await stream_->unblocked(clock_, downstream_);
        if (why != wake::ready) co_return std::unexpected(explain(why, errc::upstream_connect_timeout));
    }
    if (stream_->tls_resumed()) client_.counts_.tls_resumptions.fetch_add(1, std::memory_order_relaxed);
    co_return base::result<void>();
}

net::task<base::result<void>> call::send(std::string_view head, std::string_view body) {
    std::array parts{part_of(head), part_of(body)};
    auto sent = co_await send_more(parts);
    if (!sent) co_return std::unexpected(std::move(sent.error()));
    fully_sent_ = *sent;
    co_return base::result<void>();
}

net::task<base::result<bool>> call::send_more(std::span<iovec> parts) {
    for (;;) {
        const auto wrote = stream_->write(parts);
        if (wrote.status == io_status::done) {
            fully_sent_ = true;
            co_return true;
        }
        if (wrote.status != io_status::blocked) {
            fully_sent_ = false;
            co_return false;  // an answer may have come before the connection broke: read_head tells
        }
        // An early answer ends the sending. This must be asked of TLS too: with a session ticket unread the wait below
        // would be over at once, for ever.
        if (stream_->has_something_to_read()) {
            fully_sent_ = false;
            co_return false;
        }
        bound(client_.options_.idle_timeout);
        const wake why = co_await stream_->readable_or_writable(clock_, downstream_);
        if (why != wake::ready) co_return std::unexpected(explain(why, errc::upstream_idle_timeout));
    }
}

net::task<base::result<http::response_head*>> call::read_head(bool head_only, milliseconds at_most) {
    const http::head_limits limits{client_.options_.head_bytes_max, response_headers_max};
    const auto broken = [](std::string what) { return fail(errc::upstream_protocol_error, std::move(what)); };
    http::head_search search;
    bound(at_most);
    for (;;) {
        if (!unread_.empty()) {
            const auto ended = http::head_end(unread_, limits, search);
            if (!ended) co_return broken("The upstream's response head is broken: " + ended.error().detail);
            if (*ended) {
                http::response_head& head = client_.head_;
                const std::string_view bytes = unread_.substr(0, search.line_begin);
                if (auto parsed = http::parse_response(bytes, limits, head_only, head); !parsed) {
                    co_return std::unexpected(std::move(parsed.error()));
                }
                unread_.remove_prefix(bytes.size());
                if (head.status < 200) {
                    if (head.status == 101) co_return broken("The upstream switched protocols unasked.");
                    search = {};
                    continue;
                }
                framing_ = head.framing;
                body_left_ = head.framing == body_framing::length ? head.content_length : 0;
                keep_alive_ = head.keep_alive;
                complete_ = framing_ == body_framing::none || (framing_ == body_framing::length && body_left_ == 0);
                co_return &head;
            }
        }
        const std::span<char> scratch = reading_space();
        const bool in_scratch = !unread_.empty() && unread_.data() != kept_.data();
        if (in_scratch) {
            std::string moved(unread_);
            kept_.swap(moved);
            unread_ = kept_;
        }
        const auto got = stream_->has_unread() ? stream_->read(scratch) : net::io_result{io_status::blocked};
        if (got.status == io_status::done) {
            received_ += got.bytes;
            if (unread_.empty()) {
                unread_ = {scratch.data(), got.bytes};
            } else {
                kept_ = std::string(unread_).append(scratch.data(), got.bytes);
                unread_ = kept_;
            }
            continue;
        }
        if (got.status != io_status::blocked) {
            co_return fail(errc::upstream_cut, received_ == 0
                                                   ? "The upstream closed the connection without an answer."
                                                   : "The upstream closed the connection inside its response head.");
        }
        const wake why = co_await stream_->readable(clock_, downstream_);
        if (why != wake::ready) co_return std::unexpected(explain(why, errc::upstream_head_timeout));
    }
}

// The scratch without the margins that `read` promises.
std::span<char> call::reading_space() const {
    const std::span<char> scratch = client_.reactor_.scratch();
    return scratch.subspan(frame_margin, scratch.size() - 2 * frame_margin);
}

call::piece call::read() {
    if (complete_) return {got::end};
    const std::span<char> scratch = reading_space();
    std::span<char> bytes;
    if (!unread_.empty()) {
        // Behind the head: in the scratch (decoded in place), or kept, then moved there.
        if (unread_.data() >= scratch.data() && unread_.data() < scratch.data() + scratch.size()) {
            bytes = {const_cast<char*>(unread_.data()), unread_.size()};
        } else {
            const std::size_t size = std::min(unread_.size(), scratch.size());
            std::memcpy(scratch.data(), unread_.data(), size);
            bytes = scratch.first(size);
        }
        unread_.remove_prefix(bytes.size());
        if (unread_.empty()) kept_ = std::string();
    } else {
        if (!stream_->has_unread()) return {got::blocked};  // no system call to hear what epoll already told
        const auto result = stream_->read(scratch);
        switch (result.status) {
            case io_status::done:
                received_ += result.bytes;
                bytes = scratch.first(result.bytes);
                break;
            case io_status::blocked:
                return {got::blocked};
            case io_status::end:
                if (framing_ == body_framing::until_close) {
                    complete_ = true;
                    return {got::end};
                }
                [[fallthrough]];
            case io_status::failed:
                failure_ = {errc::upstream_cut, "The upstream's connection broke before its answer was complete."};
                return {got::failed};
        }
    }
    std::size_t payload = bytes.size();
    if (framing_ == body_framing::length) {
        if (payload > body_left_) {
            payload = static_cast<std::size_t>(body_left_);
            keep_alive_ = false;  // bytes behind the announced end: whatever they are, nobody asked for them
        }
        body_left_ -= payload;
        complete_ = body_left_ == 0;
    } else if (framing_ == body_framing::chunked) {
        const auto outcome = chunks_.decode(bytes);
        payload = outcome.payload;
        complete_ = outcome.state == http::chunk_decoder::status::complete;
        if (complete_ && outcome.consumed < bytes.size()) keep_alive_ = false;
        if (outcome.state == http::chunk_decoder::status::malformed) {
            failure_ = {errc::upstream_protocol_error, "The upstream's chunked body is malformed."};
            return {got::failed, {bytes.data(), payload}};
        }
    }
    if (payload == 0) return complete_ ? piece{got::end} : piece{got::blocked};
    return {got::data, {bytes.data(), payload}, complete_};
}

}  // namespace upstream
