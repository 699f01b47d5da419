#include "redis/connection.hpp"

#include <hiredis/hiredis.h>

#include <utility>

#include "base/released_by.hpp"

namespace redis {
namespace {

// Moves a text or the whole numbers of a list out of hiredis' tree.
reply converted(const redisReply& from) {
    reply made;
    const std::string_view text = from.str ? std::string_view(from.str, from.len) : std::string_view();
    switch (from.type) {
        case REDIS_REPLY_ERROR:
            made.error = text;
            break;
        case REDIS_REPLY_STRING:
        case REDIS_REPLY_STATUS:
            made.text = text;
            break;
        case REDIS_REPLY_INTEGER:
            made.numbers.push_back(from.integer);
            break;
        case REDIS_REPLY_ARRAY:
            for (std::size_t i = 0; i < from.elements; ++i) {
                const redisReply& each = *from.element[i];
                if (each.type == REDIS_REPLY_INTEGER) made.numbers.push_back(each.integer);
                if (each.type == REDIS_REPLY_STRING) made.texts.emplace_back(each.str, each.len);
            }
            break;
        default:
            break;
    }
    return made;
}

}  // namespace

void connection::closer::operator()(redisReader* reader) const { redisReaderFree(reader); }

connection::connection(wire over) : wire_(std::move(over)), replies_(redisReaderCreate()) {}

outcome<connection> connection::open(const address& to, std::chrono::milliseconds timeout) {
    auto over = wire::open(to, timeout);
    if (!over) return std::unexpected(over.error());
    connection opened(std::move(*over));
    if (!opened.replies_) return std::unexpected("no memory for a connection");
    if (!to.password.empty()) {
        std::vector<std::string_view> words{"AUTH"};
        if (!to.user.empty()) words.push_back(to.user);
        words.push_back(to.password.reveal());
        if (const auto done = opened.run(words); !done) return std::unexpected(done.error());
    }
    if (to.database != 0) {
        const auto number = std::to_string(to.database);
        const std::string_view words[] = {"SELECT", number};
        if (const auto done = opened.run(words); !done) return std::unexpected(done.error());
    }
    return opened;
}

void connection::add(std::span<const std::string_view> words) {
    unsent_.append("*").append(std::to_string(words.size())).append("\r\n");
    for (const auto word : words)
        unsent_.append("$").append(std::to_string(word.size())).append("\r\n").append(word).append("\r\n");
}

outcome<reply> connection::read() {
    for (;;) {
        auto got = take();
        if (!got) return std::unexpected(got.error());
        if (*got) return std::move(**got);
        if (const auto sent = flush(); !sent) return std::unexpected(sent.error());
        const auto bytes = wire_.read();
        if (!bytes) return std::unexpected(bytes.error());
        redisReaderFeed(replies_.get(), bytes->data(), bytes->size());
    }
}

outcome<reply> connection::run(std::span<const std::string_view> words) {
    add(words);
    auto got = read();
    if (got && !got->error.empty()) return std::unexpected(got->error);
    return got;
}

int connection::descriptor() const { return wire_.descriptor(); }

outcome<void> connection::flush() {
    const auto sent = wire_.write(unsent_);
    unsent_.clear();
    return sent;
}

outcome<void> connection::fill() {
    const auto bytes = wire_.read_now();
    if (!bytes) return std::unexpected(bytes.error());
    redisReaderFeed(replies_.get(), bytes->data(), bytes->size());
    return {};
}

// What the reader could not keep for want of memory shows here, too.
outcome<std::optional<reply>> connection::take() {
    void* raw = nullptr;
    if (redisReaderGetReply(replies_.get(), &raw) != REDIS_OK) return std::unexpected(replies_->errstr);
    if (!raw) return std::optional<reply>();
    const std::unique_ptr<void, base::released_by<freeReplyObject>> owned(raw);
    return converted(*static_cast<const redisReply*>(raw));
}

}  // namespace redis
