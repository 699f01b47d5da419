// Message batches. The upstream's batch objects carry `results_url`, an absolute URL that SDKs follow verbatim with the
// caller's key (docs/protocol.md, results_url): it must lead back to us.
#include "gateway/admission.hpp"
#include "gateway/forward.hpp"
#include "gateway/ownership.hpp"
#include "gateway/results_url.hpp"

namespace gateway {
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
    answer_hooks hooks;
    hooks.rewrite = [base = public_base(x, head)](std::string& body) { rewrite_results_urls(body, base); };
    hooks.before_end = [&x, &s](const std::string& body) { return record_made(x, s, resources::kind::batch, body); };
    co_await forward_upload(x, s, std::move(upstream), head.framing, head.content_length,
                            s.options.batches_body_bytes_max, std::move(hooks));
}

}  // namespace gateway
