// Accepts connections on one reactor and runs their requests one after the other through a handler.
//
//   http::server server(reactor, options, load, handler, tls_context_or_null);
//   server.listen(http::bind_listener("127.0.0.1", 8080, share_port));
//   ... later, on the reactor's thread: server.stop_accepting(); server.close_idle(); server.cancel_all();
//
// Thread rule: the reactor's thread, except `bind_listener`.
#pragma once

#include <memory>
#include <string>
#include <unordered_set>

#include "http/connection.hpp"

namespace http {

class handler {
public:
    virtual ~handler() = default;
    // Answers one request. `head` is valid until the first wait. It writes exactly one answer unless the client has
    // gone.
    virtual net::task<void> handle(connection& client, request_head& head) = 0;
    // Answers a request that could not be read; the connection is closed afterwards.
    virtual net::task<void> refuse(connection& client, const base::error& why) = 0;
    // The whole answer (head and body, `connection: close`) for a connection over the limit.
    virtual std::string overload_answer() = 0;
    // A connection could not be accepted (out of descriptors, of memory); accepting goes on after a pause.
    virtual void on_accept_failure(const std::string& reason) = 0;
};

// Runs the requests of one connection one after the other until it ends: what a server does with each connection that
// it accepts, and what serves one that came another way. `head` may be shared: it is only used before a request's
// first wait.
net::task<void> serve_requests(connection& client, request_head& head, handler& requests);

class server {
public:
    server(net::reactor& owner, const server_options& options, server_load& load, handler& requests, ssl_ctx_st* tls);
    ~server();

    void listen(int listener_fd);  // takes the descriptor over
    void stop_accepting();
    void close_idle();  // connections that wait between two requests
    void cancel_all();  // every wait under way ends with net::wake::cancelled
    std::size_t open_connections() const { return open_.size(); }

private:
    struct listener;
    net::task<void> accept_loop(std::shared_ptr<listener> from);
    net::task<void> serve(int fd);
    net::task<void> turn_away(int fd);

    net::reactor& reactor_;
    const server_options& options_;
    server_load& load_;
    handler& handler_;
    ssl_ctx_st* tls_;
    request_head head_;  // one for all: a head is only read before the first wait
    std::unordered_set<connection*> open_;
    std::shared_ptr<listener> listener_;
    std::size_t turning_away_ = 0;
};

// A listening socket. `share_port` sets SO_REUSEPORT so that each reactor has its own; a port that another process
// listens on is refused either way. Throws std::system_error with the address in its text.
int bind_listener(const std::string& host, std::uint16_t port, bool share_port);
std::uint16_t bound_port(int fd);

}  // namespace http
