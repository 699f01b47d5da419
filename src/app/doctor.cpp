#include "app/doctor.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <system_error>

#include "app/doctor_checks.hpp"
#include "http/server.hpp"
#include "net/resolver.hpp"
#include "net/tls.hpp"
#include "telemetry/line.hpp"
#include "upstream/origin.hpp"

namespace app {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
template <class T>
using outcome = std::expected<T, std::string>;

using check = doctor_check;
using result = check::result;
using checks = std::vector<check>;

constexpr std::string_view certificate_refused = "the certificate is refused";

// A blocking connection with a deadline: connect, perhaps TLS, one request, one answer.

class probe {
public:
    explicit probe(milliseconds at_most) : deadline_(clock::now() + at_most) {}
    ~probe() {
        tls_.reset();
        if (fd_ >= 0) close(fd_);
    }
    probe(const probe&) = delete;
    probe& operator=(const probe&) = delete;

    // The first address that accepts. Error: why the last one did not.
    outcome<void> connect(const std::vector<net::endpoint>& addresses) {
        std::string why = "no address";
        for (const auto& where : addresses) {
            if (fd_ >= 0) close(fd_);
            fd_ = socket(where.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            if (fd_ < 0) return std::unexpected(std::string(std::strerror(errno)));
            int problem =
                ::connect(fd_, reinterpret_cast<const sockaddr*>(&where.address), where.size) == 0 ? 0 : errno;
            if (problem == EINPROGRESS) {
                if (!wait(POLLOUT)) return std::unexpected("no answer in time");
                socklen_t size = sizeof problem;
                getsockopt(fd_, SOL_SOCKET, SO_ERROR, &problem, &size);
            }
            if (problem == 0) return {};
            why = std::strerror(problem);
        }
        return std::unexpected(why);
    }

    outcome<void> handshake(net::ssl_ptr tls) {
        tls_ = std::move(tls);
        ERR_clear_error();
        SSL_set_fd(tls_.get(), fd_);
        for (;;) {
            const int done = SSL_do_handshake(tls_.get());
            if (done == 1) return {};
            const int why = SSL_get_error(tls_.get(), done);
            if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
                if (wait(why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT)) continue;
                return std::unexpected("no answer in time");
            }
            const long verified = SSL_get_verify_result(tls_.get());
            if (verified != X509_V_OK) {
                ERR_clear_error();
                return std::unexpected(
                    fmt::format("{}: {}", certificate_refused, X509_verify_cert_error_string(verified)));
            }
            return std::unexpected(net::tls_error_text());
        }
    }

    std::string tls_version() const { return SSL_get_version(tls_.get()); }

    // The answer's bytes, up to a limit; the request must ask for `connection: close`.
    outcome<std::string> exchange(std::string_view request) {
        constexpr std::size_t answer_bytes_max = 256 * 1024;
        while (!request.empty()) {
            std::size_t moved = 0;
            const auto done = step(true, const_cast<char*>(request.data()), request.size(), moved);
            if (!done) return std::unexpected(done.error());
            if (*done) break;
            request.remove_prefix(moved);
        }
        std::string answer;
        std::array<char, 4096> piece;
        while (answer.size() < answer_bytes_max) {
            std::size_t moved = 0;
            const auto done = step(false, piece.data(), piece.size(), moved);
            if (!done && answer.empty()) return std::unexpected(done.error());
            if (!done || *done) break;
            answer.append(piece.data(), moved);
        }
        return answer;
    }

private:
    bool wait(short what) const {
        const auto left = std::chrono::duration_cast<milliseconds>(deadline_ - clock::now()).count();
        if (left <= 0) return false;
        pollfd waiting{fd_, what, 0};
        return poll(&waiting, 1, static_cast<int>(left)) > 0;
    }

