// The story of one job, top to bottom: what is there already, who owns it, the request, its events, its end.
#include "worker/run_job.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <random>

#include "anthropic/error_body.hpp"
#include "anthropic/event_log.hpp"
#include "anthropic/job_request.hpp"
#include "anthropic/message_assembly.hpp"
#include "gateway/job_front.hpp"
#include "worker/answer_of.hpp"
#include "worker/error_text.hpp"
#include "worker/inner_call.hpp"
#include "worker/log_writer.hpp"

namespace worker {
namespace {

using base::errc;
using way = jobs::ending::way;

constexpr std::size_t replay_bytes = 4u << 20;       // of an earlier attempt's log, read at a time
constexpr std::size_t error_bytes_max = 256 * 1024;  // of an answer that is not a stream
constexpr std::int64_t again_after_ms = 500;         // what the store could not take
constexpr std::int64_t goodbye_ms = 5'000;           // from message_stop to the end of the answer

std::int64_t wall_clock_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

double random_part() {
    thread_local std::minstd_rand source{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(source);
}

// How an attempt ended, whoever ended it.
struct attempt_end {
    attempt_facts facts;
    std::string message;     // the result, when complete
    std::string error_json;  // the envelope, when there is one
    std::string request_id;  // ours
};

attempt_end broken(base::error why, std::string request_id) {
    attempt_end made;
    made.facts.reason = base::facts_of(why.kind).reason;
    made.facts.type = base::facts_of(why.kind).type;
    if (why.retry_after.count() > 0) made.facts.retry_after = why.retry_after;
    made.error_json = anthropic::error_body(why, request_id);
    made.request_id = std::move(request_id);
    return made;
}

net::task<void> pause(net::timer& clock, std::int64_t ms) {
    clock.set_after(ms);
    net::wait_op wait{nullptr, false, false, nullptr, clock};
    co_await wait;
    clock.set(net::timer::never);
}

// 1. A worker may have died between the last event and the ending: then the answer is paid for and all there.
//    Nothing: it is not. An outage ends as an attempt that has to wait.
net::task<std::optional<attempt_end>> answer_in_log(job_in_hand& mine) {
    anthropic::message_assembler seen;
    std::uint64_t after = 0;
    while (after < mine.job.events) {
        struct read_news {
            jobs::outcome how = jobs::outcome::unavailable;
            std::vector<jobs::store::log_news> logs;
        };
        auto got = co_await answer_of<read_news>(mine.where.reactor, *mine.clock, [&](auto done) {
            mine.where.store.read_logs(
                {{mine.id, after}}, replay_bytes,
                [done](jobs::outcome how, std::vector<jobs::store::log_news> logs) { done({how, std::move(logs)}); });
        });
        if (!got) co_return broken({errc::shutting_down}, {});
        if (got->how != jobs::outcome::done) {
            co_return broken({errc::database_unavailable, "The log of an earlier attempt could not be read."}, {});
        }
        if (got->logs.empty() || got->logs.front().pieces.empty()) break;
        for (const auto& piece : got->logs.front().pieces) {
            seen.events(piece.bytes);
            after = std::max(after, piece.last_id);
        }
    }
    if (!seen.complete()) co_return std::nullopt;
    auto message = seen.take();
    if (!message) co_return std::nullopt;
    attempt_end made;
    made.facts.complete = true;
    made.message = std::move(*message);
    co_return made;
}

// The head of the request that the job's owner would have sent.
std::string request_head(const jobs::claimed& job, std::size_t body_bytes) {
    std::string head = fmt::format(
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
        "content-length: {}\r\n",
        body_bytes);
    boost::system::error_code problem;
    const auto stored = boost::json::parse(job.headers, problem);
    const auto* const lines = problem ? nullptr : stored.if_object();
    if (lines) {
        for (const auto& [name, value] : *lines) {
            if (const auto* const text = value.if_string())
                head += fmt::format("{}: {}\r\n", std::string_view(name), std::string_view(*text));
        }
    }
    return head + "\r\n";
}

// What an answer other than a stream says; the front's own errors and the upstream's look alike.
net::task<attempt_end> read_refusal(inner_call& call, attempt_end so_far) {
    std::string body;
    for (;;) {
        const auto got = co_await call.read();
        if (!got || got->empty()) break;
        body.append(got->substr(0, error_bytes_max - std::min(error_bytes_max, body.size())));
    }
    const error_text said = read_error(body);
    so_far.facts.type = said.type;
    so_far.facts.reason = said.reason;
    if (so_far.facts.status == 200) {
        so_far.facts.reason = base::facts_of(errc::upstream_protocol_error).reason;
        body.clear();
    }
    so_far.error_json = said.is_envelope && !body.empty()
                            ? std::move(body)
                            : anthropic::error_body({errc::upstream_protocol_error,
                                                     fmt::format("The answer of status {} is neither a stream nor an "
                                                                 "error that can be read.",
                                                                 so_far.facts.status)},
                                                    so_far.request_id);
    co_return so_far;
}

// The events of one answer on their way into the log and into the message.
struct event_reader {
    explicit event_reader(std::uint64_t first_id) : numbering({.first_id = first_id}) {}

    anthropic::event_numbering numbering;
    anthropic::message_assembler message;
    std::string fresh;  // events of the last bytes
    std::uint64_t bytes = 0;
    bool content = false;

    // What an earlier attempt has said is void; who follows the log is told.
    void restart(std::uint32_t attempt, log_writer& log) {
        const std::uint64_t id = numbering.next_id();
        numbering.add(anthropic::restart_event(attempt, "retry"), fresh);
        log.add(id, id, fresh);
    }
    // Errors: the answer cannot be kept.
    base::result<void> feed(std::string_view payload, log_writer& log, std::uint64_t bytes_max) {
        const std::uint64_t first = numbering.next_id();
        fresh.clear();
        if (auto read = numbering.feed(payload, fresh); !read) return read;
        return pass(first, log, bytes_max);
    }
    // The stream has ended: the last event may have waited for its line end.
    base::result<void> end(log_writer& log, std::uint64_t bytes_max) {
        const std::uint64_t first = numbering.next_id();
        fresh.clear();
        numbering.end_stream(fresh);
        return pass(first, log, bytes_max);
    }

private:
    base::result<void> pass(std::uint64_t first, log_writer& log, std::uint64_t bytes_max) {
        if (fresh.empty()) return {};
        message.events(fresh);
        std::uint64_t last = numbering.next_id() - 1;
        if (message.failure() && message.failure()->kind == errc::upstream_error_event) {
            // What ends an attempt is not for those who follow the log: a restart or the job's last event tells them.
            fresh.resize(before_error_event(fresh));
            const auto kept = anthropic::last_id(fresh);
            if (!kept) return {};
            last = *kept;
        }
        content = content || fresh.find("content_block_delta") != fresh.npos;
        bytes += fresh.size();
        if (bytes > bytes_max) {
            return base::fail(errc::body_too_large,
                              fmt::format("The answer's events exceed the {} bytes that a job may have.", bytes_max));
        }
        log.add(first, last, fresh);
        return {};
    }
};

// 3. to 5. The request goes out as a stream, whatever the owner asked for; its events go into the log as they come.
net::task<attempt_end> make_attempt(job_in_hand& mine, std::shared_ptr<const governance::caller> who, log_writer& log) {
    auto body = anthropic::streaming_body(mine.job.request);
    if (!body) co_return broken(std::move(body.error()), {});
    mine.job.request = std::string();
    const std::string head = request_head(mine.job, body->size());
    inner_call call(mine.where, *mine.clock, std::move(who), mine.id, std::move(mine.job.money));
    if (auto sent = co_await call.send(head, *body); !sent) co_return broken(std::move(sent.error()), {});
    *body = std::string();
    auto answered = co_await call.read_head();
    if (!answered) co_return broken(std::move(answered.error()), {});
    attempt_end made;
    const answer_head lines = read_answer_head(**answered);
    made.facts.status = (*answered)->status;
    made.facts.retry_after = lines.retry_after;
    made.request_id = lines.request_id;
    if (made.facts.status != 200 || !lines.event_stream) co_return co_await read_refusal(call, std::move(made));

    event_reader events(mine.job.events + 1);
    if (mine.job.events > 0) events.restart(mine.attempt, log);
    for (;;) {
        if (log.crowded()) {
            if (!co_await log.room(*mine.clock)) co_return broken({errc::shutting_down}, std::move(made.request_id));
        }
        const auto got = co_await call.read();
        if (!got && events.message.complete()) break;  // nothing is missing but the end of the framing
        if (!got) {
            made = broken(got.error(), std::move(made.request_id));
            made.facts.status = 200;
            made.facts.content = events.content;
            co_return made;
        }
        const auto passed = got->empty() ? events.end(log, mine.where.rules.log_bytes_max)
                                         : events.feed(*got, log, mine.where.rules.log_bytes_max);
        if (!passed) co_return broken(passed.error(), std::move(made.request_id));
        if (events.message.complete()) mine.clock->set_after(goodbye_ms);
        if (got->empty()) break;
    }
    mine.clock->set(net::timer::never);
    made.facts.content = events.content;
    if (events.message.complete()) {
        auto message = events.message.take();
        if (!message) co_return broken(std::move(message.error()), std::move(made.request_id));
        made.facts.complete = true;
        made.message = std::move(*message);
        co_return made;
    }
    made.error_json = std::string(events.message.upstream_error());
    const error_text said = read_error(made.error_json);
    made.facts.type = said.type;
    made.facts.reason = said.reason;
    if (!made.error_json.empty()) co_return made;
    auto why =
        events.message.failure().value_or(base::error{errc::upstream_cut, "The answer ended before message_stop."});
    co_return broken(std::move(why), std::move(made.request_id));
}

// 6. The ending, from how the attempt went and what was asked of us.
jobs::ending ending_of(const job_in_hand& mine, attempt_end&& how) {
    jobs::ending made;
    made.id = mine.id;
    made.attempt = mine.attempt;
    made.request_id = how.request_id;
    made.reason = how.facts.reason.empty() ? how.facts.type : how.facts.reason;
    if (mine.asked == interruption::cancelled && !how.facts.complete) {
        made.how = way::cancelled;
        made.reason = "cancelled";
        return made;
    }
    if (mine.asked == interruption::handed_back && !how.facts.complete) {
        made.how = way::handed_back;
        made.reason = base::facts_of(errc::shutting_down).reason;
        return made;
    }
    made.error = std::move(how.error_json);
    switch (fate_of(how.facts)) {
        case fate::succeeded:
            made.how = way::succeeded;
            made.result = std::move(how.message);
            made.usage = usage_of(made.result);
            made.error.clear();
            made.reason.clear();
            return made;
        case fate::failed:
            made.how = way::failed;
            return made;
        case fate::handed_back:
            made.how = way::handed_back;
            return made;
        case fate::waiting:
            made.how = way::waiting;
            break;
        case fate::retry:
            made.how = way::retry;
            break;
    }
    made.run_after = run_after_of(mine.where.rules, {.attempt = mine.attempt,
                                                     .retry_after = how.facts.retry_after,
                                                     .now_ms = wall_clock_ms(),
                                                     .expires_at_ms = mine.job.about.expires_at,
                                                     .jitter = random_part()});
    return made;
}

// Writes the ending, as often as it takes: an answer that was paid for is not thrown away for an outage.
net::task<bool> write_ending(job_in_hand& mine, const jobs::ending& how) {
    for (;;) {
        const auto said = co_await answer_of<jobs::outcome>(
            mine.where.reactor, *mine.clock, [&](auto done) { mine.where.store.finish(how, std::move(done)); });
        if (!said) co_return false;
        if (*said == jobs::outcome::done) co_return true;
        if (*said != jobs::outcome::unavailable || mine.asked == interruption::lost) co_return false;
        co_await pause(*mine.clock, again_after_ms);
        if (mine.clock->cancelled()) co_return false;
    }
}

net::task<attempt_end> carry_out(job_in_hand& mine, std::shared_ptr<log_writer> log) {
    if (mine.job.events > 0) {
        if (auto found = co_await answer_in_log(mine)) co_return std::move(*found);
    }
    // 2. The owner as he is now: a key that was revoked since spends nothing.
    auto who = co_await gateway::find_owner(mine.where.parts, mine.where.reactor, *mine.clock, mine.job.about.who);
    mine.clock->set(net::timer::never);
    if (!who) co_return broken(std::move(who.error()), {});
    if (mine.asked != interruption::none) co_return broken({errc::shutting_down}, {});
    co_return co_await make_attempt(mine, std::move(*who), *log);
}

}  // namespace

void job_in_hand::end(const std::shared_ptr<job_in_hand>& job, interruption why) {
    job->where.reactor.post([job, why] {
        if (why <= job->asked) return;
        job->asked = why;
        if (job->clock) job->clock->cancel();
    });
}

net::task<void> run_job(std::shared_ptr<job_in_hand> mine) {
    net::timer clock(mine->where.reactor);
    struct lent {  // the clock goes with this frame, whoever still knows the job
        job_in_hand& to;
        ~lent() { to.clock = nullptr; }
    } const lending{*mine};
    mine->clock = &clock;
    if (mine->asked != interruption::none) clock.cancel();
    const auto log = log_writer::make(mine->where, mine->id, mine->attempt, [weak = std::weak_ptr(mine)] {
        if (const auto still = weak.lock()) job_in_hand::end(still, interruption::lost);
    });
    auto how = co_await carry_out(*mine, log);
    if (mine->asked == interruption::lost) {
        log->give_up();
        mine->leave({.outcome = "lost", .reason = {}});
        co_return;
    }
    mine->clock->revive();  // whatever ended the attempt, its ending is to be written
    mine->clock->set(net::timer::never);
    auto rest = co_await log->close(*mine->clock);
    if (!rest) {
        log->give_up();
        mine->leave({.outcome = mine->asked == interruption::lost ? "lost" : "abandoned", .reason = {}});
        co_return;
    }
    jobs::ending ending = ending_of(*mine, std::move(how));
    ending.last = std::move(*rest);
    const bool written = co_await write_ending(*mine, ending);
    const bool is_final = ending.how == way::succeeded || ending.how == way::failed || ending.how == way::cancelled;
    mine->leave({.outcome = written ? name_of(ending.how) : "lost",
                 .reason = ending.reason,
                 .committed = written,
                 .is_final = is_final});
}

std::string_view name_of(way how) {
    switch (how) {
        case way::succeeded:
            return "succeeded";
        case way::failed:
            return "failed";
        case way::cancelled:
            return "cancelled";
        case way::retry:
            return "retry";
        case way::waiting:
            return "waiting";
        case way::handed_back:
            return "handed_back";
    }
    return {};
}

}  // namespace worker
