// claude-sim: a stand-in for the Anthropic API, with faults on demand and a ledger of the truth.
#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "server.hpp"
#include "state.hpp"

namespace {

using namespace sim;

constexpr std::string_view version = "0.1.0";

struct usage_error {
    std::string message;
};

std::uint64_t number(std::string_view name, std::string_view text) {
    std::uint64_t value = 0;
    if (!read_number(text, value))
        throw usage_error{fmt::format("{}: a whole number is expected, not '{}'", name, text)};
    return value;
}

struct option {
    std::string_view name;
    std::string_view argument;  // empty: a switch
    std::string_view help;
    void (*apply)(options&, std::string_view name, std::string_view value);
};

using text_view = std::string_view;

constexpr option known_options[] = {
    {"--listen", "HOST:PORT", "where to listen; port 0 picks a free one (default 127.0.0.1:9300)",
     [](options& to, text_view, text_view value) { to.listen = value; }},
    {"--public-url", "URL", "base of results_url (default: the address listened on)",
     [](options& to, text_view, text_view value) { to.public_url = value; }},
    {"--tls-cert", "FILE", "PEM certificate chain; with --tls-key the listener speaks TLS",
     [](options& to, text_view, text_view value) { to.tls_cert = value; }},
    {"--tls-key", "FILE", "PEM private key", [](options& to, text_view, text_view value) { to.tls_key = value; }},
    {"--api-key", "KEY", "accept this key (may be repeated); without it every key but sk-ant-invalid… is accepted",
     [](options& to, text_view, text_view value) { to.api_keys.emplace_back(value); }},
    {"--seed", "N", "seed of every answer (default 1)",
     [](options& to, text_view name, text_view value) { to.seed = number(name, value); }},
    {"--strict", "", "answer 400 to what a well-behaved gateway never sends (see sim/README.md)",
     [](options& to, text_view, text_view) { to.strict = true; }},
    {"--strict-body", "", "answer 400 to unknown top-level fields of a Messages body",
     [](options& to, text_view, text_view) { to.strict_body = true; }},
    {"--rpm", "N", "requests a minute and key (default 0: no limit)",
     [](options& to, text_view name, text_view value) { to.limits.requests_per_minute = number(name, value); }},
    {"--itpm", "N", "input tokens a minute and key (default 0: no limit)",
     [](options& to, text_view name, text_view value) { to.limits.input_tokens_per_minute = number(name, value); }},
    {"--otpm", "N", "output tokens a minute and key (default 0: no limit)",
     [](options& to, text_view name, text_view value) { to.limits.output_tokens_per_minute = number(name, value); }},
    {"--latency-ms", "N", "time before the head of every message (default 0)",
     [](options& to, text_view name, text_view value) { to.latency = milliseconds(number(name, value)); }},
    {"--event-interval-ms", "N", "time between two events of every stream (default 0: as fast as possible)",
     [](options& to, text_view name, text_view value) { to.event_interval = milliseconds(number(name, value)); }},
    {"--batch-delay-ms", "N", "time until a batch has ended (default 1000)",
     [](options& to, text_view name, text_view value) { to.batch_delay = milliseconds(number(name, value)); }},
    {"--keep-alive-ms", "N", "idle time after which a connection is closed (default 120000)",
     [](options& to, text_view name, text_view value) { to.keep_alive = milliseconds(number(name, value)); }},
    {"--cache-min-tokens", "N", "shortest prefix that is cached (default 1024)",
     [](options& to, text_view name, text_view value) { to.cache_tokens_min = number(name, value); }},
    {"--file-bytes-max", "N", "largest upload, above it 413 (default 524288000)",
     [](options& to, text_view name, text_view value) { to.file_bytes_max = number(name, value); }},
    {"--ledger-rows", "N", "rows that the ledger keeps (default 1000000)",
     [](options& to, text_view name, text_view value) {
         to.ledger_rows_max = std::max<std::uint64_t>(1, number(name, value));
     }},
    {"--connections-max", "N", "connections beyond it are closed at once (default 20000)",
     [](options& to, text_view name, text_view value) { to.connections_max = number(name, value); }},
};

std::string help() {
    std::string text =
        "claude-sim: a stand-in for the Anthropic API, for tests of what stands in front of it.\n\n"
        "usage: claude-sim [options]\n\noptions\n";
    for (const option& one : known_options) {
        text += fmt::format("  {:<28} {}\n", fmt::format("{} {}", one.name, one.argument), one.help);
    }
    text += "  --help                       this text\n  --version                    name and version\n\n";
    text +=
        "request headers (also as lines `name: value` of the last user text)\n"
        "  x-sim-output-tokens: N       length of the answer in tokens, before max_tokens cuts\n"
        "  x-sim-text: TEXT             the answer itself\n"
        "  x-sim-tools: N               number of tool calls when there is one (default 1)\n"
        "  x-sim-event-tokens: N        tokens in every delta (default: one to four, varying)\n"
        "  x-sim-pings: N               further pings, spread over the stream\n"
        "  x-sim-fault: KIND[=ARG],…    faults, see below\n"
        "  x-sim-batch-delay-ms: N      (header of a batch's creation) time until it has ended\n\n"
        "faults, by x-sim-fault or POST /sim/faults "
        "{\"fault\":…,\"count\":N,\"match\":{\"path\",\"method\",\"key_suffix\"}}\n";
    text += fault_help();
    text +=
        "\ncontrol, from loopback only\n"
        "  POST, GET, DELETE /sim/faults        arm, list, clear\n"
        "  GET /sim/ledger[?since=SEQ&limit=N]  every request answered, every token billed\n"
        "  DELETE /sim/ledger                   forget them\n"
        "  GET /sim/stats                       connections and streams\n"
        "  GET /sim/files                       uploads with their SHA-256\n"
        "  DELETE /sim/cache                    empty the prompt cache\n"
        "  GET /health                          200 (from anywhere)\n";
    return text;
}

options read_options(int count, char** arguments) {
    options chosen;
    for (int at = 1; at < count; ++at) {
        std::string_view name = arguments[at];
        std::optional<std::string_view> value;
        if (const auto equals = name.find('='); name.starts_with("--") && equals != std::string_view::npos) {
            value = name.substr(equals + 1);
            name = name.substr(0, equals);
        }
        const auto found = std::ranges::find(known_options, name, &option::name);
        if (found == std::end(known_options)) throw usage_error{fmt::format("unknown option '{}'", name)};
        if (found->argument.empty()) {
            if (value) throw usage_error{fmt::format("{} takes no value", name)};
        } else if (!value) {
            if (++at == count) throw usage_error{fmt::format("{} needs a value", name)};
            value = arguments[at];
        }
        found->apply(chosen, name, value.value_or(""));
    }
    if (chosen.tls_cert.empty() != chosen.tls_key.empty())
        throw usage_error{"--tls-cert and --tls-key belong together"};
    return chosen;
}

using tls_context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

tls_context make_tls(const options& chosen) {
    if (chosen.tls_cert.empty()) return {nullptr, SSL_CTX_free};
    tls_context context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_mode(context.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(context.get(), chosen.tls_cert.c_str()) != 1) {
        throw std::runtime_error("--tls-cert: cannot use " + chosen.tls_cert);
    }
    if (SSL_CTX_use_PrivateKey_file(context.get(), chosen.tls_key.c_str(), SSL_FILETYPE_PEM) != 1) {
        throw std::runtime_error("--tls-key: cannot use " + chosen.tls_key);
    }
    return context;
}

// Thousands of connections need as many descriptors; the soft limit is often 1024.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(options chosen) {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();

