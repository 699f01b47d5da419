// Message batches. The upstream's batch objects carry `results_url`, an absolute URL that SDKs follow verbatim with the
// caller's key (docs/protocol.md, results_url): it must lead back to us.
#include "gateway/admission.hpp"
#include "gateway/forward.hpp"
#include "gateway/results_url.hpp"

namespace gateway {
namespace {

// "https://host" as the caller sees us: the TLS may end at a load balancer that says so.
std::string public_base(exchange& x, const http::request_head& head) {
    const bool tls = x.client.stream().tls() || http::equals_lower(head.find(http::field::x_forwarded_proto), "https");
    return std::string(tls ? "https://" : "http://").append(head.host);
}

}  // namespace

net::task<void> batches(exchange& x, service& s, const http::request_head& head) {
    if (head.method == "POST" && x.path == "/v1/messages/batches") {
        if (auto why = unaccounted_refusal(x)) {
            if (head.framing != http::body_framing::none) x.client.close_after_this();
            co_await refuse(x, std::move(*why));
            co_return;
        }
    }
    std::string upstream = upstream_head(head, s.upstream);
    x.ready_us = net::monotonic_us();
    std::function<void(std::string&)> rewrite = [base = public_base(x, head)](std::string& body) {
        rewrite_results_urls(body, base);
    };
    if (head.framing != http::body_framing::none) {
        co_await forward_upload(x, s, std::move(upstream), head.framing, head.content_length,
                                s.options.batches_body_bytes_max, std::move(rewrite));
        co_return;
    }
    constexpr std::uint64_t batch_list_bytes_max = 8 << 20;  // a page of 1,000 batches is about 600 KB
    const bool length_zero = head.method == "POST";
    x.client.keep_input();
    forwarding next;
    next.head = std::move(upstream);
    next.has_body = length_zero;
    next.hold_bytes_max = batch_list_bytes_max;
    next.rewrite = std::move(rewrite);
    auto outcome = co_await forward(x, s, next);
    co_await answer_failure(x, outcome);
}

}  // namespace gateway
