#include "redis/address.hpp"

#include <charconv>
#include <exception>
#include <optional>

#include "net/tls.hpp"

namespace redis {
namespace {

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
                      "must look like redis[s]://[[user]:password@]host[:port][/database]: " + std::string(why));
}

}  // namespace

base::result<address> parse_address(std::string_view url) {
    address parsed;
    parsed.tls = url.starts_with("rediss://");
    if (!parsed.tls && !url.starts_with("redis://")) return bad_url("the scheme is neither redis nor rediss");
    url.remove_prefix(url.find("://") + 3);
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

base::result<address> address_of(const options& settings) {
    auto parsed = parse_address(settings.url.reveal());
    if (!parsed) return base::fail(parsed.error().kind, "REDIS_URL " + parsed.error().detail);
    if (!parsed->tls) return parsed;
    try {
        parsed->trust = net::client_context(settings.ca_file);
    } catch (const std::exception& problem) {
        return base::fail(base::errc::invalid_argument, std::string("CLAUDE_PROXY_REDIS_CA_FILE: ") + problem.what());
    }
    return parsed;
}

address address_now(const options& settings, const address& otherwise) {
    if (!settings.live_url) return otherwise;
    auto read = parse_address(settings.live_url->now().reveal());
    if (!read || read->tls != otherwise.tls) return otherwise;
    read->trust = otherwise.trust;
    return std::move(*read);
}

}  // namespace redis
