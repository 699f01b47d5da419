// Durable jobs of the caller's team: the list, one job, its result, cancelling and deleting. Another team's job is
// none.
#include <fmt/format.h>

#include <algorithm>

#include "anthropic/error_body.hpp"
#include "anthropic/json_text.hpp"
#include "anthropic/raw_json.hpp"
#include "gateway/job_desk.hpp"
#include "jobs/job_text.hpp"

namespace gateway {

using base::errc;
using base::fail;

namespace {

constexpr std::uint64_t page_max = 100;
constexpr std::uint64_t page_usual = 20;

net::task<void> answer_json(exchange& x, std::string_view body) {
    co_await answer(x, 200, "", "application/json", body);
}

base::result<jobs::filter> read_filter(std::string_view target, const governance::caller& who) {
    static constexpr std::string_view known[] = {"status", "lane", "model", "key", "limit", "before", "after_id"};
    const auto query = read_query(target, known);
    if (!query) return std::unexpected(query.error());
    jobs::filter which;
    which.team_id = who.team_id;
    which.key_id = find(*query, "key").value_or("");
    which.model = find(*query, "model").value_or("");
    which.count = page_usual;
    if (const auto text = find(*query, "status")) {
        which.state = jobs::status_named(*text);
        if (!which.state) {
            return fail(errc::invalid_argument,
                        "`status` must be queued, running, succeeded, failed, cancelled, expired or dead.");
        }
    }
    if (const auto text = find(*query, "lane")) {
        which.where = jobs::lane_named(*text);
        if (!which.where) return fail(errc::invalid_argument, "`lane` must be realtime or batch.");
    }
    if (const auto text = find(*query, "limit")) {
        const auto number = read_number("limit", *text, page_max);
        if (!number) return std::unexpected(number.error());
        if (*number == 0) return fail(errc::invalid_argument, "`limit` must be at least 1.");
        which.count = static_cast<std::uint32_t>(*number);
    }
    const auto before = find(*query, "before"), after = find(*query, "after_id");
    if (before && after)
        return fail(errc::invalid_argument, "`before` and `after_id` mean the same: send one of them.");
    which.before_id = before ? *before : after.value_or("");
    return which;
}

struct listed {
    jobs::outcome how = jobs::outcome::unavailable;
    std::vector<jobs::summary> rows;
};

std::string page_of(std::span<const jobs::summary> rows, bool has_more) {
    std::string body = R"({"data":[)";
    for (const auto& row : rows) {
        if (&row != rows.data()) body += ',';
        body += jobs::json_of(row);
    }
    const auto id = [](const jobs::summary& row) { return '"' + row.id + '"'; };
    body += fmt::format(R"(],"has_more":{},"first_id":{},"last_id":{}}})", has_more,
                        rows.empty() ? "null" : id(rows.front()), rows.empty() ? "null" : id(rows.back()));
    return body;
}

base::result<std::chrono::seconds> read_wait(std::string_view target, const jobs::options& rules) {
    static constexpr std::string_view known[] = {"wait"};
    const auto query = read_query(target, known);
    if (!query) return std::unexpected(query.error());
    const auto text = find(*query, "wait");
    if (!text) return std::chrono::seconds(0);
    constexpr std::uint64_t day = 86'400;
    const auto number = read_number("wait", *text, day);
    if (!number) return std::unexpected(number.error());
    return std::min(std::chrono::seconds(*number), rules.wait_max);
}

struct with_result {
    jobs::outcome how = jobs::outcome::unavailable;
    jobs::summary about;
    std::string result;
};

// What a job without a result tells instead: the error that it ended with, under the status that it would have had.
base::error failure_of(const jobs::summary& about) {
    switch (about.state) {
        case jobs::status::cancelled:
            return {errc::job_cancelled};
        case jobs::status::expired:
            return {errc::job_expired};
        case jobs::status::queued:
        case jobs::status::running:
            return {errc::job_not_finished,
                    fmt::format("The job is {}: ask again later, with ?wait=30, or follow its events.",
                                jobs::name_of(about.state)),
                    std::chrono::seconds(about.state == jobs::status::running ? 1 : 5)};
        default:
            return {errc::job_failed};
    }
}

// The status of a stored error: ours by its reason, the upstream's by its type.
int status_of(std::string_view envelope) {
    const auto error = anthropic::find_member(envelope, "error").value_or("");
    const auto text_of = [](std::string_view object, std::string_view name) {
        const auto value = anthropic::find_member(object, name);
        return value ? anthropic::decode_string(*value).value_or("") : std::string();
    };
    const std::string reason = text_of(anthropic::find_member(error, "details").value_or(""), "reason");
    for (unsigned kind = 0; kind <= static_cast<unsigned>(base::errc_last); ++kind) {
        const auto facts = base::facts_of(static_cast<errc>(kind));
        if (facts.reason == reason && facts.status != base::facts_of(errc::client_left).status) return facts.status;
    }
    return anthropic::status_of_type(text_of(error, "type"));
}

// The answer to a call that changed a job: the job as it is now.
net::task<void> answer_changed(exchange& x, service& s, std::string id) {
    const auto about = co_await find_job(x, s, std::move(id));
    if (!about) {
        co_await refuse(x, about.error());
        co_return;
    }
    co_await answer_json(x, jobs::json_of(*about));
}

}  // namespace

net::task<void> list_jobs(exchange& x, service& s, const http::request_head& head) {
    auto which = read_filter(head.target, *x.caller);
    x.client.keep_input();
    if (!which) {
        co_await refuse(x, which.error());
        co_return;
    }
    const std::uint32_t wanted = which->count++;  // one more, to know whether there are more
    auto got = co_await from_store<listed>(x, *s.jobs, [&](auto done) {
        s.jobs->store.list(std::move(*which), [done](jobs::outcome how, std::vector<jobs::summary> rows) {
            done({how, std::move(rows)});
        });
    });
    if (got && got->how == jobs::outcome::not_found) {
        got = fail(errc::invalid_argument, "There is no job with the id that the page should begin behind.");
    }
    if (got) {
        if (auto ok = told(got->how); !ok) got = std::unexpected(ok.error());
    }
    if (!got) {
        co_await refuse(x, got.error());
        co_return;
    }
    const bool has_more = got->rows.size() > wanted;
    if (has_more) got->rows.resize(wanted);
    co_await answer_json(x, page_of(got->rows, has_more));
}

net::task<void> show_job(exchange& x, service& s, const http::request_head& head) {
    const auto wait = read_wait(head.target, s.jobs->rules);
    x.client.keep_input();
    if (!wait) {
        co_await refuse(x, wait.error());
        co_return;
    }
    const auto about = co_await find_job(x, s, job_id_of(x.path), *wait);
    if (!about) {
        co_await refuse(x, about.error());
        co_return;
    }
    co_await answer_json(x, jobs::json_of(*about));
}

net::task<void> job_result(exchange& x, service& s, const http::request_head& head) {
    const auto wait = read_wait(head.target, s.jobs->rules);
    x.client.keep_input();
    if (!wait) {
        co_await refuse(x, wait.error());
        co_return;
    }
    const auto about = co_await find_job(x, s, job_id_of(x.path), *wait);
    if (!about) {
        co_await refuse(x, about.error());
        co_return;
    }
    if (about->state != jobs::status::succeeded) {
        base::error why = failure_of(*about);
        if (!anthropic::is_object(about->error) || !jobs::is_final(about->state)) {
            co_await refuse(x, std::move(why));
            co_return;
        }
        x.record.reason = base::facts_of(why.kind).reason;
        x.refused_because = why.detail;
        co_await answer(x, status_of(about->error), "x-should-retry: false\r\n", "application/json", about->error);
        co_return;
    }
    auto got = co_await from_store<with_result>(x, *s.jobs, [&](auto done) {
        s.jobs->store.result(about->id, x.caller->team_id,
                             [done](jobs::outcome how, jobs::summary whose, std::string result) {
                                 done({how, std::move(whose), std::move(result)});
                             });
    });
    if (got) {
        if (auto ok = told(got->how); !ok) got = std::unexpected(ok.error());
    }
    if (!got) {
        co_await refuse(x, got.error());
        co_return;
    }
    co_await answer_json(x, got->result);
}

net::task<void> cancel_job(exchange& x, service& s, const http::request_head&) {
    x.client.keep_input();
    std::string id = job_id_of(x.path);
    auto how = co_await from_store<jobs::outcome>(x, *s.jobs, [&](auto done) {
        if (id.empty()) return done(jobs::outcome::not_found);
        s.jobs->store.cancel(id, x.caller->team_id, done);
    });
    if (how && *how == jobs::outcome::conflict) {
        how = fail(errc::job_conflict, "The job has ended already; there is nothing to cancel.");
    } else if (how) {
        if (auto ok = told(*how); !ok) how = std::unexpected(ok.error());
    }
    if (!how) {
        co_await refuse(x, how.error());
        co_return;
    }
    co_await answer_changed(x, s, std::move(id));
}

net::task<void> delete_job(exchange& x, service& s, const http::request_head&) {
    x.client.keep_input();
    const std::string id = job_id_of(x.path);
    auto how = co_await from_store<jobs::outcome>(x, *s.jobs, [&](auto done) {
        if (id.empty()) return done(jobs::outcome::not_found);
        s.jobs->store.remove(id, x.caller->team_id, done);
    });
    if (how && *how == jobs::outcome::conflict) {
        how = fail(errc::job_conflict, "The job has not ended; cancel it first.");
    } else if (how) {
        if (auto ok = told(*how); !ok) how = std::unexpected(ok.error());
    }
    if (!how) {
        co_await refuse(x, how.error());
        co_return;
    }
    co_await answer_json(x, fmt::format(R"({{"id":"{}","type":"job_deleted"}})", id));
}

}  // namespace gateway