    state world(std::move(chosen));
    const tls_context tls = make_tls(world.chosen);
    server listening(world, tls.get());
    const std::string url = fmt::format("{}://{}", tls ? "https" : "http", listening.address());
    world.public_url = world.chosen.public_url.empty() ? url : world.chosen.public_url;
    while (world.public_url.ends_with('/')) world.public_url.pop_back();
    fmt::print("claude-sim listening on {}\n", url);
    std::fflush(stdout);

    const int stop = signalfd(-1, &ending, SFD_CLOEXEC);
    listening.run(stop);
    // A thread that does not end in time may still use what main owns: leave without destroying it.
    if (!listening.close_all()) std::_Exit(0);
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    try {
        for (int at = 1; at < count; ++at) {
            const std::string_view argument = arguments[at];
            if (argument == "--help") return fmt::print("{}", help()), 0;
            if (argument == "--version") return fmt::print("claude-sim {}\n", version), 0;
        }
        return serve(read_options(count, arguments));
    } catch (const usage_error& wrong) {
        fmt::print(stderr, "claude-sim: {}\ntry claude-sim --help\n", wrong.message);
        return 2;
    } catch (const std::exception& failure) {
        fmt::print(stderr, "claude-sim: {}\n", failure.what());
        return 1;
    }
}
