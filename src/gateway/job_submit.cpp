// POST /v1/jobs, and POST /v1/messages with `Prefer: respond-async`: the story of a submit, top to bottom.
//
// What it may cost is held on the budgets here and moves, with the job, into the database: from then on it belongs to
// the job (governance/job_holds.hpp). The answer comes after the commit: a job that was answered is never lost.
#include "gateway/job_submit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "anthropic/job_request.hpp"
#include "anthropic/json_text.hpp"
#include "anthropic/raw_json.hpp"
#include "anthropic/request_view.hpp"
#include "gateway/admission.hpp"
#include "gateway/forward.hpp"
#include "gateway/job_desk.hpp"
#include "gateway/ownership.hpp"
#include "governance/job_holds.hpp"
#include "jobs/job_text.hpp"

namespace gateway {

using base::errc;
using base::fail;

namespace {

constexpr std::uint64_t envelope_bytes_max = 64 * 1024;  // of a submit's body around the request
constexpr std::size_t kept_headers_bytes_max = 8 * 1024;

// What the head says; it dies at the first wait.
struct submit_head {
    std::string kept = "{}";  // JSON object: headers that the run will send
    std::string meaning;      // of those the ones that change what the job does
    std::string key;          // Idempotency-Key
};

// Lines of one name are one list (RFC 9110 5.3).
base::result<submit_head> read_submit_head(const http::request_head& head) {
    static constexpr std::string_view kept[] = {"anthropic-version", "anthropic-beta", "user-agent"};
    std::string values[std::size(kept)];
    submit_head made;
    std::size_t bytes = 0;
    bool has_key = false;
    for (const auto& line : head.headers) {
        if (http::equals_lower(line.name, "idempotency-key")) {
            if (has_key) return fail(errc::invalid_argument, "Idempotency-Key occurs twice.");
            has_key = true;
            made.key = line.value;
        }
        for (std::size_t i = 0; i < std::size(kept); ++i) {
            if (line.value.empty() || !http::equals_lower(line.name, kept[i])) continue;
            values[i].append(values[i].empty() ? "" : ",").append(line.value);
            bytes += line.value.size();
        }
    }
    if (bytes > kept_headers_bytes_max) {
        return fail(errc::invalid_argument,
                    fmt::format("{} may have {} bytes together.", fmt::join(kept, ", "), kept_headers_bytes_max));
    }
    const auto visible = [](char c) { return c > 0x20 && c < 0x7f; };
    if (has_key &&
        (made.key.empty() || made.key.size() > answer_book::key_bytes_max || !std::ranges::all_of(made.key, visible))) {
        return fail(errc::invalid_argument, fmt::format("Idempotency-Key must have 1 to {} visible ASCII characters.",
                                                        answer_book::key_bytes_max));
    }
    std::string object;
    for (std::size_t i = 0; i < std::size(kept); ++i) {
        if (values[i].empty()) continue;
        object += fmt::format(R"({}"{}":")", object.empty() ? "" : ",", kept[i]);
        anthropic::append_escaped(object, values[i]);
        object += '"';
    }
    made.kept = '{' + object + '}';
    made.meaning = values[0] + '\n' + values[1];
    return made;
}

// What is asked of a job beyond its submission.
struct asked_around {
    std::chrono::seconds expires_in;
    std::string headers;      // those that change what the job does
    std::string_view answer;  // headers of a 202
};

std::string hex(const body_digest& digest) { return fmt::format("{:02x}", fmt::join(digest, "")); }

// Of everything that makes the job what it is. Two ways to say the same have one digest.
std::string digest_of_submission(const jobs::submission& job, const asked_around& asked) {
    const std::string around =
        fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}", hex(digest_of(job.request)), jobs::name_of(job.where), job.priority,
                    asked.expires_in.count(), job.webhook_url, asked.headers, job.metadata);
    return hex(digest_of(around));
}

jobs::summary as_submitted(const jobs::submission& job) {
    jobs::summary about;
    about.id = job.id;
    about.who = job.who;
    about.where = job.where;
    about.model = job.model;
    about.metadata = job.metadata;
    about.priority = job.priority;
    about.attempts_max = job.attempts_max;
    about.webhook_url = job.webhook_url;
    about.created_at = about.updated_at = job.created_at;
    about.expires_at = job.expires_at;
    return about;
}

