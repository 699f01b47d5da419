#include "redis/connection.hpp"

#include <hiredis/hiredis.h>
#include <sys/time.h>

#include <algorithm>
#include <charconv>

namespace redis {
namespace {

timeval as_timeval(std::chrono::milliseconds time) {
    return {.tv_sec = time.count() / 1'000, .tv_usec = time.count() % 1'000 * 1'000};
}

template <class Number>
bool parse_number(std::string_view text, Number& into) {
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), into);
    return failed == std::errc{} && end == text.data() + text.size();
}

// "%40" and the like, as passwords need them in a URL.
std::optional<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i];
            continue;
        }
        if (text.size() - i < 3) return {};
        unsigned value = 0;
        const auto [end, failed] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
        if (failed != std::errc{} || end != text.data() + i + 3) return {};
        decoded += static_cast<char>(value);
        i += 2;
    }
    return decoded;
}

std::unexpected<base::error> bad_url(std::string_view why) {
    return base::fail(base::errc::invalid_argument,
                      "must look like redis://[[user]:password@]host[:port][/database]: " + std::string(why));
}

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

address address_now(const options& settings, const address& otherwise) {
    if (!settings.live_url) return otherwise;
    auto read = parse_address(settings.live_url->now().reveal());
    return read ? std::move(*read) : otherwise;
}

base::result<address> parse_address(std::string_view url) {
    constexpr std::string_view scheme = "redis://";
    if (!url.starts_with(scheme)) return bad_url("the scheme is not redis");
    url.remove_prefix(scheme.size());
    address parsed;
    if (const auto at = url.rfind('@'); at != url.npos) {
        const auto login = url.substr(0, at);
        url.remove_prefix(at + 1);
        const auto colon = login.find(':');
        if (colon == login.npos) return bad_url("a user without a password");
        const auto user = percent_decoded(login.substr(0, colon));
        const auto password = percent_decoded(login.substr(colon + 1));
        if (!user || !password) return bad_url("a bad % sequence");
        parsed.user = *user;
        parsed.password = base::secret(*password);
    }
    if (const auto slash = url.find('/'); slash != url.npos) {
        const auto database = url.substr(slash + 1);
        if (!database.empty() && !parse_number(database, parsed.database))
            return bad_url("the database is not a number");
        url = url.substr(0, slash);
    }
    const auto bracket = url.starts_with('[') ? url.find(']') : 0;
    if (bracket == url.npos) return bad_url("a [ without ]");
    if (const auto colon = url.find(':', bracket); colon != url.npos) {
        if (!parse_number(url.substr(colon + 1), parsed.port) || parsed.port == 0)
            return bad_url("the port is not a number from 1 to 65535");
        url = url.substr(0, colon);
    }
    parsed.host = bracket > 0 ? url.substr(1, bracket - 1) : url;
    if (parsed.host.empty()) return bad_url("no host");
    return parsed;
}

void connection::closer::operator()(redisContext* context) const { redisFree(context); }

std::string connection::failure() const { return context_->err ? context_->errstr : "no reply"; }

outcome<connection> connection::open(const address& to, std::chrono::milliseconds timeout) {
    connection opened(redisConnectWithTimeout(to.host.c_str(), to.port, as_timeval(timeout)));
    if (!opened.context_) return std::unexpected("no memory for a connection");
    if (opened.context_->err || redisSetTimeout(opened.context_.get(), as_timeval(timeout)) != REDIS_OK)
        return std::unexpected(opened.failure());
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

outcome<void> connection::add(std::span<const std::string_view> words) {
    std::vector<const char*> texts(words.size());
    std::vector<std::size_t> sizes(words.size());
    std::ranges::transform(words, texts.begin(), &std::string_view::data);
    std::ranges::transform(words, sizes.begin(), &std::string_view::size);
    const int count = static_cast<int>(words.size());
    if (redisAppendCommandArgv(context_.get(), count, texts.data(), sizes.data()) != REDIS_OK)
        return std::unexpected(failure());
    return {};
}

outcome<reply> connection::read() {
    void* raw = nullptr;
    if (redisGetReply(context_.get(), &raw) != REDIS_OK || !raw) return std::unexpected(failure());
    const std::unique_ptr<void, void (*)(void*)> owned(raw, freeReplyObject);
    return converted(*static_cast<const redisReply*>(raw));
}

outcome<reply> connection::run(std::span<const std::string_view> words) {
    if (const auto added = add(words); !added) return std::unexpected(added.error());
    auto got = read();
    if (got && !got->error.empty()) return std::unexpected(got->error);
    return got;
}

int connection::descriptor() const { return context_->fd; }

outcome<void> connection::flush() {
    for (int done = 0; done == 0;)
        if (redisBufferWrite(context_.get(), &done) != REDIS_OK) return std::unexpected(failure());
    return {};
}

outcome<void> connection::fill() {
    if (redisBufferRead(context_.get()) != REDIS_OK) return std::unexpected(failure());
    return {};
}

outcome<std::optional<reply>> connection::take() {
    void* raw = nullptr;
    if (redisGetReplyFromReader(context_.get(), &raw) != REDIS_OK) return std::unexpected(failure());
    if (!raw) return std::optional<reply>();
    const std::unique_ptr<void, void (*)(void*)> owned(raw, freeReplyObject);
    return converted(*static_cast<const redisReply*>(raw));
}

}  // namespace redis
