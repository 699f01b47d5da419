// An upstream that looks like Claude to a gateway: one epoll thread, prebuilt answers, as little work as possible, so
// that the gateway is what a benchmark measures. The `model` of a request selects the answer:
//   claude-mock-json        a JSON message at once
//   claude-mock-b0-n200     a stream of 200 deltas, all in one write
//   claude-mock-s0-n200     a stream, one write a delta, no delay; streams take turns
//   claude-mock-s10-n200    a stream, one delta every 10 ms
// GET /stats answers counters as JSON (and starts its peaks anew), any other GET {"ok":true}.
//
//   mock_upstream --port 9200
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "clock.hpp"
#include "mock_answers.hpp"
#include "mock_request.hpp"

namespace bench {
namespace {

constexpr int listen_backlog = 4096;
constexpr int accepts_per_turn = 64;
constexpr int events_per_turn = 512;
constexpr unsigned deltas_per_turn = 4096;  // before the sockets are looked at again
constexpr std::size_t read_buffer_bytes = 256 * 1024;

struct counters {
    std::uint64_t requests = 0, missing_auth = 0, bytes_in = 0;
    std::uint64_t connections = 0, open_conns = 0, peak_conns = 0;
    std::uint64_t streams = 0, streams_done = 0, streams_aborted = 0, open_streams = 0, peak_streams = 0;
    std::uint64_t events = 0;
    std::uint64_t late_events = 0;  // sent more than one interval late: the machine is the limit, not the gateway
};

struct connection {
    int fd = -1;
    std::uint64_t id = 0;  // descriptors are used again, ids are not
    request_reader reader;
    std::string unsent;
    std::size_t unsent_from = 0;
    bool waits_for_room = false;
    bool streaming = false;
    unsigned deltas_sent = 0;
};

// A stream whose next delta is due. Only a weak reference: the connection may be gone by then.
struct turn {
    std::uint64_t at_us;
    int fd;
    std::uint64_t id;
};

class mock {
public:
    explicit mock(std::uint16_t port)
        : poll_(epoll_create1(0)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
        const int on = 1;
        setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
        if (listen(listener_, listen_backlog) != 0) fail("listen");
        watch(EPOLL_CTL_ADD, listener_, EPOLLIN);
    }

    [[noreturn]] void run() {
        std::vector<epoll_event> ready(events_per_turn);
        for (;;) {
            const int count = wait(ready);
            for (int i = 0; i < count; ++i) {
                if (ready[i].data.fd == listener_)
                    accept_some();
                else
                    serve(ready[i].data.fd, ready[i].events);
            }
            send_unpaced();
            send_due();
        }
    }

private:
    int wait(std::vector<epoll_event>& ready) {
        timespec time{};
        const timespec* timeout = nullptr;
        std::uint64_t next = ~0ull;
        for (const auto& [interval, turns] : due_) {
            if (!turns.empty()) next = std::min(next, turns.front().at_us);
        }
        if (!unpaced_.empty()) {
            timeout = &time;
        } else if (next != ~0ull) {
            const std::uint64_t now = now_us();
            time = timespec_of_us(next > now ? next - now : 0);
            timeout = &time;
        }
        return epoll_pwait2(poll_, ready.data(), events_per_turn, timeout, nullptr);
    }

    void accept_some() {
        for (int i = 0; i < accepts_per_turn; ++i) {
            const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
            if (fd < 0) return;
            const int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            if (connections_.size() <= static_cast<std::size_t>(fd)) connections_.resize(fd + 1);
            connections_[fd] = std::make_unique<connection>();
            connections_[fd]->fd = fd;
            connections_[fd]->id = ++count_.connections;
            count_.peak_conns = std::max(count_.peak_conns, ++count_.open_conns);
            watch(EPOLL_CTL_ADD, fd, EPOLLIN);
        }
    }

