#include "gateway/answer_book.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <stdexcept>

namespace gateway {

body_digest digest_of(std::string_view body) {
    body_digest made{};
    unsigned size = made.size();
    if (EVP_Digest(body.data(), body.size(), made.data(), &size, EVP_sha256(), nullptr) != 1)
        throw std::runtime_error("SHA-256 failed");
    return made;
}

void recorded_answer::changed() {
    for (auto& wake : waiting_) wake();
    waiting_.clear();
}

void recorded_answer::begin() {
    const std::lock_guard lock(mutex_);
    if (state_.visible) return;
    body_.clear();
    state_.bytes = 0;
}

void recorded_answer::head(int status, std::string reason, std::string headers, bool event_stream) {
    const std::lock_guard lock(mutex_);
    lines_.status = status;
    lines_.reason = std::move(reason);
    lines_.headers = std::move(headers);
    lines_.event_stream = event_stream;
}

void recorded_answer::append(std::string_view payload) {
    const std::lock_guard lock(mutex_);
    if (state_.failed) return;
    if (payload.size() > bytes_max_ - std::min(bytes_max_, body_.size())) {
        state_.failed = true;
        state_.bytes = 0;
        body_ = std::string();
    } else {
        body_.append(payload);
        state_.bytes = body_.size();
    }
    changed();
}

void recorded_answer::show() {
    const std::lock_guard lock(mutex_);
    state_.visible = true;
    changed();
}

void recorded_answer::fail() {
    const std::lock_guard lock(mutex_);
    if (!state_.finished) state_.failed = true;
    changed();
}

void recorded_answer::finish() {
    const std::lock_guard lock(mutex_);
    if (!state_.failed) state_.visible = state_.finished = true;
    changed();
}

recorded_answer::progress recorded_answer::now() const {
    const std::lock_guard lock(mutex_);
    return state_;
}

std::string recorded_answer::part(std::size_t from, std::size_t max) const {
    const std::lock_guard lock(mutex_);
    return from < body_.size() ? body_.substr(from, max) : std::string();
}

recorded_answer::first_lines recorded_answer::lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
}

void recorded_answer::when_changed(const progress& seen, std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    const bool same = seen.visible == state_.visible && seen.finished == state_.finished &&
                      seen.failed == state_.failed && seen.bytes == state_.bytes;
    if (same) {
        waiting_.push_back(std::move(wake));
    } else {
        wake();
    }
}

answer_book::claim answer_book::take(const std::string& key, const body_digest& body, std::string_view request_id,
                                     std::int64_t now_ms) {
    const std::lock_guard lock(mutex_);
    forget_old(now_ms);
    const auto found = entries_.find(key);
    if (found != entries_.end()) {
        if (found->second.body != body) return {part::conflicts, nullptr};
        if (found->second.in_doubt) return {part::in_doubt, nullptr};
        // An answer that runs on although it is too long to be kept is of no use to anybody else.
        if (!found->second.answer->now().failed) return {part::joins, found->second.answer};
        entries_.erase(found);
    }
    const std::shared_ptr<recorded_answer> answer(
        new recorded_answer(std::string(request_id), static_cast<std::size_t>(bytes_max_ / 4)));
    entries_.emplace(key, entry{.body = body, .answer = answer, .place = finished_.end()});
    return {part::leads, answer};
}

void answer_book::finish(const std::string& key, recorded_answer& answer, std::int64_t now_ms) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end() || found->second.answer.get() != &answer) return;
    entry& done = found->second;
    done.answer->finish();
    const auto state = done.answer->now();
    if (!state.finished) {
        entries_.erase(found);
        return;
    }
    keep(key, done, state.bytes, now_ms);
}

void answer_book::doubt(const std::string& key, recorded_answer& answer, std::int64_t now_ms) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end() || found->second.answer.get() != &answer) return;
    answer.fail();
    found->second.in_doubt = true;
    keep(key, found->second, 0, now_ms);
}

void answer_book::keep(const std::string& key, entry& done, std::size_t bytes, std::int64_t now_ms) {
    done.expires_ms = now_ms + keep_.count();
    done.bytes = bytes + key.size();
    bytes_ += done.bytes;
    finished_.push_back(key);
    done.place = std::prev(finished_.end());
    forget_old(now_ms);
}

void answer_book::drop(const std::string& key, recorded_answer& answer) {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end() && found->second.answer.get() == &answer) entries_.erase(found);
    answer.fail();
}

void answer_book::forget_old(std::int64_t now_ms) {
    while (!finished_.empty()) {
        const auto oldest = entries_.find(finished_.front());
        if (oldest->second.expires_ms > now_ms && bytes_ <= bytes_max_) return;
        bytes_ -= oldest->second.bytes;
        entries_.erase(oldest);
        finished_.pop_front();
    }
}

}  // namespace gateway
