#include "gateway/fetch.hpp"

#include <fmt/format.h>

namespace gateway {
namespace {

using base::errc;
using upstream::call;

net::task<base::result<fetched>> ask(call& under_way, const upstream::options& waits, upstream::reuse pooled,
                                     std::string_view head, std::string_view body, std::uint64_t bytes_max,
                                     const body_taker& take) {
    if (auto ok = co_await under_way.connect(pooled, waits.connect_timeout); !ok) co_return std::unexpected(ok.error());
    if (auto ok = co_await under_way.send(head, body); !ok) co_return std::unexpected(ok.error());
    const auto answered = co_await under_way.read_head(false, waits.head_timeout);
    if (!answered) co_return std::unexpected(answered.error());
    fetched got{.status = (*answered)->status,
                .content_type = std::string((*answered)->find(http::field::content_type))};
    for (const auto& entry : (*answered)->headers) {
        if (http::equals_lower(entry.name, "retry-after")) got.retry_after = entry.value;
    }
    const bool taken = take && got.status == 200;
    for (;;) {
        const auto piece = under_way.read();
        switch (piece.what) {
            case call::got::data:
                if (taken) {
                    const bool last = piece.last;
                    if (!co_await take(piece.payload) || last) co_return got;
                    break;
                }
                if (got.body.size() + piece.payload.size() > bytes_max) {
                    co_return base::fail(errc::upstream_protocol_error,
                                         fmt::format("An answer of the upstream is longer than {} bytes.", bytes_max));
                }
                got.body.append(piece.payload);
                if (piece.last) co_return got;
                break;
            case call::got::end:
                co_return got;
            case call::got::failed:
                co_return std::unexpected(under_way.failure());
            case call::got::blocked:
                under_way.bound(waits.idle_timeout);
                if (const auto why = co_await under_way.readable(); why != net::wake::ready) {
                    co_return std::unexpected(under_way.explain(why, errc::upstream_idle_timeout));
                }
                break;
        }
    }
}

}  // namespace

net::task<base::result<fetched>> fetch(upstream::client& from, net::timer& clock, net::stream* downstream,
                                       std::string_view head, std::uint64_t bytes_max, const body_taker& take) {
    for (const auto pooled : {upstream::reuse::allowed, upstream::reuse::never}) {
        call under_way(from, clock, downstream);
        auto got = co_await ask(under_way, from.settings(), pooled, head, "\r\n", bytes_max, take);
        if (got || !under_way.stale()) co_return got;
    }
    co_return base::fail(errc::upstream_cut);
}

net::task<base::result<fetched>> post(upstream::client& to, net::timer& clock, std::string_view head,
                                      std::string_view body, std::uint64_t bytes_max) {
    call under_way(to, clock, nullptr);
    const std::string whole = fmt::format("{}content-length: {}\r\n\r\n", head, body.size());
    co_return co_await ask(under_way, to.settings(), upstream::reuse::never, whole, body, bytes_max, {});
}

}  // namespace gateway
