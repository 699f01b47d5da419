// Answers of which the client has seen enough, because it left: read to their end for what they cost, and for others
// that wait for the same answer (replay.hpp).
#include "gateway/relay.hpp"

namespace gateway {
namespace {

constexpr milliseconds end_max{1'000};  // from the last event of a stream to the end of its body

}  // namespace

net::task<void> read_on(exchange& x, service& s, upstream::call& call,
                        const std::function<bool(std::string_view)>& take) {
    using upstream::call;
    const auto patience = patience_after_leaving(x, s);
    if (patience.count() == 0) co_return;
    call.forget_downstream();
    x.client.timer().set_after(patience.count());
    bool enough = false;
    for (;;) {
        const auto piece = call.read();
        if (piece.what == call::got::data) {
            if (x.recording) x.recording->append(piece.payload);
            if (x.watch) x.watch(piece.payload);
            const bool now_enough = !enough && take(piece.payload);
            if (piece.last) co_return;
            // Only the end of the body is missing: with it the connection is whole and can be used again.
            if (now_enough) x.client.timer().set_after(end_max.count());
            enough = enough || now_enough;
        } else if (piece.what != call::got::blocked || co_await call.readable() != net::wake::ready) {
            co_return;
        }
    }
}

net::task<anthropic::metered> count_unseen(exchange& x, service& s, upstream::call& call, bool event_stream) {
    if (event_stream) {
        anthropic::sse_scanner scanner;
        anthropic::stream_meter meter;
        const std::function<bool(std::string_view)> take = [&](std::string_view payload) {
            scanner.feed(payload, meter);
            return meter.error_seen() || meter.result().state == anthropic::answer_state::complete;
        };
        co_await read_on(x, s, call, take);
        co_return meter.result();
    }
    anthropic::json_meter meter;
    const std::function<bool(std::string_view)> take = [&](std::string_view payload) {
        meter.feed(payload);
        return false;
    };
    co_await read_on(x, s, call, take);
    meter.finish();
    co_return meter.result();
}

}  // namespace gateway
