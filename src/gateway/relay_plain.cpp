#include "gateway/relay.hpp"

namespace gateway {

using base::errc;
using upstream::call;

net::task<relay_outcome> relay_plain(exchange& x, service& s, call& call, const http::response_head& head,
                                     const plain_options& how) {
    net::reactor& reactor = x.client.reactor();
    relay_outcome outcome;
    downstream out(x, head, false);
    const bool length_known = head.framing == http::body_framing::length;
    const std::uint64_t length = head.content_length;
    const bool no_body = head.framing == http::body_framing::none;
    bool holding = how.hold_bytes_max > 0 && !(length_known && length > how.hold_bytes_max);
    std::string held;
    bool complete = false;
    int reads_in_a_row = 0;

    const auto begin = [&] {  // from now on the answer flows as it comes
        holding = false;
        if (length_known || no_body) {
            out.frame(length_known ? std::optional(length) : std::nullopt);
        } else {
            out.frame({});
        }
    };
    if (!holding) begin();

    while (!complete && !outcome.failure) {
        const auto piece = call.read();
        switch (piece.what) {
            case call::got::data: {
                if (how.meter) how.meter->feed(piece.payload);
                if (x.recording) x.recording->append(piece.payload);
                if (x.watch) x.watch(piece.payload);
                complete = piece.last;
                std::string_view ready = piece.payload;
                if (holding) {
                    if (!complete || !held.empty() || how.rewrite || how.before_end) {
                        held.append(piece.payload);
                        ready = held;
                    }
                    if (complete) {
                        if (how.rewrite) {
                            how.rewrite(held);
                            ready = held;
                        }
                        if (how.before_end) co_await how.before_end(held);
                        out.frame(ready.size());
                    } else if (held.size() <= how.hold_bytes_max) {
                        break;
                    } else {
                        begin();
                    }
                }
                outcome.reached_client = true;
                const auto sent = co_await out.write(ready, complete);
                if (!sent) outcome.failure = sent.error();
                held.clear();
                if (sent && ++reads_in_a_row == 16) {
                    reads_in_a_row = 0;
                    co_await reactor.yield();
                }
                break;
            }
            case call::got::end: {
                complete = true;
                if (holding) {
                    if (how.rewrite) how.rewrite(held);
                    if (how.before_end) co_await how.before_end(held);
                    if (no_body) {
                        begin();
                    } else {
                        out.frame(held.size());
                    }
                }
                outcome.reached_client = true;
                if (const auto sent = co_await out.write(held, true); !sent) outcome.failure = sent.error();
                break;
            }
            case call::got::failed:
                outcome.failure = call.failure();
                break;
            case call::got::blocked: {
                reads_in_a_row = 0;
                if (!holding && !out.begun()) {  // a slow body must not keep the status back
                    outcome.reached_client = true;
                    if (const auto sent = co_await out.write({}, false); !sent) {
                        outcome.failure = sent.error();
                        break;
                    }
                }
                call.bound(s.upstream.settings().idle_timeout);
                if (const auto why = co_await call.readable(); why != net::wake::ready) {
                    outcome.failure = call.explain(why, errc::upstream_idle_timeout);
                }
                break;
            }
        }
    }
    if (how.meter && outcome.failure && outcome.failure->kind == errc::client_left && !complete) {
        const std::function<bool(std::string_view)> count = [&](std::string_view payload) {
            how.meter->feed(payload);
            return false;
        };
        co_await read_on(x, s, call, count);
    }
    if (how.meter) how.meter->finish();
    if (outcome.failure && outcome.reached_client) {
        // Part of the answer is out: only a broken connection tells the client that it is not whole.
        x.client.close_after_this();
        x.client.stream().reset();
    }
    co_return outcome;
}

}  // namespace gateway
