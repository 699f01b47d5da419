// Idempotency-Key: the answer that another request with the same key was given, or is being given.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/answer_book.hpp"
#include "gateway/exchange.hpp"

namespace gateway {

// Sends it, following the request that leads as it goes; of a stream whole events, and pings of our own in silence.
// False: that request failed before anything was sent; the caller may lead now. Otherwise `request_body` and its place
// were given back as soon as it was not needed for that any more.
net::task<bool> replay(exchange& x, service& s, recorded_answer& answer, std::string& request_body);

// The lead of an answer: ends it as failed unless `finish` or `doubt` was called.
class answer_lead {
public:
    answer_lead() = default;
    answer_lead(answer_book& book, std::string key, std::shared_ptr<recorded_answer> answer)
        : book_(&book), key_(std::move(key)), answer_(std::move(answer)) {}
    ~answer_lead() {
        if (book_) book_->drop(key_, *answer_);
    }
    answer_lead(const answer_lead&) = delete;
    answer_lead& operator=(answer_lead&& other) noexcept {
        std::swap(book_, other.book_);
        std::swap(key_, other.key_);
        std::swap(answer_, other.answer_);
        return *this;
    }
    void finish(std::int64_t now_ms) {
        if (book_) book_->finish(key_, *answer_, now_ms);
        book_ = nullptr;
    }
    // answer_book::doubt
    void doubt(std::int64_t now_ms) {
        if (book_) book_->doubt(key_, *answer_, now_ms);
        book_ = nullptr;
    }

private:
    answer_book* book_ = nullptr;
    std::string key_;
    std::shared_ptr<recorded_answer> answer_;
};

// The head dies at the first wait.
std::optional<std::string> idempotency_key(const http::request_head& head);

// True: this request leads, and its answer is recorded (x.recording). False: the answer of another one was sent.
// `what`: keys of different kinds of requests are different ones. Errors: invalid_argument, idempotency_conflict.
net::task<base::result<bool>> lead_or_replay(exchange& x, service& s, std::string_view what, const std::string& key,
                                             std::string& body, answer_lead& lead);

}  // namespace gateway
