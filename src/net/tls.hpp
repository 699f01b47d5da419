// TLS contexts over OpenSSL 3: one for the listener, one per reactor for the upstream (with its session cache).
// Both speak TLS 1.2 or newer. Errors while loading are exceptions that name the file.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>

namespace net {

struct ssl_free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using ssl_ptr = std::unique_ptr<SSL, ssl_free>;
using ssl_context_ptr = std::unique_ptr<SSL_CTX, ssl_free>;
using ssl_session_ptr = std::unique_ptr<SSL_SESSION, ssl_free>;

// Certificate chain and key in PEM files. May be shared by all threads.
ssl_context_ptr server_context(const std::string& certificate_file, const std::string& key_file);

// When the certificate of a server's context ends, in seconds since 1970; 0 when it does not say so readably.
std::int64_t certificate_end(const SSL_CTX& context);

// Verifies the peer against the system's trust anchors and those of `ca_file` (PEM, may be empty). May be shared.
ssl_context_ptr client_context(const std::string& ca_file);

// The client side of one connection to `host`, a name or an address: SNI, and the certificate has to be its. Ready for
// SSL_connect once it has its descriptor.
ssl_ptr new_client(SSL_CTX& context, const std::string& host);

// The client side of connections to one host, with resumption of the newest session.
// Thread rule: one thread.
class tls_client {
public:
    tls_client(SSL_CTX& shared_context, std::string host);
    ssl_ptr connection();  // ready for SSL_connect once it has its descriptor

private:
    static int remember(SSL* ssl, SSL_SESSION* session);

    SSL_CTX& context_;
    std::string host_;
    ssl_session_ptr session_;
};

// The newest error of this thread's OpenSSL queue as text, and empties the queue. For logs.
std::string tls_error_text();

}  // namespace net
