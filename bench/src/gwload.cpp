// Load generator for gateways: one epoll thread, loopback only. Prints one line of JSON.
//
//   --mode req   keep-alive requests: as fast as answers come, or --rate R a second. With a rate the latency counts
//   from the
//                time a request was due, not from when it could be sent, so a slow answer is not hidden by the requests
//                it delays.
//   --mode sse   streams: decodes them, checks order and completeness, measures the time to the first byte, to the
//   first event, and
//                the delay of every delta against the mock's time stamp.
//   --mode jobs  submits a job and then reads its events, as a stream of --mode sse, on the same connection. Times
//   count
//                from the submit.
//
//   --port N --path P --body FILE -H "name: value" --conns N
//   --duration S | --total N   stops after so long or so many; what is in flight is finished
//   --warmup S                 answers that end before are not measured
//   --ramp-ms MS               opens the connections over so long
//   --expect N                 deltas of a whole stream (200)
//   --must TEXT                what the body of any other answer must hold
//   --status N                 that answers must have (200; 202 for jobs)
//   --timeout S                after the duration, what is still in flight is an error
//
// The exit code is 0 when there were no errors, 1 when there were, 2 when it could not run.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "answer_reader.hpp"
#include "clock.hpp"
#include "samples.hpp"

namespace bench {
namespace {

constexpr int events_per_turn = 512;
constexpr std::uint64_t turn_us_max = 2000;  // the ramp and the end are looked at this often
constexpr std::size_t read_buffer_bytes = 256 * 1024;
constexpr std::size_t kept_body_bytes_max = 65536;         // of answers that are not streams
constexpr std::uint64_t stamp_mask = 0xffff'ffff'ffffull;  // twelve hexadecimal digits

struct options {
    bool streams = false;
    bool jobs = false;
    int status = 200;
    std::uint16_t port = 0;
    std::string path = "/v1/messages";
    std::string headers;
    std::string body;
    std::string must;
    unsigned connections = 64;
    unsigned deltas = 200;
    std::uint64_t total = 0;  // 0: until the duration is over
    double duration_s = 5, warmup_s = 0, rate = 0, ramp_ms = 0, timeout_s = 60;
};

struct connection {
    int fd = -1;
    bool busy = false;  // a request is out
    bool waits_to_send = false;
    bool has_answer_bytes = false;
    bool is_reused = false;
    bool follows = false;  // its job is submitted, the events are asked for
    std::size_t sent = 0;
    std::uint64_t due_us = 0, started_us = 0;
    answer_reader answer;
    stream_check stream;
    std::string line;  // an SSE line that was cut by a read
    std::string body;
    std::string follow;  // the request for the events
};

class load {
public:
    explicit load(const options& wanted)
        : options_(wanted), poll_(epoll_create1(0)), connections_(wanted.connections), buffer_(read_buffer_bytes) {
        request_ = "POST " + options_.path + " HTTP/1.1\r\nhost: 127.0.0.1:" + std::to_string(options_.port) + "\r\n" +
                   options_.headers + "content-length: " + std::to_string(options_.body.size()) + "\r\n\r\n" +
                   options_.body;
    }

    void run() {
        began_us_ = now_us();
        measured_from_us_ = began_us_ + us_of(options_.warmup_s);
        next_due_us_ = static_cast<double>(began_us_);
        const std::uint64_t stop_us = began_us_ + us_of(options_.duration_s);
        const std::uint64_t give_up_us = stop_us + us_of(options_.timeout_s);
        std::vector<epoll_event> ready(events_per_turn);
        for (;;) {
            const std::uint64_t now = now_us();
            if (now >= stop_us) stopping_ = true;
            if (now > give_up_us) {
                errors_["timeout_in_flight"] += in_flight_;
                break;
            }
            launch(now);
            const bool all_started = options_.total && started_ >= options_.total && overdue_.empty();
            if (in_flight_ == 0 && (stopping_ || all_started)) break;

            const timespec timeout = timespec_of_us(time_to_next_turn());
            const int count = epoll_pwait2(poll_, ready.data(), events_per_turn, &timeout, nullptr);
            for (int i = 0; i < count; ++i) serve(ready[i].data.u32, ready[i].events);
        }
        ended_us_ = now_us();
    }