    // One read or write that moves at least a byte. True: the peer has ended.
    outcome<bool> step(bool writing, char* data, std::size_t size, std::size_t& moved) {
        for (;;) {
            short wanted = writing ? POLLOUT : POLLIN;
            if (tls_) {
                ERR_clear_error();
                const int done = writing ? SSL_write_ex(tls_.get(), data, size, &moved)
                                         : SSL_read_ex(tls_.get(), data, size, &moved);
                if (done == 1) return false;
                const int why = SSL_get_error(tls_.get(), done);
                if (why == SSL_ERROR_ZERO_RETURN) return true;
                if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
                    return std::unexpected(net::tls_error_text());
                wanted = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
            } else {
                const ssize_t count = writing ? send(fd_, data, size, MSG_NOSIGNAL) : recv(fd_, data, size, 0);
                if (count > 0) moved = static_cast<std::size_t>(count);
                if (count >= 0) return count == 0;
                if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
                    return std::unexpected(std::string(std::strerror(errno)));
            }
            if (!wait(wanted)) return std::unexpected("no answer in time");
        }
    }

    const clock::time_point deadline_;
    int fd_ = -1;
    net::ssl_ptr tls_;
};

int status_of(std::string_view answer) {
    constexpr std::size_t version_bytes = 9;  // "HTTP/1.1 "
    int status = 0;
    if (answer.starts_with("HTTP/1.") && answer.size() > version_bytes) {
        std::from_chars(answer.data() + version_bytes, answer.data() + answer.size(), status);
    }
    return status;
}

std::string_view header_of(std::string_view answer, std::string_view name_lower) {
    std::string_view head = answer.substr(0, answer.find("\r\n\r\n"));
    while (!head.empty()) {
        const std::size_t end = std::min(head.find("\r\n"), head.size());
        const std::string_view line = head.substr(0, end);
        head.remove_prefix(std::min(end + 2, head.size()));
        const std::size_t colon = line.find(':');
        if (colon != name_lower.size() || colon == std::string_view::npos) continue;
        const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
        if (!std::ranges::equal(line.substr(0, colon), name_lower, same)) continue;
        const std::size_t begin = line.find_first_not_of(' ', colon + 1);
        return begin == std::string_view::npos ? std::string_view() : line.substr(begin);
    }
    return {};
}

std::string text_of(const config::address& where) {
    return where.host.find(':') == std::string::npos ? fmt::format("{}:{}", where.host, where.port)
                                                     : fmt::format("[{}]:{}", where.host, where.port);
}

// This machine.

check check_open_files(const config::settings& settings) {
    constexpr std::uint64_t reserve = 256;  // listeners, logs, libraries, the pool's first connections
    const std::uint64_t needed = 2ull * settings.server.connections_max + reserve;  // a client and its upstream
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const std::uint64_t allowed = limit.rlim_max;  // `serve` raises the soft limit to the hard one
    if (allowed == RLIM_INFINITY || allowed >= needed) {
        return {"open_files", result::ok, fmt::format("{} may be open, {} are enough", allowed, needed)};
    }
    return {"open_files", result::warn,
            fmt::format("{} may be open, but CLAUDE_PROXY_CONNECTIONS_MAX={} can need {}", allowed,
                        settings.server.connections_max, needed),
            fmt::format("raise the hard limit (ulimit -Hn {0}, LimitNOFILE={0}) or lower CLAUDE_PROXY_CONNECTIONS_MAX",
                        needed)};
}

// The word of a file that follows another one (or the first word), as a number; 0 when it is none.
std::uint64_t number_in(const char* path, std::string_view behind) {
    std::ifstream file(path);
    for (std::string word; file >> word;) {
        if (!behind.empty() && word != behind) continue;
        if (!behind.empty()) file >> word;
        std::uint64_t number = 0;
        std::from_chars(word.data(), word.data() + word.size(), number);
        return number;
    }
    return 0;
}

check check_memory(const config::settings& settings) {
    constexpr std::uint64_t mib = 1 << 20, connection_bytes = 12 * 1024;
    std::uint64_t available = number_in("/proc/meminfo", "MemAvailable:") * 1024;
    const std::uint64_t group_limit = number_in("/sys/fs/cgroup/memory.max", {});  // 0 for "max" and when there is none
    if (group_limit != 0) available = std::min(available, group_limit);
    const std::uint64_t worst =
        settings.server.in_flight_bytes_max + settings.server.connections_max * connection_bytes;
    const std::string text =
        fmt::format("{} MiB are available, {} MiB may be needed at the limits", available / mib, worst / mib);
    if (available == 0) return {"memory", result::warn, "cannot be read from /proc/meminfo", "mount /proc"};
    if (available >= worst) return {"memory", result::ok, text};
    return {"memory", result::warn, text,
            "lower CLAUDE_PROXY_IN_FLIGHT_BYTES_MAX or CLAUDE_PROXY_CONNECTIONS_MAX, or add memory"};
}

// Whether one of us answers at a listener's address, with or without TLS.
bool answers_as_claude_proxy(const config::address& where, bool tls, milliseconds at_most) {
    const bool any = where.host == "0.0.0.0" || where.host == "::";
    const std::string host = any ? (where.host == "::" ? "::1" : "127.0.0.1") : where.host;
    const net::resolver names(host, where.port, std::chrono::hours(1));
    names.wait_first(at_most);
    probe talk(at_most);
    if (!talk.connect(*names.addresses())) return false;
    if (tls) {
        const auto context = net::client_context({});
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);  // only to see who it is; nothing secret is sent
        net::tls_client client(*context, host);
        if (!talk.handshake(client.connection())) return false;
    }
    const auto answer = talk.exchange("GET /health HTTP/1.1\r\nhost: doctor\r\nconnection: close\r\n\r\n");
    return answer && status_of(*answer) == 200 && answer->find("\"status\":\"ok\"") != std::string::npos;
}

