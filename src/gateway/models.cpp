// GET /v1/models and /v1/models/{id}: the upstream's list; the last one seen when the upstream is down.
#include <algorithm>

#include "gateway/forward.hpp"
#include "gateway/model_filter.hpp"
#include "gateway/model_list_cache.hpp"

namespace gateway {

using base::errc;

std::shared_ptr<const std::string> model_list_cache::find(const std::string& target) const {
    const std::lock_guard lock(mutex_);
    const auto found = bodies_.find(target);
    return found == bodies_.end() ? nullptr : found->second.body;
}

void model_list_cache::store(const std::string& target, const std::string& body) {
    if (body.size() > body_bytes_max || target.size() > 1024) return;
    const std::lock_guard lock(mutex_);
    bodies_[target] = {std::make_shared<const std::string>(body), ++stored_};
    if (bodies_.size() <= entries_max) return;
    bodies_.erase(std::ranges::min_element(bodies_, {}, [](const auto& each) { return each.second.stored; }));
}

net::task<void> models(exchange& x, service& s, const http::request_head& head) {
    // SDK clients give up on a list after a few seconds; with a list at hand we need not wait longer than this.
    constexpr milliseconds patience{1'200};
    const std::string target(head.target);
    const governance::caller& who = *x.caller;
    const bool some_only = !who.key_models.empty() || !who.team_models.empty();
    const bool is_list = x.path == "/v1/models";
    if (!is_list && !who.may_use_model(std::string_view(x.path).substr(std::string_view("/v1/models/").size()))) {
        if (head.framing != http::body_framing::none) x.client.close_after_this();
        co_await refuse(x, {errc::not_found, "There is no such model for this key."});
        co_return;
    }
    const auto for_caller = [&](const std::string& body) {
        return is_list && some_only ? filter_models(body, who) : body;
    };
    const std::shared_ptr<const std::string> known = s.models.find(target);
    x.ready_us = net::monotonic_us();
    forwarding next;
    next.head = upstream_head(head, s.upstream);
    next.hold_bytes_max = model_list_cache::body_bytes_max;
    if (!x.head_method) {
        next.hooks.rewrite = [&](std::string& body) {
            s.models.store(target, body);
            body = for_caller(body);
        };
    }
    if (known) {
        next.connect_at_most = next.head_at_most = patience;
        next.unavailable_is_failure = true;
    }
    if (head.framing != http::body_framing::none) x.client.close_after_this();
    x.client.keep_input();
    auto outcome = co_await forward(x, s, next);
    if (outcome.failure && known && base::facts_of(outcome.failure->kind).whose == base::fault::upstream) {
        x.record.reason = base::facts_of(outcome.failure->kind).reason;
        co_await answer(x, 200, "warning: 111 claude-proxy \"upstream unavailable; last known list\"\r\n",
                        "application/json", for_caller(*known));
        co_return;
    }
    co_await answer_failure(x, outcome);
}

}  // namespace gateway
