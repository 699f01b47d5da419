#include "app/job_calls.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "app/http_call.hpp"
#include "app/tables.hpp"

namespace app {
namespace {

using base::errc;

constexpr int reconnects_max = 10;                         // in a row without an event
constexpr std::chrono::milliseconds reconnect_pause{500};  // times the tries so far

struct words {
    std::string url, key;  // empty: those of the settings
    std::string id, file;
    std::string lane, webhook, idempotency_key;
    int priority = 0;
    bool watch = false, json = false;
};

struct endpoint {
    std::string url;
    base::secret key;
};

std::string line_of(std::string_view problem) { return fmt::format("claude-proxy: {}\n", problem); }

std::optional<endpoint> endpoint_of(const words& given, const config::settings& settings) {
    endpoint made{given.url, base::secret(given.key)};
    if (made.url.empty()) {
        const bool anywhere = settings.listen.host == "0.0.0.0" || settings.listen.host == "::";
        const std::string host = anywhere ? "127.0.0.1" : settings.listen.host;
        made.url = fmt::format("{}://{}:{}", settings.tls_cert_file.empty() ? "http" : "https",
                               host.find(':') == host.npos ? host : fmt::format("[{}]", host), settings.listen.port);
    }
    while (made.url.ends_with('/')) made.url.pop_back();
    if (made.key.empty()) made.key = settings.client_key;
    if (made.key.empty() && !settings.gateway.api_keys.empty()) made.key = settings.gateway.api_keys.front();
    if (!made.key.empty()) return made;
    fmt::print(stderr, "{}",
               line_of("which key? Give --key, or set CLAUDE_PROXY_KEY (make one: claude-proxy keys create)"));
    return std::nullopt;
}

// The sentence of an error envelope, or what there is.
std::string problem_of(const http_answer& answer) {
    if (answer.status == 0) return answer.problem;
    boost::system::error_code unreadable;
    const auto body = boost::json::parse(answer.body, unreadable);
    if (!unreadable && body.is_object()) {
        if (const auto* const error = body.as_object().if_contains("error"); error && error->is_object()) {
            if (const auto* const text = error->as_object().if_contains("message"); text && text->is_string())
                return std::string(text->as_string());
        }
    }
    return fmt::format("the gateway answered {}", answer.status);
}

std::optional<std::string> read_all(const std::string& file) {
    if (file.empty() || file == "-") {
        return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
    }
    std::ifstream from(file, std::ios::binary);
    if (!from) return std::nullopt;
    return std::string(std::istreambuf_iterator<char>(from), std::istreambuf_iterator<char>());
}

// What the last event says of an error: its sentence and its type, or what there is.
std::string sentence_of(const boost::json::value& error) {
    const auto* const members = error.if_object();
    const auto* const message = members ? members->if_contains("message") : nullptr;
    const auto* const type = members ? members->if_contains("type") : nullptr;
    if (!message || !message->is_string() || !type || !type->is_string()) return boost::json::serialize(error);
    return fmt::format("{} ({})", std::string_view(message->get_string()), std::string_view(type->get_string()));
}

// What `watch` shows of one event's data.
class view {
public:
    explicit view(bool raw) : raw_(raw), live_(isatty(STDERR_FILENO) != 0) {}

    void show(std::string_view event) {
        if (raw_) {
            fmt::print("{}", event);
            std::fflush(stdout);
            return;
        }
        const std::size_t at = event.find("\ndata: ");
        if (at == event.npos) return;
        boost::system::error_code unreadable;
        const auto parsed = boost::json::parse(event.substr(at + 7, event.find('\n', at + 7) - at - 7), unreadable);
        if (unreadable || !parsed.is_object()) return;
        const auto& data = parsed.as_object();
        const auto* const type = data.if_contains("type");
        if (!type || !type->is_string()) return;
        ++events_;
        if (type->as_string() == "content_block_delta") {
            if (const auto* const delta = data.if_contains("delta"); delta && delta->is_object()) {
                for (const char* const member : {"text", "thinking", "partial_json"}) {
                    if (const auto* const text = delta->as_object().if_contains(member); text && text->is_string())
                        say(text->as_string());
                }
            }
        } else if (type->as_string() == "restart") {
            say(fmt::format("\n[attempt {} begins: {}]\n", cell_text(data.at("attempt")),
                            cell_text(data.at("reason"))));
        } else if (type->as_string() == "job") {
            status_ = std::string(data.at("status").as_string());
            if (const auto* const error = data.if_contains("error")) error_ = sentence_of(*error);
        }
        progress();
    }

    const std::string& status() const { return status_; }
    int finish() {
        if (live_ && !raw_) fmt::print(stderr, "\r\033[K");
        if (!raw_) fmt::print("\n");
        if (status_ != "succeeded" || (live_ && !raw_))
            fmt::print(stderr, "{}{}{}\n", status_, error_.empty() ? "" : ": ", error_);
        return status_ == "succeeded" ? 0 : 1;
    }

private:
    // Answers may hold what a terminal would obey.
    void say(std::string_view text) {
        if (live_) fmt::print(stderr, "\r\033[K");
        for (const char c : text) {
            if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') std::fputc(c, stdout);
        }
        std::fflush(stdout);
        column_ = text.empty() || text.back() == '\n';
    }
    void progress() {
        if (!live_ || !column_ || isatty(STDOUT_FILENO) == 0) return;
        fmt::print(stderr, "\r\033[K[{} events]", events_);
    }

