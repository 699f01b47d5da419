// An issuer's web server on this machine, for tests: one thread that answers one request a connection with the bytes
// it was given. With a certificate it speaks TLS.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace governance {

inline std::string http_answer(std::string_view body, std::string_view status = "200 OK", std::string_view more = "") {
    return "HTTP/1.1 " + std::string(status) + "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" +
           std::string(more) + "\r\n" + std::string(body);
}

// A certificate of 127.0.0.1 that vouches for itself, and its key.
struct test_certificate {
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{EVP_EC_gen("P-256"), EVP_PKEY_free};
    std::unique_ptr<X509, decltype(&X509_free)> certificate{X509_new(), X509_free};

    explicit test_certificate(const char* host) {
        X509* const made = certificate.get();
        X509_set_version(made, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
        X509_gmtime_adj(X509_getm_notBefore(made), -3'600);
        X509_gmtime_adj(X509_getm_notAfter(made), 3'600);
        X509_set_pubkey(made, key.get());
        X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>("issuer of a test"), -1, -1, 0);
        X509_set_issuer_name(made, X509_get_subject_name(made));
        for (const auto& [id, value] : {std::pair{NID_subject_alt_name, std::string("IP:") + host},
                                        std::pair{NID_basic_constraints, std::string("critical,CA:TRUE")}}) {
            X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
            X509_add_ext(made, extension, -1);
            X509_EXTENSION_free(extension);
        }
        EXPECT_GT(X509_sign(made, key.get(), EVP_sha256()), 0);
    }
    std::string pem() const {
        const std::unique_ptr<BIO, decltype(&BIO_free_all)> out(BIO_new(BIO_s_mem()), BIO_free_all);
        PEM_write_bio_X509(out.get(), certificate.get());
        char* text = nullptr;
        const long size = BIO_get_mem_data(out.get(), &text);
        return {text, static_cast<std::size_t>(size)};
    }
};

class jwks_test_server {
public:
    explicit jwks_test_server(std::string answer, const test_certificate* with = nullptr, std::uint16_t port = 0)
        : answer_(std::move(answer)), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (with) {
            context_.reset(SSL_CTX_new(TLS_server_method()));
            SSL_CTX_use_certificate(context_.get(), with->certificate.get());
            SSL_CTX_use_PrivateKey(context_.get(), with->key.get());
        }
        if (fd_ < 0) throw std::runtime_error("no socket");
        const int on = 1;
        setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(listen(fd_, 16), 0);
        socklen_t size = sizeof address;
        getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] { run(); });
    }
    ~jwks_test_server() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            changed_.notify_all();
        }
        shutdown(fd_, SHUT_RDWR);
        thread_.join();
        close(fd_);
    }
    jwks_test_server(const jwks_test_server&) = delete;
    jwks_test_server& operator=(const jwks_test_server&) = delete;

    std::uint16_t port() const { return port_; }
    std::string url() const {
        return (context_ ? "https" : "http") + std::string("://127.0.0.1:") + std::to_string(port_) + "/jwks.json";
    }
    void answer_with(std::string answer) {
        const std::lock_guard lock(mutex_);
        answer_ = std::move(answer);
    }
    // Requests are read, and answered only after `go_on`.
    void hold() {
        const std::lock_guard lock(mutex_);
        holding_ = true;
    }
    void go_on() {
        const std::lock_guard lock(mutex_);
        holding_ = false;
        changed_.notify_all();
    }
    bool wait_for_requests(int count) const {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return requests_ >= count; });
    }
    int requests() const {
        const std::lock_guard lock(mutex_);
        return requests_;
    }
    std::string last_request() const {
        const std::lock_guard lock(mutex_);
        return last_request_;
    }

private:
    void run() {
        sigset_t broken_pipe;  // a peer that hangs up is part of the tests
        sigemptyset(&broken_pipe);
        sigaddset(&broken_pipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
        for (;;) {
            const int peer = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
            if (peer < 0) return;
            serve(peer);
            close(peer);
        }
    }
    void serve(int peer) {
        const std::unique_ptr<SSL, decltype(&SSL_free)> tls(context_ ? SSL_new(context_.get()) : nullptr, SSL_free);
        if (tls) {
            SSL_set_fd(tls.get(), peer);
            if (SSL_accept(tls.get()) != 1) return;
        }
        std::string request;
        char piece[4'096];
        while (request.find("\r\n\r\n") == std::string::npos) {
            const int size =
                tls ? SSL_read(tls.get(), piece, sizeof piece) : static_cast<int>(recv(peer, piece, sizeof piece, 0));
            if (size <= 0) return;
            request.append(piece, static_cast<std::size_t>(size));
        }
        std::string answer;
        {
            std::unique_lock lock(mutex_);
            ++requests_;
            last_request_ = request;
            changed_.notify_all();
            changed_.wait(lock, [this] { return !holding_ || stopping_; });
            answer = answer_;
        }
        if (tls) {
            SSL_write(tls.get(), answer.data(), static_cast<int>(answer.size()));
            SSL_shutdown(tls.get());
        } else {
            for (std::string_view rest = answer; !rest.empty();) {
                const ssize_t size = send(peer, rest.data(), rest.size(), MSG_NOSIGNAL);
                if (size <= 0) return;
                rest.remove_prefix(static_cast<std::size_t>(size));
            }
        }
    }

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::string answer_;
    std::string last_request_;
    int requests_ = 0;
    bool holding_ = false;
    bool stopping_ = false;
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
    int fd_;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

}  // namespace governance
