// Every other /v1 route: forwarded as it is.
#include "gateway/admission.hpp"
#include "gateway/forward.hpp"

namespace gateway {
namespace {

net::task<void> pass(exchange& x, service& s, const http::request_head& head, std::uint64_t body_bytes_max) {
    std::string upstream = upstream_head(head, s.upstream);
    x.ready_us = net::monotonic_us();
    if (head.framing != http::body_framing::none) {
        co_await forward_upload(x, s, std::move(upstream), head.framing, head.content_length, body_bytes_max, {});
        co_return;
    }
    const bool length_zero = head.method == "POST" || head.method == "PUT" || head.method == "PATCH";
    x.client.keep_input();
    forwarding next;
    next.head = std::move(upstream);
    next.has_body = length_zero;  // says `content-length: 0` where a body could be expected
    auto outcome = co_await forward(x, s, next);
    co_await answer_failure(x, outcome);
}

}  // namespace

net::task<void> other(exchange& x, service& s, const http::request_head& head) {
    const bool may_cost =
        x.record.route == "other" && head.method != "GET" && head.method != "HEAD" && head.method != "DELETE";
    if (may_cost) {
        if (auto why = unaccounted_refusal(x)) {
            if (head.framing != http::body_framing::none) x.client.close_after_this();
            co_await refuse(x, std::move(*why));
            co_return;
        }
    }
    co_await pass(x, s, head, s.options.other_body_bytes_max);
}

}  // namespace gateway