    const bool raw_, live_;
    bool column_ = true;  // standard output stands at the beginning of a line
    std::uint64_t events_ = 0;
    std::string status_, error_;
};

std::string_view id_line_of(std::string_view event) {
    if (!event.starts_with("id: ")) return {};
    event.remove_prefix(4);
    return event.substr(0, event.find('\n'));
}

// Follows the log to its end; connects again where it broke, behind the last event that came.
int watch(const endpoint& where, const std::string& id, bool raw) {
    view shown(raw);
    std::string last = "0", unread;
    for (int tries = 0;;) {
        http_call ask{.url = fmt::format("{}/v1/jobs/{}/events?after={}", where.url, id, last), .key = &where.key};
        ask.take = [&](std::string_view piece) {
            unread.append(piece);
            for (std::size_t end; (end = unread.find("\n\n")) != unread.npos; unread.erase(0, end + 2)) {
                const std::string_view event = std::string_view(unread).substr(0, end + 2);
                const auto number = id_line_of(event);
                if (number.empty()) continue;  // a comment that keeps the connection alive
                last = number;
                tries = 0;
                shown.show(event);
            }
            return shown.status().empty();
        };
        const http_answer answer = call(ask);
        if (!shown.status().empty()) return shown.finish();
        unread.clear();
        const bool worth_it = answer.status == 0 || answer.status / 100 == 2 || answer.status >= 500;
        if (!worth_it || ++tries > reconnects_max) {
            fmt::print(stderr, "{}", line_of(problem_of(answer)));
            return 1;
        }
        poll(nullptr, 0, static_cast<int>(reconnect_pause.count()) * tries);
    }
}

int submit(const words& given, const endpoint& where) {
    auto body = read_all(given.file);
    if (!body) {
        fmt::print(stderr, "{}", line_of(fmt::format("{} cannot be read", given.file)));
        return 2;
    }
    // The request's bytes stay as they are.
    std::string whole = fmt::format(R"({{"request":{},"priority":{})", *body, given.priority);
    if (!given.lane.empty())
        whole += fmt::format(R"(,"lane":{})", boost::json::serialize(boost::json::string(given.lane)));
    if (!given.webhook.empty())
        whole += fmt::format(R"(,"webhook":{{"url":{}}})", boost::json::serialize(boost::json::string(given.webhook)));
    whole += '}';
    http_call ask{.url = where.url + "/v1/jobs", .key = &where.key, .body = &whole};
    ask.headers.emplace_back("anthropic-version: 2023-06-01");
    if (!given.idempotency_key.empty()) ask.headers.push_back("idempotency-key: " + given.idempotency_key);
    const http_answer answer = call(ask);
    if (answer.status / 100 != 2) {
        fmt::print(stderr, "{}", line_of(problem_of(answer)));
        return answer.status == 400 ? 2 : 1;
    }
    const auto job = boost::json::parse(answer.body).as_object();
    const std::string id(job.at("id").as_string());
    if (given.json) {
        fmt::print("{}\n", answer.body);
    } else if (given.watch) {
        if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "{}\n", id);
    } else {
        fmt::print("{}", members_text(job));
    }
    return given.watch ? watch(where, id, given.json) : 0;
}

}  // namespace

void add_job_calls(CLI::App& group, chosen_command& chosen) {
    const auto add_where = [](CLI::App& word, words& given) {
        word.add_option("--url", given.url, "The gateway; else CLAUDE_PROXY_LISTEN");
        word.add_option("--key", given.key, "Whose job it is: a client key; else CLAUDE_PROXY_KEY");
    };
    const auto given = std::make_shared<words>();
    CLI::App* const submit_word = group.add_subcommand("submit", "Submit a Messages request as a job");
    submit_word->add_option("FILE", given->file,
                            "The body of a Messages request; without it or with -, standard input");
    submit_word->add_option("--priority", given->priority, "-100 to 100; 0 without it");
    submit_word->add_option("--lane", given->lane, "realtime, or batch at half the price within a day");
    submit_word->add_option("--webhook", given->webhook, "The URL that is told of the end");
    submit_word->add_option("--idempotency-key", given->idempotency_key, "The same key gives the same job");
    submit_word->add_flag("--watch", given->watch, "Follow it to its end, as `watch` does");
    submit_word->add_flag("--json", given->json, "Print the job as JSON");
    add_where(*submit_word, *given);
    submit_word->callback([given, &chosen] {
        chosen = [given](const config::settings& settings) {
            const auto where = endpoint_of(*given, settings);
            return where ? submit(*given, *where) : 2;
        };
    });
    const auto watched = std::make_shared<words>();
    CLI::App* const watch_word =
        group.add_subcommand("watch", "Follow a job live to its end; exit code 0 when it succeeds");
    watch_word->add_option("ID", watched->id, "The job's id (job_...)")->required();
    watch_word->add_flag("--json", watched->json, "Print the events as they are");
    add_where(*watch_word, *watched);
    watch_word->callback([watched, &chosen] {
        chosen = [watched](const config::settings& settings) {
            const auto where = endpoint_of(*watched, settings);
            return where ? watch(*where, watched->id, watched->json) : 2;
        };
    });
}

}  // namespace app
