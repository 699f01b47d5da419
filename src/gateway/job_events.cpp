// GET /v1/jobs/{id}/events: the job's log as server-sent events, from its beginning or behind `Last-Event-ID`, then as
// it grows, until the job has ended.
//
// The bytes of the events are those of the log, on whatever replica and wherever a connection was cut: what is ours
// (comments, to keep a silent connection alive) stands between them and is no event. A stream that ends without the
// event `job` is to be asked for again. Who has seen the end already gets 204, which tells an EventSource to stop.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "anthropic/event_log.hpp"
#include "anthropic/json_text.hpp"
#include "gateway/job_desk.hpp"
#include "http/chunked.hpp"

namespace gateway {

using base::errc;
using base::fail;

namespace {

constexpr std::size_t portion_bytes_max = 64 * 1024;  // of one write
constexpr std::size_t pieces_a_write_max = 256;       // fewer than the system takes at once
// A replay begins within moments: its head and first events are one write. For longer the head does not wait.
constexpr milliseconds head_hold{50};

// Behind which event the reader wants to go on. The header is of a client that reconnects, and newer than its URL.
base::result<std::uint64_t> read_position(const http::request_head& head) {
    static constexpr std::string_view known[] = {"after"};
    const auto query = read_query(head.target, known);
    if (!query) return std::unexpected(query.error());
    for (const auto& line : head.headers) {
        if (line.id == http::field::other && !line.value.empty() && http::equals_lower(line.name, "last-event-id"))
            return read_number("Last-Event-ID", line.value, INT64_MAX);
    }
    const auto after = find(*query, "after");
    return after ? read_number("after", *after, INT64_MAX) : base::result<std::uint64_t>(0);
}

// The answer on its way to the client: head and events in as few writes as there are portions.
class event_answer {
public:
    explicit event_answer(exchange& x) : x_(x), chunked_(!x.http_1_0) {
        if (!chunked_) x.client.close_after_this();
        head_ = fmt::format(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-store\r\n"
            "request-id: {0}\r\nx-claude-proxy-request-id: {0}\r\nx-accel-buffering: no\r\n{1}",
            x.record.request_id, chunked_ ? "transfer-encoding: chunked\r\n" : "");
    }

    bool begun() const { return x_.answered; }

    // Writes the pieces, of the first what comes behind the event `after`; with `last` the end of the answer.
    net::task<base::result<void>> write(const jobs::tail::portion& events, bool last) {
        std::vector<std::string_view> texts;
        texts.reserve(events.pieces.size());
        for (const auto& piece : events.pieces) {
            const std::string_view rest = anthropic::skip_to_after(piece->bytes, piece->first_id, events.after);
            if (!rest.empty()) texts.push_back(rest);
        }
        std::span<const std::string_view> left = texts;
        while (left.size() > pieces_a_write_max) {
            auto wrote = co_await write(left.first(pieces_a_write_max), false);
            if (!wrote) co_return wrote;
            left = left.subspan(pieces_a_write_max);
        }
        co_return co_await write(left, last);
    }

    net::task<base::result<void>> write(std::span<const std::string_view> texts, bool last) {
        std::vector<iovec> parts;
        parts.reserve(texts.size() + 4);
        const auto add = [&parts](std::string_view text) {
            if (!text.empty()) parts.push_back({const_cast<char*>(text.data()), text.size()});
        };
        if (!begun()) begin();
        add(head_);
        std::size_t payload = 0;
        for (const auto text : texts) payload += text.size();
        std::array<char, 18> size_line;
        if (!x_.head_method) {
            if (chunked_ && payload > 0) add({size_line.data(), http::chunk_size_line(payload, size_line)});
            for (const auto text : texts) add(text);
            if (chunked_) add(payload > 0 ? last ? "\r\n0\r\n\r\n" : "\r\n" : last ? "0\r\n\r\n" : "");
            x_.record.bytes_out += payload;
        }
        if (parts.empty()) co_return base::result<void>();
        auto wrote = co_await x_.client.write(parts);
        head_ = std::string();
        co_return wrote;
    }

private:
    // Whether the connection may carry another request is known late: a drain may have begun.
    void begin() {
        if (!x_.client.will_keep_alive()) {
            x_.client.close_after_this();
            head_ += "connection: close\r\n";
        }
        head_ += "\r\n";
        x_.answered = true;
        x_.record.status = 200;
        x_.record.stream = true;
        x_.record.first_byte_us = x_.elapsed_us();
    }

    exchange& x_;
    const bool chunked_;
    std::string head_;
};

// Ends a stream whose job has not: the reader comes again, to another replica.
net::task<base::result<void>> say_goodbye(exchange& x, event_answer& out) {
    x.client.timer().revive();
    x.client.close_after_this();
    auto wrote = co_await out.write(std::span<const std::string_view>(), true);
    if (!wrote) co_return wrote;
    co_return fail(errc::shutting_down);
}

net::task<base::result<void>> follow(exchange& x, service& s, const jobs::summary& about, std::uint64_t after) {
    static constexpr std::string_view ping[] = {": ping\n\n"};
    net::signal news(x.client.reactor());
    const auto follower = s.jobs->tail.follow(about, after, jobs::tail::interest::log, news.notifier());
    if (!follower) co_return fail(errc::too_many_followers, {}, std::chrono::seconds(1));
    event_answer out(x);
    for (;;) {
        bool took = false;
        {
            const jobs::tail::portion events = follower->take(portion_bytes_max);
            if (events.lost) {
                x.client.close_after_this();
                if (x.answered) x.client.stream().reset();
                co_return fail(errc::job_not_found, "The job was deleted while its events were read.");
            }
            took = !events.pieces.empty();
            if (took || events.ended || x.head_method) {
                auto wrote = co_await out.write(events, events.ended || x.head_method);
                if (!wrote || events.ended || x.head_method) co_return wrote;
            }
        }
        if (took) continue;
        if (x.client.load().draining) co_return co_await say_goodbye(x, out);
        x.client.timer().set_after((out.begun() ? s.options.ping_interval : head_hold).count());
        switch (co_await news.wait(x.client.timer(), &x.client.stream())) {
            case net::wake::ready:
                break;
            case net::wake::timeout: {
                const bool silent = out.begun();
                if (silent) ++x.record.pings;
                auto wrote = co_await out.write(silent ? std::span(ping) : std::span(ping).first(0), false);
                if (!wrote) co_return wrote;
                break;
            }
            case net::wake::hangup:
                co_return fail(errc::client_left);
            case net::wake::cancelled:
                co_return co_await say_goodbye(x, out);
        }
    }
}

}  // namespace

net::task<void> job_events(exchange& x, service& s, const http::request_head& head) {
    const auto after = read_position(head);
    x.client.keep_input();
    if (!after) {
        co_await refuse(x, after.error());
        co_return;
    }
    const auto about = co_await find_job(x, s, job_id_of(x.path));
    if (!about) {
        co_await refuse(x, about.error());
        co_return;
    }
    if (jobs::is_final(about->state) && *after >= about->events) {
        co_await answer(x, 204, "", "", "");
        co_return;
    }
    auto done = co_await follow(x, s, *about, *after);
    if (!done) co_await refuse(x, std::move(done.error()));
}

}  // namespace gateway