check check_listener(std::string_view name, std::string_view setting, const config::address& where, bool tls,
                     milliseconds at_most) {
    const std::string address = text_of(where);
    try {
        close(http::bind_listener(where.host, where.port, false));
        return {name, result::ok, where.port == 0 ? "any free port will be used" : fmt::format("{} is free", address)};
    } catch (const std::system_error& problem) {
        if (problem.code() == std::errc::address_in_use && answers_as_claude_proxy(where, tls, at_most)) {
            return {name, result::ok, fmt::format("a claude-proxy already answers on {}", address)};
        }
        return {name, result::fail, problem.what(),
                problem.code() == std::errc::address_in_use
                    ? fmt::format("another program listens there; end it or set {} to another port", setting)
                    : fmt::format("set {} to an address of this machine and a port it may use", setting)};
    } catch (const std::exception& problem) {
        return {name, result::fail, problem.what(), fmt::format("set {} to an address of this machine", setting)};
    }
}

struct file_close {
    void operator()(std::FILE* file) const { std::fclose(file); }
    void operator()(X509* certificate) const { X509_free(certificate); }
};

check check_certificate(const config::settings& settings) {
    constexpr std::string_view name = "listener_tls";
    constexpr int renew_days = 14;
    try {
        net::server_context(settings.tls_cert_file, settings.tls_key_file);
    } catch (const std::exception& problem) {
        return {name, result::fail, problem.what(),
                "set CLAUDE_PROXY_TLS_CERT_FILE and CLAUDE_PROXY_TLS_KEY_FILE to a PEM chain and its key"};
    }
    const std::unique_ptr<std::FILE, file_close> file(std::fopen(settings.tls_cert_file.c_str(), "re"));
    const std::unique_ptr<X509, file_close> certificate(file ? PEM_read_X509(file.get(), nullptr, nullptr, nullptr)
                                                             : nullptr);
    int days = 0;
    int seconds = 0;
    if (!certificate || ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get())) != 1) {
        return {name, result::fail, "the certificate's end cannot be read", "renew the certificate"};
    }
    if (days < 0 || seconds < 0)
        return {name, result::fail, fmt::format("the certificate expired {} days ago", -days), "renew it and restart"};
    if (X509_cmp_current_time(X509_get0_notBefore(certificate.get())) > 0) {
        return {name, result::fail, "the certificate is not valid yet", "check the clock or wait"};
    }
    if (days < renew_days)
        return {name, result::warn, fmt::format("the certificate expires in {} days", days), "renew it and restart"};
    return {name, result::ok, fmt::format("certificate and key belong together; valid for {} more days", days)};
}

// The upstream. Each step needs the one before.

struct upstream_visit {
    const config::settings& settings;
    const upstream::origin& where;
    std::vector<net::endpoint> addresses{};
    net::ssl_context_ptr context{};
    std::string date{};  // of the last answer