    // Returns the number of errors.
    std::uint64_t report() {
        std::uint64_t errors = 0;
        for (const auto& [kind, count] : errors_) errors += count;
        rusage used{};
        getrusage(RUSAGE_SELF, &used);
        const double cpu_s = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                             static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
        const double elapsed_s = static_cast<double>(ended_us_ - began_us_) / 1e6;
        printf("{\"ok\":%lu,\"errors\":%lu,\"elapsed\":%.3f,\"per_s\":%.1f", ok_, errors, elapsed_s,
               static_cast<double>(ok_) / elapsed_s);
        printf(",\"deltas\":%lu,\"deltas_per_s\":%.1f,\"events\":%lu,\"bytes\":%lu", deltas_,
               static_cast<double>(deltas_) / elapsed_s, events_, body_bytes_);
        printf(",\"connects\":%lu,\"retries\":%lu,\"peak_inflight\":%lu,\"loadgen_cpu_s\":%.3f,\"backlog_left\":%zu",
               connects_, retries_, in_flight_peak_, cpu_s, overdue_.size());
        latency_.print("latency_us");
        first_byte_.print("ttfb_us");
        if (options_.streams) {
            first_event_.print("first_event_us");
            lag_.print("lag_us");
        }
        printf(",\"error_kinds\":{");
        const char* separator = "";
        for (const auto& [kind, count] : errors_) {
            printf("%s\"%s\":%lu", separator, kind.c_str(), count);
            separator = ",";
        }
        printf("}}\n");
        if (!first_bad_.empty()) fprintf(stderr, "first bad answer: %s\n", first_bad_.c_str());
        return errors;
    }

private:
    static std::uint64_t us_of(double seconds) { return static_cast<std::uint64_t>(seconds * 1e6); }
    bool is_measured(std::uint64_t now) const { return now >= measured_from_us_; }
    bool may_start_more() const { return !stopping_ && (!options_.total || started_ < options_.total); }

    void launch(std::uint64_t now) {
        if (options_.rate > 0) return launch_at_rate(now);
        while (launched_ < options_.connections && may_start_more()) {
            const double due_ms = options_.ramp_ms * launched_ / options_.connections;
            if (static_cast<double>(now - began_us_) / 1000 < due_ms) return;
            start(launched_++, now_us());
        }
    }

    void launch_at_rate(std::uint64_t now) {
        while (!stopping_ && next_due_us_ <= static_cast<double>(now)) {
            if (options_.total && started_ + overdue_.size() >= options_.total) break;
            const auto due_us = static_cast<std::uint64_t>(next_due_us_);
            next_due_us_ += 1e6 / options_.rate;
            if (!idle_.empty()) {
                const unsigned index = idle_.back();
                idle_.pop_back();
                start(index, due_us);
            } else if (launched_ < options_.connections) {
                start(launched_++, due_us);
            } else {
                overdue_.push_back(due_us);
            }
        }
        if (stopping_) overdue_.clear();
    }

    std::uint64_t time_to_next_turn() const {
        if (options_.rate <= 0 || stopping_) return turn_us_max;
        const double wait_us = next_due_us_ - static_cast<double>(now_us());
        return wait_us <= 0 ? 0 : static_cast<std::uint64_t>(std::min(static_cast<double>(turn_us_max), wait_us));
    }

    void start(unsigned index, std::uint64_t due_us) {
        connection& peer = connections_[index];
        peer.busy = true;
        peer.sent = 0;
        peer.due_us = due_us;
        peer.started_us = now_us();
        peer.has_answer_bytes = false;
        peer.answer.restart();
        peer.stream.restart();
        peer.line.clear();
        peer.body.clear();
        ++started_;
        in_flight_peak_ = std::max(in_flight_peak_, ++in_flight_);
        peer.follows = false;
        peer.is_reused = peer.fd >= 0;
        if (peer.is_reused)
            send_request(index);
        else
            connect_to_gateway(index);
    }

