// Calls to the upstream over pooled HTTP/1.1 connections; one client per reactor, nothing shared between them.
//
// A `call` is one attempt: connect (or take a pooled connection), send, read the head, read the body piece by piece.
// Its connection returns to the pool when the answer was read to its end, and is closed otherwise: destroying a call
// that is under way is how it is cancelled. Thread rule: the reactor's thread; one coroutine per call.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "http/chunked.hpp"
#include "http/head.hpp"
#include "net/resolver.hpp"
#include "net/stream.hpp"
#include "upstream/options.hpp"
#include "upstream/origin.hpp"

namespace upstream {

// Counts of one client; written by its reactor, read by whoever scrapes.
struct client_counts {
    std::atomic<std::uint64_t> connects{0};
    std::atomic<std::uint64_t> connect_failures{0};
    std::atomic<std::uint64_t> tls_resumptions{0};
    std::atomic<std::uint64_t> reuses{0};
    std::atomic<std::uint64_t> stale{0};  // pooled connections found closed
    std::atomic<std::int64_t> idle{0};    // in the pool now
    std::atomic<std::int64_t> active{0};  // calls under way
};

class client {
public:
    // `tls_context` may be null for http. All references outlive the client.
    client(net::reactor& owner, const options& settings, const origin& where, net::resolver& names,
           SSL_CTX* tls_context);
    ~client();

    const origin& where() const { return origin_; }
    const options& settings() const { return options_; }
    // The `x-api-key: ...` (or bearer) line for the next call, with CRLF; empty without credentials. Ask for it when
    // the connection is there: what is kept over a wait may have been replaced meanwhile.
    std::string_view credential_line();
    // All of them, for calls that only the right one can make. Copy them: `use_credentials` changes them in any wait.
    std::span<const std::string> credential_lines() const { return credential_lines_; }
    // From now on these, in turn, instead of the options' own. Calls under way go on with the one they were sent with.
    void use_credentials(std::span<const base::secret> all);
    const client_counts& counts() const { return counts_; }

private:
    friend class call;
    struct idle_connection {
        std::unique_ptr<net::stream> stream;
        std::int64_t since_ms;
    };

    std::unique_ptr<net::stream> take_idle();
    void put_idle(std::unique_ptr<net::stream> stream);
    net::task<void> sweep();

    net::reactor& reactor_;
    const options& options_;
    const origin& origin_;
    net::resolver& resolver_;
    std::optional<net::tls_client> tls_;
    std::deque<idle_connection> idle_;  // the newest at the back, used first
    std::vector<std::string> credential_lines_;
    std::size_t next_credential_ = 0;
    std::size_t next_address_ = 0;
    http::response_head head_;  // one for all calls: read before the first wait
    net::timer sweep_timer_;
    client_counts counts_;
};

enum class reuse : std::uint8_t { allowed, never };

class call {
public:
    // `clock` bounds every wait and may cancel it; `downstream` (may be null) is the client whose leaving ends the
    // call.
    call(client& owner, net::timer& clock, net::stream* downstream);
    ~call();
    call(const call&) = delete;
    call& operator=(const call&) = delete;

    // Errors: upstream_unresolved, upstream_connect_failed, upstream_connect_timeout, upstream_tls_failed, client_left.
    net::task<base::result<void>> connect(reuse pooled, milliseconds at_most);
    // Sends head and body. An answer that comes before everything is sent ends the sending without an error.
    net::task<base::result<void>> send(std::string_view head, std::string_view body);
    // More of a streamed body; false when the upstream has answered or hung up already: read its head.
    net::task<base::result<bool>> send_more(std::span<iovec> parts);

    // The next final response head (1xx are skipped); valid until the first wait.
    // Errors: upstream_head_timeout, upstream_cut, upstream_protocol_error, client_left, ...
    net::task<base::result<http::response_head*>> read_head(bool head_only, milliseconds at_most);

    enum class got : std::uint8_t { data, blocked, end, failed };
    struct piece {
        got what = got::blocked;
        std::string_view payload{};  // in the reactor's scratch: gone at the next wait
        bool last = false;           // with data: the body ends here
    };
    // Payload of the response body, framing removed, without waiting. `failed`: `failure()` says why. In the scratch,
    // the `frame_margin` bytes before and behind the payload are free: a relay may put its own framing there.
    piece read();
    static constexpr std::size_t frame_margin = 32;
    // Waits until `read` is worth a try; the deadline is the clock's.
    // The client has left and the answer is still wanted: its leaving ends no wait any more.
    void forget_downstream() { downstream_ = nullptr; }
    net::wait_op readable() { return stream_->readable(clock_, downstream_); }
    const base::error& failure() const { return failure_; }

    // The clock's deadline for a step of this kind: the earlier of now + `at_most` and the call's total limit.
    void bound(milliseconds at_most);
    std::int64_t total_deadline_ms() const { return total_deadline_ms_; }
    // What a wait that did not end `ready` means.
    base::error explain(net::wake why, base::errc on_timeout) const;

    bool reused() const { return reused_; }
    // A pooled connection that was closed before it gave a byte: the request can be sent again on a fresh one.
    bool stale() const { return reused_ && received_ == 0; }
    std::uint64_t received() const { return received_; }

private:
    net::task<base::result<void>> connect_to(const net::endpoint& where);
    std::span<char> reading_space() const;

    client& client_;
    net::timer& clock_;
    net::stream* downstream_;
    std::unique_ptr<net::stream> stream_;
    std::string kept_;         // unread bytes behind a head that came in pieces
    std::string_view unread_;  // in kept_ or in the scratch
    http::chunk_decoder chunks_;
    http::body_framing framing_ = http::body_framing::none;
    std::uint64_t body_left_ = 0;
    std::uint64_t received_ = 0;
    std::int64_t total_deadline_ms_ = 0;
    base::error failure_{base::errc::internal};
    bool reused_ = false;
    bool fully_sent_ = false;
    bool keep_alive_ = false;
    bool complete_ = false;
};

}  // namespace upstream