    milliseconds at_most() const { return settings.upstream.connect_timeout; }
    std::string host() const { return fmt::format("{}:{}", where.host, where.port); }

    check resolve() {
        const net::resolver names(where.host, where.port, std::chrono::hours(1));
        if (names.wait_first(at_most())) addresses = *names.addresses();
        if (addresses.empty()) {
            return {"upstream_dns", result::fail, fmt::format("{} has no address", where.host),
                    "check the name in CLAUDE_PROXY_UPSTREAM_URL and this machine's DNS (/etc/resolv.conf)"};
        }
        return {"upstream_dns", result::ok,
                fmt::format("{} has {} address{}", where.host, addresses.size(), addresses.size() == 1 ? "" : "es")};
    }

    check reach() {
        probe talk(at_most());
        const auto begin = clock::now();
        if (const auto connected = talk.connect(addresses); !connected) {
            return {"upstream_connect", result::fail, fmt::format("{}: {}", host(), connected.error()),
                    "check the port in CLAUDE_PROXY_UPSTREAM_URL and what firewalls let out"};
        }
        const auto took = std::chrono::duration_cast<milliseconds>(clock::now() - begin).count();
        return {"upstream_connect", result::ok, fmt::format("{} accepts connections ({} ms)", host(), took)};
    }

    outcome<void> secure(probe& talk) {
        if (!where.tls) return {};
        net::tls_client client(*context, where.host);
        return talk.handshake(client.connection());
    }

    check trust() {
        if (!where.tls) return {"upstream_tls", result::ok, "not used: the upstream's URL is http"};
        try {
            context = net::client_context(settings.upstream.ca_file);
        } catch (const std::exception& problem) {
            return {"upstream_tls", result::fail, problem.what(),
                    "set CLAUDE_PROXY_UPSTREAM_CA_FILE to a PEM file of certificates"};
        }
        probe talk(at_most());
        auto done = talk.connect(addresses);
        if (done) done = secure(talk);
        if (done)
            return {"upstream_tls", result::ok,
                    fmt::format("{}, the certificate is valid for {}", talk.tls_version(), where.host)};
        const bool distrusted = done.error().starts_with(certificate_refused);
        return {"upstream_tls", result::fail, done.error(),
                distrusted ? "install ca-certificates, or set CLAUDE_PROXY_UPSTREAM_CA_FILE when the authority is your "
                             "own; check the clock"
                           : "check that CLAUDE_PROXY_UPSTREAM_URL names a port that speaks TLS 1.2 or newer"};
    }

    check ask(std::size_t number) {
        const auto& keys = settings.upstream.credentials;
        const std::string_view key = keys[number].reveal();
        const bool bearer = key.starts_with("sk-ant-oat");
        const std::string which =
            keys.size() == 1 ? "the credential" : fmt::format("credential {} of {}", number + 1, keys.size());
        probe talk(at_most());
        auto done = talk.connect(addresses);
        if (done) done = secure(talk);
        if (!done) return {"upstream_credential", result::fail, done.error(), "see the checks before"};
        const auto answer = talk.exchange(
            fmt::format("GET {}/v1/models?limit=1 HTTP/1.1\r\nhost: {}\r\n{}{}\r\nanthropic-version: "
                        "2023-06-01\r\naccept-encoding: identity\r\n"
                        "user-agent: claude-proxy-doctor\r\nconnection: close\r\n\r\n",
                        where.path_prefix, where.host_header, bearer ? "authorization: Bearer " : "x-api-key: ", key));
        if (!answer)
            return {"upstream_credential", result::fail, fmt::format("no answer: {}", answer.error()),
                    "try again; see the upstream's status page"};
        date = header_of(*answer, "date");
        const int status = status_of(*answer);
        if (status == 200) return {"upstream_credential", result::ok, fmt::format("the upstream takes {}", which)};
        if (status == 401 || status == 403) {
            return {"upstream_credential", result::fail, fmt::format("the upstream refuses {} ({})", which, status),
                    "put a valid key into ANTHROPIC_API_KEY"};
        }
        if (status == 0) {
            return {"upstream_credential", result::fail, "the upstream does not speak HTTP/1.1",
                    "check CLAUDE_PROXY_UPSTREAM_URL"};
        }
        return {"upstream_credential", status == 404 ? result::fail : result::warn,
                fmt::format("GET /v1/models was answered with {}: {} could not be judged", status, which),
                status == 404 ? "check the path in CLAUDE_PROXY_UPSTREAM_URL" : "try again later"};
    }