    void connect_to_gateway(unsigned index) {
        connection& peer = connections_[index];
        peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (peer.fd < 0) fail("socket");
        const int on = 1;
        setsockopt(peer.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(options_.port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (connect(peer.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS)
            fail("connect");
        // The request goes out when the socket is writable.
        epoll_event wanted{};
        wanted.events = EPOLLIN | EPOLLOUT;
        wanted.data.u32 = index;
        epoll_ctl(poll_, EPOLL_CTL_ADD, peer.fd, &wanted);
        peer.waits_to_send = true;
        ++connects_;
    }

    void send_request(unsigned index) {
        connection& peer = connections_[index];
        const std::string& request = peer.follows ? peer.follow : request_;
        while (peer.sent < request.size()) {
            const ssize_t sent = send(peer.fd, request.data() + peer.sent, request.size() - peer.sent, MSG_NOSIGNAL);
            if (sent < 0 && errno == EAGAIN) return wait_to_send(index, true);
            if (sent < 0) break;  // the read that follows tells what happened
            peer.sent += sent;
        }
        wait_to_send(index, false);
    }

    void wait_to_send(unsigned index, bool waits) {
        connection& peer = connections_[index];
        if (peer.waits_to_send == waits) return;
        peer.waits_to_send = waits;
        epoll_event wanted{};
        wanted.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN;
        wanted.data.u32 = index;
        epoll_ctl(poll_, EPOLL_CTL_MOD, peer.fd, &wanted);
    }

    void close_connection(connection& peer) {
        close(peer.fd);
        peer.fd = -1;
        peer.waits_to_send = false;
    }

    void serve(unsigned index, std::uint32_t happened) {
        connection& peer = connections_[index];
        if (peer.fd < 0) return;
        if ((happened & EPOLLOUT) && peer.waits_to_send) send_request(index);
        if (!(happened & (EPOLLIN | EPOLLERR | EPOLLHUP))) return;

        const ssize_t got = recv(peer.fd, buffer_.data(), buffer_.size(), 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got > 0) return take(index, {buffer_.data(), static_cast<std::size_t>(got)});
        if (!peer.busy) return close_connection(peer);
        if (got == 0 && peer.answer.ends_at_close()) return finish(index, "");
        if (!peer.has_answer_bytes && peer.is_reused) {
            // A kept connection that the gateway closed before it saw the request: any client would ask again.
            ++retries_;
            close_connection(peer);
            peer.sent = 0;
            peer.is_reused = false;
            return connect_to_gateway(index);
        }
        finish(index, got == 0 ? "eof" : std::string("recv: ") + strerror(errno));
    }

    void take(unsigned index, std::string_view bytes) {
        connection& peer = connections_[index];
        if (!peer.busy) {
            ++errors_["bytes_without_request"];
            return close_connection(peer);
        }
        const std::uint64_t now = now_us();
        if (!peer.has_answer_bytes && !peer.follows && is_measured(now)) first_byte_.add(now - peer.started_us);
        peer.has_answer_bytes = true;
        switch (peer.answer.read(bytes, [&](std::string_view piece) { take_body(peer, piece); })) {
            case answer_reader::progress::needs_more:
                return;
            case answer_reader::progress::bad_chunk:
                return finish(index, "bad_chunk");
            case answer_reader::progress::complete:
                if (!bytes.empty()) return finish(index, "excess_bytes");
                if (options_.jobs && !peer.follows && peer.answer.status() == 202) return follow(index);
                return finish(index, "");
        }
    }

    // The job is submitted: its events are asked for.
    void follow(unsigned index) {
        static constexpr std::string_view member = R"("id":")";
        connection& peer = connections_[index];
        const std::size_t at = peer.body.find(member);
        if (at == std::string::npos) return finish(index, "no_job");
        const std::size_t begin = at + member.size();
        const std::string id = peer.body.substr(begin, peer.body.find('"', begin) - begin);
        peer.follow = "GET " + options_.path + "/" + id +
                      "/events HTTP/1.1\r\nhost: 127.0.0.1:" + std::to_string(options_.port) + "\r\n" +
                      options_.headers + "\r\n";
        peer.follows = true;
        peer.has_answer_bytes = false;
        peer.sent = 0;
        peer.answer.restart();
        peer.body.clear();
        send_request(index);
    }

    void take_body(connection& peer, std::string_view piece) {
        body_bytes_ += piece.size();
        if (!options_.streams || peer.answer.status() != 200) {
            if (peer.body.size() < kept_body_bytes_max) peer.body.append(piece);
            return;
        }
        while (!piece.empty()) {
            const std::size_t end_of_line = piece.find('\n');
            if (end_of_line == piece.npos) {
                peer.line.append(piece);
                return;
            }
            if (peer.line.empty()) {
                take_line(peer, piece.substr(0, end_of_line));
            } else {
                peer.line.append(piece.substr(0, end_of_line));
                take_line(peer, peer.line);
                peer.line.clear();
            }
            piece.remove_prefix(end_of_line + 1);
        }
    }

    void take_line(connection& peer, std::string_view line) {
        const bool had_data = peer.stream.has_data();
        const auto stamp = peer.stream.line(line);
        if (!had_data && peer.stream.has_data()) {
            const std::uint64_t now = now_us();
            if (is_measured(now)) first_event_.add(now - peer.started_us);
        }
        if (!stamp) return;
        ++deltas_;
        const std::uint64_t now = now_us();
        const std::uint64_t wrapped = now & stamp_mask;
        if (*stamp > wrapped + 1) return peer.stream.reject();
        if (is_measured(now)) lag_.add(wrapped > *stamp ? wrapped - *stamp : 0);
    }

    // The end of an answer; `failure` is empty when it arrived whole.
    void finish(unsigned index, std::string failure) {
        connection& peer = connections_[index];
        const std::uint64_t now = now_us();
        const bool arrived = failure.empty();
        if (failure.empty()) failure = complaint(peer);
        if (failure.empty()) {
            ++ok_;
            if (is_measured(now)) latency_.add(now - peer.due_us);
        } else {
            ++errors_[failure];
            if (first_bad_.empty())
                first_bad_ = failure + " " + peer.answer.head().substr(0, 300) + peer.body.substr(0, 300);
        }
        events_ += peer.stream.events();
        peer.busy = false;
        --in_flight_;
        if (!arrived || peer.answer.closes()) close_connection(peer);

        if (options_.rate <= 0) {
            if (may_start_more()) start(index, now_us());
        } else if (!overdue_.empty()) {
            const std::uint64_t due_us = overdue_.front();
            overdue_.pop_front();
            start(index, due_us);
        } else {
            idle_.push_back(index);
        }
    }

    std::string complaint(const connection& peer) const {
        const int wanted = options_.streams ? 200 : options_.status;
        if (peer.answer.status() != wanted) return "status:" + std::to_string(peer.answer.status());
        if (options_.streams) return std::string(peer.stream.complaint(options_.deltas));
        return peer.body.find(options_.must) == std::string::npos ? "body" : "";
    }

    const options& options_;
    int poll_;
    std::vector<connection> connections_;
    std::vector<char> buffer_;
    std::string request_;

    std::uint64_t began_us_ = 0, ended_us_ = 0, measured_from_us_ = 0;
    double next_due_us_ = 0;
    bool stopping_ = false;
    unsigned launched_ = 0;              // connections that were used at least once
    std::vector<unsigned> idle_;         // only with a rate
    std::deque<std::uint64_t> overdue_;  // requests that are due and found no idle connection

    std::uint64_t started_ = 0, ok_ = 0, in_flight_ = 0, in_flight_peak_ = 0, connects_ = 0, retries_ = 0;
    std::uint64_t deltas_ = 0, events_ = 0, body_bytes_ = 0;
    samples latency_, first_byte_, first_event_, lag_;
    std::map<std::string, std::uint64_t> errors_;
    std::string first_bad_;
};

std::string read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

options read_arguments(int argc, char** argv) {
    options wanted;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (i + 1 == argc) {
            fprintf(stderr, "gwload: %s needs a value\n", argv[i]);
            exit(2);
        }
        const char* value = argv[++i];
        const auto whole = [&] { return strtoull(value, nullptr, 10); };
        if (name == "--mode") {
            wanted.jobs = std::string_view(value) == "jobs";
            wanted.streams = wanted.jobs || std::string_view(value) == "sse";
        } else if (name == "--status")
            wanted.status = atoi(value);
        else if (name == "--port")
            wanted.port = static_cast<std::uint16_t>(whole());
        else if (name == "--path")
            wanted.path = value;
        else if (name == "--body")
            wanted.body = read_file(value);
        else if (name == "-H")
            wanted.headers.append(value).append("\r\n");
        else if (name == "--conns")
            wanted.connections = static_cast<unsigned>(whole());
        else if (name == "--total")
            wanted.total = whole();
        else if (name == "--duration")
            wanted.duration_s = atof(value);
        else if (name == "--warmup")
            wanted.warmup_s = atof(value);
        else if (name == "--rate")
            wanted.rate = atof(value);
        else if (name == "--ramp-ms")
            wanted.ramp_ms = atof(value);
        else if (name == "--expect")
            wanted.deltas = static_cast<unsigned>(whole());
        else if (name == "--must")
            wanted.must = value;
        else if (name == "--timeout")
            wanted.timeout_s = atof(value);
        else {
            fprintf(stderr, "gwload: unknown argument %s\n", argv[i - 1]);
            exit(2);
        }
    }
    return wanted;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    signal(SIGPIPE, SIG_IGN);
    const bench::options wanted = bench::read_arguments(argc, argv);
    bench::load load(wanted);
    load.run();
    return load.report() ? 1 : 0;
}
