// A redis-server of the test's own on a free loopback port, without persistence, that it can stop and start again.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "redis/connection.hpp"

extern char** environ;

namespace contract {

class redis_server {
public:
    redis_server() : port_(free_port()) { start(); }
    ~redis_server() { stop(); }
    redis_server(const redis_server&) = delete;
    redis_server& operator=(const redis_server&) = delete;

    redis::address address() const {
        redis::address where;
        where.host = "127.0.0.1";
        where.port = port_;
        return where;
    }

    void start() {
        std::string port = std::to_string(port_);
        const char* words[] = {"redis-server", "--port", port.c_str(), "--bind",  "127.0.0.1",   "--save", "",
                               "--appendonly", "no",     "--loglevel", "warning", "--maxmemory", "64mb",   nullptr};
        ASSERT_EQ(posix_spawnp(&pid_, words[0], nullptr, nullptr, const_cast<char**>(words), environ), 0);
        for (int i = 0; i < 500; ++i) {
            if (redis::connection::open(address(), std::chrono::milliseconds(200))) return;
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        FAIL() << "redis-server does not answer";
    }
    void stop() {
        if (pid_ <= 0) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
    // As a network that swallows everything: connections stay, nothing answers.
    void hang() { kill(pid_, SIGSTOP); }
    void go_on() { kill(pid_, SIGCONT); }

private:
    static std::uint16_t free_port() {
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof any;
        if (bind(fd, reinterpret_cast<sockaddr*>(&any), size) != 0) ADD_FAILURE() << "no free port";
        getsockname(fd, reinterpret_cast<sockaddr*>(&any), &size);
        close(fd);
        return ntohs(any.sin_port);
    }

    std::uint16_t port_;
    pid_t pid_ = 0;
};

}  // namespace contract