    check compare_clocks() const {
        constexpr std::int64_t skew_seconds_max = 30;
        std::tm parts{};
        if (date.empty() || !strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts)) {
            return {"clock", result::warn, "the upstream told no date to compare with",
                    "check the time by hand (timedatectl)"};
        }
        const std::int64_t skew =
            static_cast<std::int64_t>(std::time(nullptr)) - static_cast<std::int64_t>(timegm(&parts));
        const std::string text = fmt::format("{} s from the upstream's", skew);
        if (std::abs(skew) <= skew_seconds_max) return {"clock", result::ok, text};
        return {"clock", result::warn, text,
                "synchronise the clock (systemd-timesyncd, chrony): certificates and logs depend on it"};
    }
};

void visit_upstream(const config::settings& settings, checks& all) {
    const auto where = upstream::parse_origin(settings.upstream.url);
    if (!where) {
        all.push_back({"upstream_dns", result::fail, where.error(), "correct CLAUDE_PROXY_UPSTREAM_URL"});
        return;
    }
    upstream_visit visit{settings, *where};
    for (const auto step : {&upstream_visit::resolve, &upstream_visit::reach, &upstream_visit::trust}) {
        all.push_back((visit.*step)());
        if (all.back().is == result::fail) return;  // the rest would only say the same
    }
    if (settings.upstream.credentials.empty()) {
        all.push_back({"upstream_credential", result::warn, "there is none",
                       "set ANTHROPIC_API_KEY unless the upstream needs no key"});
        return;
    }
    for (std::size_t i = 0; i < settings.upstream.credentials.size(); ++i) all.push_back(visit.ask(i));
    all.push_back(visit.compare_clocks());
}

// Printing.

std::string text_lines(const checks& all) {
    std::string out;
    for (const auto& [name, is, text, cure] : all) {
        const std::string_view word = is == result::ok ? "ok" : is == result::warn ? "warn" : "FAIL";
        out += fmt::format("{:<4}  {:<20} {}\n", word, name, text);
        if (!cure.empty()) out += fmt::format("{:<26} cure: {}\n", "", cure);
    }
    return out;
}

std::string json_array(const checks& all) {
    std::string out = "[";
    for (const auto& [name, is, text, cure] : all) {
        out += out.size() == 1 ? "\n  {\"check\":" : ",\n  {\"check\":";
        telemetry::append_quoted(out, name);
        out += ",\"result\":";
        telemetry::append_quoted(out, is == result::ok ? "ok" : is == result::warn ? "warn" : "fail");
        out += ",\"text\":";
        telemetry::append_quoted(out, text);
        out += ",\"cure\":";
        telemetry::append_quoted(out, cure);
        out += "}";
    }
    return out + "\n]\n";
}

}  // namespace

int doctor(const config::settings& settings, doctor_check secrets, bool json) {
    signal(SIGPIPE, SIG_IGN);  // a peer that hangs up is an answer, not an end
    const milliseconds at_most = settings.upstream.connect_timeout;
    const bool tls = !settings.tls_cert_file.empty();
    checks all;
    for (const auto& warning : settings.warnings) all.push_back({"settings", result::warn, warning});
    if (settings.warnings.empty()) all.push_back({"settings", result::ok, "all settings are understood"});
    all.push_back(std::move(secrets));
    all.push_back(check_open_files(settings));
    all.push_back(check_memory(settings));
    all.push_back(check_listener("listen", "CLAUDE_PROXY_LISTEN", settings.listen, tls, at_most));
    all.push_back(check_listener("admin_listen", "CLAUDE_PROXY_ADMIN_LISTEN", settings.admin_listen, false, at_most));
    if (tls) all.push_back(check_certificate(settings));
    check_stores(settings, all);
    visit_upstream(settings, all);
    fmt::print("{}", json ? json_array(all) : text_lines(all));
    return std::ranges::any_of(all, [](const check& each) { return each.is == result::fail; }) ? 1 : 0;
}

}  // namespace app