std::int64_t clock_us() {
    using namespace std::chrono;
    return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}
std::int64_t clock_ms() { return clock_us() / 1'000; }

// "job_" and 24 digits and lower-case letters, in whose order any database sorts: 11 of the time, 13 random. So jobs of
// the same millisecond are listed in the order in which they came, and new rows are neighbours in the index.
std::string new_job_id(std::int64_t at_us) {
    constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuvwxyz";
    constexpr std::size_t time_digits = 11, random_digits = 13;
    std::string time(time_digits, '0');
    for (auto digit = time.rbegin(); digit != time.rend(); ++digit, at_us /= 36) *digit = digits[at_us % 36];
    const std::string id = new_id("", std::chrono::system_clock::now());  // its end is random
    std::string random = id.substr(id.size() - random_digits);
    for (char& c : random)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return "job_" + time + random;
}

base::error refusal_of(const jobs::store::submitted& got, const jobs::options& rules) {
    switch (got.how) {
        case jobs::outcome::conflict:
            return {errc::idempotency_conflict,
                    "This Idempotency-Key was used for another job; use a new key for a new one."};
        case jobs::outcome::too_many:
            return {errc::jobs_full,
                    fmt::format("The team has {} jobs queued and running, which is as many as it may.",
                                rules.open_per_team_max),
                    std::chrono::seconds(5)};
        case jobs::outcome::refused:
            return {errc::database_refused};
        default:
            return {errc::jobs_unavailable,
                    "The job could not be stored: the database cannot be reached, or too much waits for it.",
                    std::chrono::seconds(1)};
    }
}

// Admission, the store, the answer. `job` has what was asked for.
net::task<base::result<void>> submit(exchange& x, service& s, jobs::submission job, const asked_around& asked) {
    job_desk& desk = *s.jobs;
    const auto view = anthropic::read_request(job.request);
    if (!view) co_return std::unexpected(view.error());
    x.record.model = view->model.substr(0, 128);
    // Files and the like that it names must be the team's.
    const anthropic::content_features features = anthropic::read_features(job.request);
    if (features.references) {
        if (auto own = co_await may_reference(x, s, job.request); !own) co_return own;
    }
    job_admission admitted;
    // It will run as a stream: what is held now covers that request, too.
    const std::size_t bytes = job.request.size() + anthropic::streaming_bytes_more;
    auto may = co_await admit_job(x, s, *view, features, bytes, job.where == jobs::lane::batch, admitted);
    if (!may) co_return may;

    const std::int64_t at_us = clock_us();
    job.id = new_job_id(at_us);
    job.who = {x.caller->team_id, x.caller->key_id, x.caller->subject};
    job.model = view->model;
    job.digest = digest_of_submission(job, asked);
    job.created_at = at_us / 1'000;
    job.expires_at = job.created_at + std::chrono::milliseconds(asked.expires_in).count();
    job.attempts_max = desk.rules.attempts_max;
    // The money's fate is decided by the store, also when nobody waits for the answer any more.
    const auto held = std::make_shared<governance::job_claim>(std::move(admitted.budgets));
    job.holds = held->holds();
    const jobs::summary about = as_submitted(job);
    auto got = co_await from_store<jobs::store::submitted>(x, desk, [&](auto done) {
        desk.store.submit(std::move(job), done, [held](bool moved) {
            if (moved) {
                held->committed(clock_ms());
            } else {
                held->abandoned(clock_ms());
            }
        });
    });
    x.reservation.release();
    if (!got) co_return std::unexpected(got.error());
    if (got->how != jobs::outcome::done) co_return std::unexpected(refusal_of(*got, desk.rules));

    const std::string headers = fmt::format("location: /v1/jobs/{}\r\n{}{}", got->id, asked.answer, x.limit_headers);
    if (got->fresh) {
        ++desk.submitted;
        co_await answer(x, 202, headers, "application/json", jobs::json_of(about));
        co_return base::result<void>();
    }
    ++desk.repeated;
    const auto earlier = co_await find_job(x, s, got->id);
    if (!earlier) co_return std::unexpected(earlier.error());
    co_await answer(x, 200, headers, "application/json", jobs::json_of(*earlier));
    co_return base::result<void>();
}

// Reads the body and cuts the job out of it. Of the Messages body alone when `is_message`.
net::task<base::result<void>> run(exchange& x, service& s, const http::request_head& head, bool is_message) {
    auto from_head = read_submit_head(head);
    const std::uint64_t request_bytes_max = s.jobs->rules.request_bytes_max;
    auto body = co_await read_whole_body(x, head.framing, head.content_length,
                                         request_bytes_max + (is_message ? 0 : envelope_bytes_max));
    x.ready_us = net::monotonic_us();
    x.record.bytes_in = x.client.body_bytes();
    if (!body) co_return std::unexpected(std::move(body.error()));
    x.client.keep_input();
    if (!from_head) co_return std::unexpected(std::move(from_head.error()));

    jobs::submission job;
    job.headers = std::move(from_head->kept);
    job.idempotency_key = std::move(from_head->key);
    if (is_message) {
        // It is kept as text, and refused now rather than by the upstream hours later.
        if (!anthropic::is_json(*body) || !anthropic::is_object(*body))
            co_return fail(errc::invalid_json, "The body must be a JSON object in UTF-8.");
        job.request = std::move(*body);
        const asked_around asked{anthropic::job_request::expires_in_usual, std::move(from_head->meaning),
                                 "preference-applied: respond-async\r\n"};
        co_return co_await submit(x, s, std::move(job), asked);
    }
    const auto asked = anthropic::read_job_request(*body, {.plain_http_webhooks = s.jobs->webhooks.allow_http()});
    if (!asked) co_return std::unexpected(asked.error());
    if (asked->request.size() > request_bytes_max) {
        co_return fail(errc::body_too_large, fmt::format("`request` exceeds the {} bytes allowed.", request_bytes_max));
    }
    if (!asked->metadata.empty()) job.metadata = asked->metadata;
    job.priority = asked->priority;
    job.where = asked->lane == anthropic::job_lane::batch ? jobs::lane::batch : jobs::lane::realtime;
    job.webhook_url = asked->webhook_url;
    if (!job.webhook_url.empty()) {
        if (auto why = s.jobs->webhooks.url_problem(job.webhook_url))
            co_return fail(errc::invalid_argument, std::move(*why));
    }
    const asked_around around{asked->expires_in, std::move(from_head->meaning), {}};
    // The request alone is kept, in the memory that it lies in.
    const std::size_t begin = static_cast<std::size_t>(asked->request.data() - body->data());
    body->resize(begin + asked->request.size());
    body->erase(0, begin);
    job.request = std::move(*body);
    co_return co_await submit(x, s, std::move(job), around);
}

net::task<void> run_and_refuse(exchange& x, service& s, const http::request_head& head, bool is_message) {
    auto done = co_await run(x, s, head, is_message);
    if (done) co_return;
    ++s.jobs->refused;
    co_await refuse(x, std::move(done.error()));
}

}  // namespace

bool prefers_async(const http::request_head& head) {
    bool found = false;
    for (const auto& line : head.headers) {
        if (line.id != http::field::other || !http::equals_lower(line.name, "prefer")) continue;
        http::for_each_token(line.value, [&](std::string_view token) {
            token = token.substr(0, token.find_first_of("; \t"));
            found = found || http::equals_lower(token, "respond-async");
        });
    }
    return found;
}

net::task<void> submit_message(exchange& x, service& s, const http::request_head& head) {
    if (!x.caller->may_use_route("jobs")) {
        co_await refuse(x, {errc::permission_denied,
                            "`Prefer: respond-async` makes a job, and the key's scopes do not include `jobs`."});
        co_return;
    }
    co_await run_and_refuse(x, s, head, true);
}

net::task<void> submit_job(exchange& x, service& s, const http::request_head& head) {
    co_await run_and_refuse(x, s, head, false);
}

}  // namespace gateway
