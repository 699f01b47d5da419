#include "net/tls.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <stdexcept>

namespace net {
namespace {

ssl_context_ptr new_context(const SSL_METHOD* method) {
    ssl_context_ptr context(SSL_CTX_new(method));
    if (!context) throw std::runtime_error("OpenSSL: no context: " + tls_error_text());
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    // Released buffers keep an idle connection small; partial writes and moving buffers fit a non-blocking relay.
    SSL_CTX_set_mode(context.get(),
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    return context;
}

bool is_address(const std::string& host) {
    unsigned char ignored[16];
    return inet_pton(AF_INET, host.c_str(), ignored) == 1 || inet_pton(AF_INET6, host.c_str(), ignored) == 1;
}

int owner_index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

}  // namespace

std::string tls_error_text() {
    const unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    if (code == 0) return "connection closed during the handshake";
    char text[256];
    ERR_error_string_n(code, text, sizeof text);
    return text;
}

ssl_context_ptr server_context(const std::string& certificate_file, const std::string& key_file) {
    auto context = new_context(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context.get(), certificate_file.c_str()) != 1) {
        throw std::runtime_error("cannot load the certificate chain " + certificate_file + ": " + tls_error_text());
    }
    if (SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
        throw std::runtime_error("cannot load the private key " + key_file + ": " + tls_error_text());
    }
    if (SSL_CTX_check_private_key(context.get()) != 1) {
        throw std::runtime_error(key_file + " does not belong to the certificate " + certificate_file);
    }
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);  // tickets need no memory of ours
    return context;
}

std::int64_t certificate_end(const SSL_CTX& context) {
    const X509* const certificate = SSL_CTX_get0_certificate(&context);
    std::tm end{};
    if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1) return 0;
    return timegm(&end);
}

ssl_context_ptr client_context(const std::string& ca_file) {
    auto context = new_context(TLS_client_method());
    SSL_CTX_set_default_verify_paths(context.get());
    if (!ca_file.empty() && SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr) != 1) {
        throw std::runtime_error("cannot load trust anchors from " + ca_file + ": " + tls_error_text());
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return context;
}

ssl_ptr new_client(SSL_CTX& context, const std::string& host) {
    ssl_ptr ssl(SSL_new(&context));
    if (!ssl) throw std::bad_alloc();
    SSL_set_connect_state(ssl.get());
    if (is_address(host)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str());
    } else {
        SSL_set1_host(ssl.get(), host.c_str());
        SSL_set_tlsext_host_name(ssl.get(), host.c_str());
    }
    return ssl;
}

tls_client::tls_client(SSL_CTX& shared_context, std::string host) : context_(shared_context), host_(std::move(host)) {
    SSL_CTX_sess_set_new_cb(&context_, remember);
}

int tls_client::remember(SSL* ssl, SSL_SESSION* session) {
    auto* const owner = static_cast<tls_client*>(SSL_get_ex_data(ssl, owner_index()));
    if (!owner) return 0;
    owner->session_.reset(session);
    return 1;  // the reference is ours now
}

ssl_ptr tls_client::connection() {
    ssl_ptr ssl = new_client(context_, host_);
    SSL_set_ex_data(ssl.get(), owner_index(), this);
    if (session_) SSL_set_session(ssl.get(), session_.get());
    return ssl;
}

}  // namespace net
