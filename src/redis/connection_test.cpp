#include "redis/connection.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

namespace redis {
namespace {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

// Somebody who takes connections and says nothing, or what he is told to say.
class listener {
public:
    listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in where{};
        where.sin_family = AF_INET;
        where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof where;
        EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&where), size), 0);
        EXPECT_EQ(listen(fd_, 8), 0);
        EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&where), &size), 0);
        port_ = ntohs(where.sin_port);
    }
    ~listener() { close(fd_); }
    std::uint16_t port() const { return port_; }
    int accept() const { return ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC); }

private:
    int fd_;
    std::uint16_t port_ = 0;
};

address at(std::string_view scheme, std::uint16_t port) {
    const std::string url = std::string(scheme) + "127.0.0.1:" + std::to_string(port);
    return address_of({.url = base::secret(url)}).value();
}

TEST(redis_connection, to_nobody_fails_with_a_sentence) {
    const auto opened = connection::open({.host = "127.0.0.1", .port = 1}, milliseconds(500));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error(), "Connection refused");
}

TEST(redis_connection, waits_for_an_answer_no_longer_than_it_may) {
    const listener silent;
    const auto began = clock::now();
    auto opened = connection::open(at("redis://", silent.port()), milliseconds(200));
    ASSERT_TRUE(opened) << opened.error();
    const std::string_view words[] = {"PING"};
    const auto got = opened->run(words);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), "could not get an answer in time");
    EXPECT_GE(clock::now() - began, milliseconds(200));
}

TEST(redis_connection, waits_for_a_handshake_no_longer_than_it_may) {
    const listener silent;
    const auto began = clock::now();
    const auto opened = connection::open(at("rediss://", silent.port()), milliseconds(200));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error(), "could not agree on TLS in time");
    EXPECT_GE(clock::now() - began, milliseconds(200));
}

TEST(redis_connection, to_somebody_who_speaks_no_tls_fails_with_a_sentence) {
    const listener plain;
    std::thread server([&] {
        const int fd = plain.accept();
        const std::string_view said = "-ERR unknown command\r\n";
        EXPECT_EQ(send(fd, said.data(), said.size(), MSG_NOSIGNAL), static_cast<ssize_t>(said.size()));
        char heard[4096];
        while (recv(fd, heard, sizeof heard, 0) > 0) {
        }
        close(fd);
    });
    const auto opened = connection::open(at("rediss://", plain.port()), milliseconds(20'000));
    server.join();
    ASSERT_FALSE(opened);
    EXPECT_TRUE(opened.error().starts_with("no TLS: ")) << opened.error();
}

TEST(redis_connection, reads_replies_in_whatever_pieces_they_come) {
    const listener pieces;
    const std::string_view expected = "*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n";
    const std::string_view said =
        "+PONG\r\n-WRONGTYPE no\r\n:7\r\n$5\r\nab\r\nc\r\n*3\r\n:1\r\n$1\r\nx\r\n:-2\r\n$-1\r\n";
    std::string asked;
    std::thread server([&] {
        const int fd = pieces.accept();
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        while (asked.size() < expected.size()) {
            char heard[64];
            const ssize_t got = recv(fd, heard, sizeof heard, 0);
            if (got <= 0) break;
            asked.append(heard, static_cast<std::size_t>(got));
        }
        for (const char c : said)
            if (send(fd, &c, 1, MSG_NOSIGNAL) != 1) break;
        close(fd);
    });
    auto opened = connection::open(at("redis://", pieces.port()), milliseconds(20'000));
    ASSERT_TRUE(opened) << opened.error();
    const std::string_view one[] = {"PING"};
    const std::string_view two[] = {"GET", ""};
    opened->add(one);
    opened->add(two);
    EXPECT_EQ(opened->read().value().text, "PONG");
    EXPECT_EQ(opened->read().value().error, "WRONGTYPE no");
    EXPECT_EQ(opened->read().value().numbers, std::vector<std::int64_t>{7});
    EXPECT_EQ(opened->read().value().text, "ab\r\nc");
    const auto list = opened->read().value();
    EXPECT_EQ(list.numbers, (std::vector<std::int64_t>{1, -2}));
    EXPECT_EQ(list.texts, std::vector<std::string>{"x"});
    EXPECT_EQ(opened->read().value().text, "");
    const auto end = opened->read();
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error(), "the server has closed the connection");
    server.join();
    EXPECT_EQ(asked, expected);
}

TEST(redis_connection, refuses_what_is_not_the_protocol) {
    const listener stranger;
    std::thread server([&] {
        const int fd = stranger.accept();
        char heard[64];
        EXPECT_GT(recv(fd, heard, sizeof heard, 0), 0);
        const std::string_view said = "HTTP/1.1 400 Bad Request\r\n\r\n";
        EXPECT_EQ(send(fd, said.data(), said.size(), MSG_NOSIGNAL), static_cast<ssize_t>(said.size()));
        close(fd);
    });
    auto opened = connection::open(at("redis://", stranger.port()), milliseconds(20'000));
    ASSERT_TRUE(opened) << opened.error();
    const std::string_view words[] = {"PING"};
    const auto got = opened->run(words);
    server.join();
    ASSERT_FALSE(got);
    EXPECT_TRUE(got.error().starts_with("Protocol error")) << got.error();
}

}  // namespace
}  // namespace redis
