#include "redis/channel.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <stdexcept>
#include <utility>

namespace redis {
namespace {

constexpr std::int64_t say_gap_ms = 4;  // what is said within this time goes out together
constexpr std::size_t lines_a_message_max = 512;
constexpr std::int64_t alive_every_ms = 1'000;  // a silent subscription is asked whether it lives

std::int64_t now_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

std::string random_name() {
    std::random_device random;
    return fmt::format("{:08x}{:08x}", random(), random());
}

// A write to a connection that Redis has closed must be an error, not a signal.
void block_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

channel::channel(const options& settings, address where, std::string name, listeners tell)
    : settings_(settings),
      address_(std::move(where)),
      name_(std::move(name)),
      tell_(std::move(tell)),
      self_(random_name()),
      wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (wake_fd_ < 0) throw std::runtime_error("no descriptor for a channel's thread");
    thread_ = std::thread([this] { run(); });
}

channel::~channel() {
    stop();
    close(wake_fd_);
}

void channel::stop() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    eventfd_write(wake_fd_, 1);
    thread_.join();
}

void channel::say(std::string line) {
    {
        const std::lock_guard lock(mutex_);
        if (waiting_.size() >= lines_max) {
            ++counts_.lost;
            return;
        }
        const bool first = waiting_.empty();
        waiting_.insert(std::move(line));
        if (!first) return;
    }
    eventfd_write(wake_fd_, 1);
}

void channel::run() {
    block_signals();
    pthread_setname_np(pthread_self(), "redis-channel");
    while (!stopping_) {
        if (!listener_ && !connect()) {
            wait(static_cast<int>(settings_.reconnect_every.count()));
            continue;
        }
        wait(pause_ms());
        auto went = hear();
        if (went) went = say_all();
        if (went) went = check_alive();
        if (!went) lose(went.error());
    }
    said_ms_ = 0;
    if (listener_) static_cast<void>(say_all());
}

// How long nothing is to be done, as far as we know.
int channel::pause_ms() const {
    const std::int64_t now = now_ms();
    std::int64_t until = heard_ms_ + alive_every_ms + (pinged_ ? settings_.timeout.count() : 0);
    if (now < said_ms_ + say_gap_ms) until = std::min(until, said_ms_ + say_gap_ms);
    return static_cast<int>(std::clamp<std::int64_t>(until - now, 0, alive_every_ms));
}

void channel::wait(int timeout_ms) const {
    pollfd both[] = {{.fd = wake_fd_, .events = POLLIN, .revents = 0},
                     {.fd = listener_ ? listener_->descriptor() : -1, .events = POLLIN, .revents = 0}};
    poll(both, std::size(both), timeout_ms);
    eventfd_t taken = 0;
    eventfd_read(wake_fd_, &taken);
}

bool channel::connect() {
    const std::int64_t now = now_ms();
    if (tried_ms_ != 0 && now < tried_ms_ + settings_.reconnect_every.count()) return false;
    tried_ms_ = now;
    const address where = address_now(settings_, address_);
    auto speaks = connection::open(where, settings_.timeout);
    auto listens = connection::open(where, settings_.timeout);
    const std::string_view words[] = {"SUBSCRIBE", name_};
    auto subscribed = speaks && listens ? listens->run(words) : outcome<reply>(std::unexpected(std::string()));
    if (!subscribed) {
        lose(!speaks ? speaks.error() : !listens ? listens.error() : subscribed.error());
        return false;
    }
    speaker_ = std::move(*speaks);
    listener_ = std::move(*listens);
    pinged_ = false;
    heard_ms_ = now_ms();
    tell(true, {});
    return true;
}

void channel::tell(bool connected, std::string_view why) {
    if (std::exchange(told_, connected) != connected) tell_.report(connected, why);
}

void channel::lose(const std::string& why) {
    speaker_.reset();
    listener_.reset();
    {
        const std::lock_guard lock(mutex_);
        counts_.lost += waiting_.size();
        waiting_.clear();
    }
    tell(false, why);
}

outcome<void> channel::say_all() {
    if (now_ms() < said_ms_ + say_gap_ms) return {};
    std::unordered_set<std::string> lines;
    {
        const std::lock_guard lock(mutex_);
        lines.swap(waiting_);
    }
    if (lines.empty()) return {};
    std::size_t messages = 0;
    for (auto next = lines.begin(); next != lines.end(); ++messages) {
        std::string text = self_;
        for (std::size_t i = 0; i < lines_a_message_max && next != lines.end(); ++i, ++next)
            text.append("\n").append(*next);
        const std::string_view words[] = {"PUBLISH", name_, text};
        speaker_->add(words);
    }
    for (; messages > 0; --messages) {
        const auto got = speaker_->read();
        if (!got) return std::unexpected(got.error());
        if (!got->error.empty()) return std::unexpected(got->error);
    }
    counts_.said += lines.size();
    said_ms_ = now_ms();
    return {};
}

outcome<void> channel::hear() {
    pollfd readable{.fd = listener_->descriptor(), .events = POLLIN, .revents = 0};
    if (poll(&readable, 1, 0) > 0) {
        if (auto filled = listener_->fill(); !filled) return filled;
        heard_ms_ = now_ms();
        pinged_ = false;
    }
    for (;;) {
        const auto got = listener_->take();
        if (!got) return std::unexpected(got.error());
        if (!*got) return {};
        const reply& message = **got;
        if (message.texts.size() != 3 || message.texts[0] != "message") continue;
        std::string_view text = message.texts[2];
        const std::string_view sender = text.substr(0, text.find('\n'));
        if (sender == self_) continue;
        text.remove_prefix(sender.size());
        while (!text.empty()) {
            text.remove_prefix(1);  // the line feed
            const std::string_view line = text.substr(0, text.find('\n'));
            text.remove_prefix(line.size());
            ++counts_.heard;
            tell_.heard(line);
        }
    }
}

outcome<void> channel::check_alive() {
    const std::int64_t now = now_ms();
    if (pinged_ && now >= heard_ms_ + alive_every_ms + settings_.timeout.count())
        return std::unexpected("the subscription does not answer");
    if (pinged_ || now < heard_ms_ + alive_every_ms) return {};
    const std::string_view words[] = {"PING"};
    listener_->add(words);
    pinged_ = true;
    return listener_->flush();
}

}  // namespace redis
