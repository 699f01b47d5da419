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
    // Fetching the algorithm costs more than the digest: each thread keeps its context.
    thread_local const std::unique_ptr<EVP_MAC, mac_free> mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
    thread_local const std::unique_ptr<EVP_MAC_CTX, mac_free> context = [] {
        std::unique_ptr<EVP_MAC_CTX, mac_free> made(EVP_MAC_CTX_new(mac.get()));
        char name[] = "SHA256";
        const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                         OSSL_PARAM_construct_end()};
        EVP_MAC_CTX_set_params(made.get(), parameters);
        return made;
    }();
    digest made{};
    std::size_t size = made.size();
    if (EVP_MAC_init(context.get(), pepper_.data(), pepper_.size(), nullptr) != 1 ||
        EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(key.data()), key.size()) != 1 ||
        EVP_MAC_final(context.get(), made.data(), &size, made.size()) != 1) {
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