    void serve(int fd, std::uint32_t happened) {
        connection* peer = connections_[fd].get();
        if (!peer) return;
        if (happened & EPOLLOUT) {
            if (!flush(*peer)) return;
            const bool unpaced = peer->streaming && peer->reader.request().interval_ms == 0;
            if (unpaced && !peer->waits_for_room) unpaced_.push_back({0, fd, peer->id});
        }
        if (!(happened & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;

        const ssize_t got = recv(fd, buffer_.data(), buffer_.size(), 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return drop(*peer);
        count_.bytes_in += got;
        std::string_view bytes(buffer_.data(), got);
        for (;;) {
            switch (peer->reader.read(bytes)) {
                case request_reader::progress::needs_more:
                    return;
                case request_reader::progress::broken:
                    return drop(*peer);
                case request_reader::progress::complete:
                    if (!answer(*peer)) return;
            }
        }
    }

    // This and the functions below that return bool: false when the connection was dropped, `peer` is gone then.
    bool answer(connection& peer) {
        const asked& request = peer.reader.request();
        if (request.kind == answer_kind::stats) return send_json(peer, stats());
        if (request.kind == answer_kind::health) return send_json(peer, R"({"ok":true})");

        ++count_.requests;
        if (!request.has_credentials) ++count_.missing_auth;
        if (request.kind == answer_kind::message) return send_bytes(peer, answers_.message);

        ++count_.streams;
        if (request.kind == answer_kind::stream_at_once) return send_whole_stream(peer);

        peer.streaming = true;
        peer.deltas_sent = 0;
        count_.events += 2;
        count_.peak_streams = std::max(count_.peak_streams, ++count_.open_streams);
        if (!send_bytes(peer, answers_.stream_head + answers_.stream_start)) return false;
        if (request.interval_ms == 0)
            unpaced_.push_back({0, peer.fd, peer.id});
        else
            due_[request.interval_ms].push_back({now_us() + request.interval_ms * 1000ull, peer.fd, peer.id});
        return true;
    }

    bool send_json(connection& peer, const std::string& body) {
        return send_bytes(peer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
                                    std::to_string(body.size()) + "\r\n\r\n" + body);
    }

    bool send_whole_stream(connection& peer) {
        const unsigned deltas = peer.reader.request().deltas;
        std::string stream = answers_.stream_head + answers_.stream_start;
        char delta[delta_bytes_max];
        const std::uint64_t now = now_us();
        for (unsigned i = 0; i < deltas; ++i) stream.append(delta, write_delta(delta, i, now));
        stream += answers_.stream_end;
        count_.events += deltas + 5;
        ++count_.streams_done;
        return send_bytes(peer, stream);
    }

    // Sends the next delta or the end of the stream; false when there is nothing more to send to it.
    bool send_next(connection& peer, std::uint64_t now) {
        if (peer.deltas_sent >= peer.reader.request().deltas) {
            peer.streaming = false;
            --count_.open_streams;
            ++count_.streams_done;
            count_.events += 3;
            send_bytes(peer, answers_.stream_end);
            return false;
        }
        char delta[delta_bytes_max];
        ++count_.events;
        return send_bytes(peer, {delta, write_delta(delta, peer.deltas_sent++, now)});
    }

    // One delta for each stream without delay that has room in its socket.
    void send_unpaced() {
        for (std::size_t left = unpaced_.size(); left > 0; --left) {
            const turn next = unpaced_.front();
            unpaced_.pop_front();
            connection* peer = find_stream(next);
            if (!peer || !send_next(*peer, now_us())) continue;
            if (!peer->waits_for_room) unpaced_.push_back(next);
        }
    }

    void send_due() {
        std::uint64_t now = now_us();
        unsigned sent = 0;
        for (auto& [interval_ms, turns] : due_) {
            while (!turns.empty() && turns.front().at_us <= now && sent <= deltas_per_turn) {
                turn next = turns.front();
                turns.pop_front();
                connection* peer = find_stream(next);
                if (!peer) continue;
                if (++sent % 16 == 0) now = now_us();
                const std::uint64_t sent_at = now_us();
                if (!send_next(*peer, sent_at)) continue;

                next.at_us += interval_ms * 1000ull;
                if (next.at_us < sent_at) {
                    // Behind by a whole interval: go on at half an interval from now, but keep the queue sorted.
                    ++count_.late_events;
                    next.at_us = sent_at + interval_ms * 500ull;
                    if (!turns.empty()) next.at_us = std::max(next.at_us, turns.back().at_us);
                }
                turns.push_back(next);
            }
        }
    }

    connection* find_stream(const turn& wanted) {
        connection* peer = connections_[wanted.fd].get();
        return peer && peer->id == wanted.id && peer->streaming ? peer : nullptr;
    }

    bool send_bytes(connection& peer, std::string_view bytes) {
        if (peer.unsent.empty()) {
            ssize_t sent = send(peer.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent == static_cast<ssize_t>(bytes.size())) return true;
            if (sent < 0) {
                if (errno != EAGAIN) return drop(peer), false;
                sent = 0;
            }
            bytes.remove_prefix(sent);
        }
        peer.unsent.append(bytes);
        return flush(peer);
    }

    bool flush(connection& peer) {
        while (peer.unsent_from < peer.unsent.size()) {
            const ssize_t sent = send(peer.fd, peer.unsent.data() + peer.unsent_from,
                                      peer.unsent.size() - peer.unsent_from, MSG_NOSIGNAL);
            if (sent < 0 && errno == EAGAIN) break;
            if (sent < 0) return drop(peer), false;
            peer.unsent_from += sent;
        }
        const bool waits = peer.unsent_from < peer.unsent.size();
        if (!waits) {
            peer.unsent.clear();
            peer.unsent_from = 0;
        }
        if (waits != peer.waits_for_room) {
            peer.waits_for_room = waits;
            watch(EPOLL_CTL_MOD, peer.fd, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
        return true;
    }

    void drop(connection& peer) {
        if (peer.streaming) {
            ++count_.streams_aborted;
            --count_.open_streams;
        }
        --count_.open_conns;
        close(peer.fd);
        connections_[peer.fd].reset();
    }

    void watch(int operation, int fd, std::uint32_t events) {
        epoll_event wanted{};
        wanted.events = events;
        wanted.data.fd = fd;
        epoll_ctl(poll_, operation, fd, &wanted);
    }

    std::string stats() {
        std::string text = "{";
        const auto add = [&](const char* name, std::uint64_t value) {
            text += (text.size() > 1 ? ",\"" : "\"") + std::string(name) + "\":" + std::to_string(value);
        };
        add("requests", count_.requests);
        add("missing_auth", count_.missing_auth);
        add("bytes_in", count_.bytes_in);
        add("connections", count_.connections);
        add("open_conns", count_.open_conns);
        add("peak_conns", count_.peak_conns);
        add("streams", count_.streams);
        add("streams_done", count_.streams_done);
        add("streams_aborted", count_.streams_aborted);
        add("open_streams", count_.open_streams);
        add("peak_streams", count_.peak_streams);
        add("events", count_.events);
        add("late_events", count_.late_events);
        count_.peak_conns = count_.open_conns;
        count_.peak_streams = count_.open_streams;
        return text + "}";
    }

    const answers answers_;
    int poll_;
    int listener_;
    counters count_;
    std::vector<std::unique_ptr<connection>> connections_;  // by descriptor
    std::map<unsigned, std::deque<turn>> due_;              // by interval: each queue is sorted by time
    std::deque<turn> unpaced_;
    std::vector<char> buffer_ = std::vector<char>(read_buffer_bytes);
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    if (argc != 3 || std::string_view(argv[1]) != "--port") {
        fputs("usage: mock_upstream --port N\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    bench::mock(static_cast<std::uint16_t>(strtoul(argv[2], nullptr, 10))).run();
}
