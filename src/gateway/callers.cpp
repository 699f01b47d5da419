#include "gateway/callers.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <memory>
#include <stdexcept>

namespace gateway {
namespace {

struct mac_free {
    void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

}  // namespace

caller_table::caller_table(std::span<const base::secret> keys) : pepper_() {
    if (RAND_bytes(pepper_.data(), static_cast<int>(pepper_.size())) != 1) throw std::runtime_error("no random bytes");
    for (const auto& key : keys) {
        entries_.push_back({hash(key.reveal()), {"static-" + std::to_string(entries_.size() + 1), "default"}});
    }
}

caller_table::~caller_table() { OPENSSL_cleanse(pepper_.data(), pepper_.size()); }

caller_table::digest caller_table::hash(std::string_view key) const {
    // Fetching the algorithm and setting the key cost more than the digest: each thread keeps a keyed context.
    struct keyed_context {
        std::unique_ptr<EVP_MAC, mac_free> mac{EVP_MAC_fetch(nullptr, "HMAC", nullptr)};
        std::unique_ptr<EVP_MAC_CTX, mac_free> context{EVP_MAC_CTX_new(mac.get())};
        const caller_table* owner = nullptr;
    };
    thread_local keyed_context keyed;
    EVP_MAC_CTX* const context = keyed.context.get();
    if (keyed.owner != this) {
        char name[] = "SHA256";
        const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                         OSSL_PARAM_construct_end()};
        if (EVP_MAC_init(context, pepper_.data(), pepper_.size(), parameters) != 1)
            throw std::runtime_error("HMAC-SHA-256 failed");
        keyed.owner = this;
    }
    digest made{};
    std::size_t size = made.size();
    if (EVP_MAC_init(context, nullptr, 0, nullptr) != 1 ||
        EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(key.data()), key.size()) != 1 ||
        EVP_MAC_final(context, made.data(), &size, made.size()) != 1) {
        throw std::runtime_error("HMAC-SHA-256 failed");
    }
    return made;
}

const caller* caller_table::find(std::string_view presented) const {
    const digest asked = hash(presented);
    const caller* found = nullptr;
    for (const auto& candidate : entries_) {
        if (CRYPTO_memcmp(candidate.hash.data(), asked.data(), asked.size()) == 0) found = &candidate.who;
    }
    return found;
}

}  // namespace gateway
