#include "governance/rate_limit_headers.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>

namespace governance {
namespace {

using kind = limit_refusal::kind;

void append_number(std::string& text, std::int64_t number) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    text.append(digits, end);
}

// "2026-08-21T12:40:59Z", which four headers of most answers have in common: each thread keeps the last one.
std::string_view time_text(std::int64_t seconds_since_1970) {
    struct memory {
        std::int64_t seconds = -1;
        char text[20]{};
    };
    thread_local memory last;
    if (last.seconds == seconds_since_1970) return {last.text, sizeof last.text};
    const std::chrono::sys_seconds at{std::chrono::seconds{seconds_since_1970}};
    const auto midnight = std::chrono::floor<std::chrono::days>(at);
    const std::chrono::year_month_day date{midnight};
    const std::chrono::hh_mm_ss time{at - midnight};
    const auto write = [](char* to, unsigned number, int digits) {
        for (int i = digits - 1; i >= 0; --i, number /= 10) to[i] = static_cast<char>('0' + number % 10);
        return to + digits;
    };
    char* to = write(last.text, static_cast<unsigned>(int{date.year()}), 4);
    *to++ = '-';
    to = write(to, unsigned{date.month()}, 2);
    *to++ = '-';
    to = write(to, unsigned{date.day()}, 2);
    *to++ = 'T';
    to = write(to, static_cast<unsigned>(time.hours().count()), 2);
    *to++ = ':';
    to = write(to, static_cast<unsigned>(time.minutes().count()), 2);
    *to++ = ':';
    to = write(to, static_cast<unsigned>(time.seconds().count()), 2);
    *to = 'Z';
    last.seconds = seconds_since_1970;
    return {last.text, sizeof last.text};
}

// The lines of an answer, put together on the stack: twelve of at most 90 bytes.
class header_lines {
public:
    header_lines& add(std::string_view text) {
        end_ = std::copy(text.begin(), text.end(), end_);
        return *this;
    }
    header_lines& add(std::int64_t number) {
        end_ = std::to_chars(end_, text_ + sizeof text_, number).ptr;
        return *this;
    }
    std::string_view text() const { return {text_, end_}; }

private:
    char text_[1'536];
    char* end_ = text_;
};

// a/b < c/d for amounts up to 10^12.
bool smaller_share(const limiter::reading& one, const limiter::reading& other) {
    return static_cast<double>(one.remaining) / static_cast<double>(one.limit) <
           static_cast<double>(other.remaining) / static_cast<double>(other.limit);
}

limiter::reading tightest(std::span<limiter* const> in_force, kind what, std::int64_t now_us) {
    limiter::reading found;
    for (const limiter* each : in_force) {
        const auto reading = each->read(what, now_us);
        if (reading.limit > 0 && (found.limit == 0 || smaller_share(reading, found))) found = reading;
    }
    return found;
}

limiter::reading both(const limiter::reading& input, const limiter::reading& output) {
    if (output.limit == 0 || (input.limit > 0 && input.remaining == 0)) return input;
    if (input.limit == 0 || output.remaining == 0) return output;
    return {.limit = input.limit + output.limit,
            .remaining = input.remaining + output.remaining,
            .full_in_us = std::max(input.full_in_us, output.full_in_us)};
}

limiter::reading in_thousands(limiter::reading of) {
    of.remaining = std::min(of.limit, (of.remaining + 500) / 1'000 * 1'000);
    return of;
}

// The three headers of one kind of limit, up to their values.
struct header_names {
    std::string_view limit, remaining, reset;
};
constexpr header_names of_requests{"anthropic-ratelimit-requests-limit: ",
                                   "\r\nanthropic-ratelimit-requests-remaining: ",
                                   "\r\nanthropic-ratelimit-requests-reset: "};
constexpr header_names of_tokens{"anthropic-ratelimit-tokens-limit: ", "\r\nanthropic-ratelimit-tokens-remaining: ",
                                 "\r\nanthropic-ratelimit-tokens-reset: "};
constexpr header_names of_input{"anthropic-ratelimit-input-tokens-limit: ",
                                "\r\nanthropic-ratelimit-input-tokens-remaining: ",
                                "\r\nanthropic-ratelimit-input-tokens-reset: "};
constexpr header_names of_output{"anthropic-ratelimit-output-tokens-limit: ",
                                 "\r\nanthropic-ratelimit-output-tokens-remaining: ",
                                 "\r\nanthropic-ratelimit-output-tokens-reset: "};

void add_headers(header_lines& lines, const header_names& names, const limiter::reading& of, time_ms wall_now) {
    if (of.limit == 0) return;
    const std::int64_t reset = (wall_now + of.full_in_us / 1'000 + 999) / 1'000;
    lines.add(names.limit).add(of.limit).add(names.remaining).add(of.remaining).add(names.reset).add(time_text(reset));
    lines.add("\r\n");
}

std::int64_t retry_after_ms(const limit_refusal& why) {
    // When a place becomes free is not known: some request has to end.
    if (why.what == kind::concurrent) return 1'000;
    return std::max<std::int64_t>(1, (why.wait_us + 999) / 1'000);
}

std::string_view words_for(kind what) {
    switch (what) {
        case kind::requests:
            return " requests per minute";
        case kind::input_tokens:
            return " input tokens per minute";
        case kind::output_tokens:
            return " output tokens per minute";
        case kind::concurrent:
            return " concurrent requests";
    }
    return {};
}

}  // namespace

void append_rate_limit_headers(std::string& head, std::span<limiter* const> in_force, std::int64_t now_us,
                               time_ms wall_now) {
    const auto input = tightest(in_force, kind::input_tokens, now_us);
    const auto output = tightest(in_force, kind::output_tokens, now_us);
    header_lines lines;
    add_headers(lines, of_requests, tightest(in_force, kind::requests, now_us), wall_now);
    add_headers(lines, of_tokens, in_thousands(both(input, output)), wall_now);
    add_headers(lines, of_input, in_thousands(input), wall_now);
    add_headers(lines, of_output, in_thousands(output), wall_now);
    head.append(lines.text());
}

std::int64_t retry_after_seconds(const limit_refusal& why) { return (retry_after_ms(why) + 999) / 1'000; }

void append_retry_after(std::string& head, const limit_refusal& why) {
    head.append("retry-after: ");
    append_number(head, retry_after_seconds(why));
    head.append("\r\nretry-after-ms: ");
    append_number(head, retry_after_ms(why));
    head.append("\r\n");
}

std::string refusal_sentence(const limit_refusal& why, scope where, std::string_view name,
                             std::string_view model_class) {
    std::string text = where == scope::root ? "This installation" : where == scope::team ? "The team " : "The key ";
    if (where != scope::root) text.append(name);
    text.append(why.what == kind::concurrent ? " has reached its limit of " : " has used its limit of ");
    append_number(text, why.limit);
    text.append(words_for(why.what));
    if (!model_class.empty()) text.append(" for ").append(model_class);
    const auto seconds = retry_after_seconds(why);
    if (why.what == kind::concurrent) return text.append(". Try again when one of them has ended.");
    text.append(". Try again in ");
    append_number(text, seconds);
    return text.append(seconds == 1 ? " second." : " seconds.");
}

}  // namespace governance
