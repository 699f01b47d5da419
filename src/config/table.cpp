#include "config/table.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "upstream/origin.hpp"

namespace config::table {
namespace {

using namespace std::chrono_literals;

template <auto Field>
auto& in(settings& all) {
    return all.*Field;
}
template <auto Group, auto Field>
auto& in(settings& all) {
    return (all.*Group).*Field;
}
template <auto Field>
auto& server(settings& all) {
    return in<&settings::server, Field>(all);
}
template <auto Field>
auto& calls(settings& all) {
    return in<&settings::upstream, Field>(all);
}
template <auto Field>
auto& routes(settings& all) {
    return in<&settings::gateway, Field>(all);
}
template <auto Field>
auto& log(settings& all) {
    return in<&settings::log, Field>(all);
}

template <auto Field>
auto& store(settings& all) {
    return in<&settings::database, Field>(all);
}
template <auto Field>
auto& rules(settings& all) {
    return in<&settings::governance, Field>(all);
}
template <auto Field>
auto& tokens(settings& all) {
    return in<&settings::jwt, Field>(all);
}
template <auto Field>
auto& upstream_things(settings& all) {
    return in<&settings::resources, Field>(all);
}
template <auto Field>
auto& journal(settings& all) {
    return in<&settings::ledger, Field>(all);
}

using http_options = http::server_options;
using size32 = size<std::uint32_t>;
using size64 = size<std::uint64_t>;
using count32 = count<std::uint32_t>;
using count64 = count<std::uint64_t>;

constexpr std::uint64_t kib = 1ull << 10, mib = 1ull << 20, gib = 1ull << 30, tib = 1ull << 40;

constexpr row all_rows[] = {
    // What most installations set.
    {"ANTHROPIC_API_KEY", secret_list{calls<&upstream::options::credentials>},
     "Upstream credentials, comma separated, used in turn. Needed when the upstream is https."},
    {"CLAUDE_PROXY_API_KEYS", secret_list{routes<&gateway::options::api_keys>},
     "Keys that clients may use, comma separated, all of the team `default`."},
    {"CLAUDE_PROXY_ADMIN_KEY", secret{in<&settings::admin_key>},
     "First credential of the admin API, role admin. Empty: one is made at the first start and printed once."},
    {"DATABASE_URL",
     secret_url{store<&database::options::url>, "sqlite:,postgresql://,postgres://", "sqlite:var/claude-proxy.db"},
     "Where teams, keys, budgets and the ledger are: `sqlite:PATH` or `postgresql://...`."},
    {"DATABASE_DIRECT_URL", secret_url{store<&database::options::direct_url>, "postgresql://,postgres://", ""},
     "The same PostgreSQL past its pooler, for migrations. Empty: DATABASE_URL."},
    {"REDIS_URL", secret_url{in<&settings::redis_url>, "redis://", ""},
     "Rate limits shared by all replicas. Empty: every replica counts for itself."},
    {"CLAUDE_PROXY_LISTEN", listener{in<&settings::listen>}, "Public address. Port 0: any free one, told in the log."},
    {"CLAUDE_PROXY_ADMIN_LISTEN", listener{in<&settings::admin_listen>},
     "Admin address: the admin API, /metrics, /health, /ready."},
    {"CLAUDE_PROXY_UPSTREAM_URL", url{calls<&upstream::options::url>}, "Where Claude is, http or https."},
    {"CLAUDE_PROXY_THREADS", count32{in<&settings::threads>, 0, 1024}, "Reactor threads. 0: number of cores."},
    {"CLAUDE_PROXY_TLS_CERT_FILE", readable_file{in<&settings::tls_cert_file>},
     "PEM certificate chain; with CLAUDE_PROXY_TLS_KEY_FILE the public listener speaks TLS."},
    {"CLAUDE_PROXY_TLS_KEY_FILE", readable_file{in<&settings::tls_key_file>}, "PEM private key of that certificate."},
    {"CLAUDE_PROXY_CONFIG", config_path{},
     "YAML file with settings: names in lower case without `claude_proxy_`. The environment wins over it."},
    {"CLAUDE_PROXY_SECRETS", secrets_source{}, "Where secrets come from. `env`: from the environment."},
    {"CLAUDE_PROXY_PRICES", readable_file{in<&settings::prices_file>},
     "YAML file of prices that come before the shipped ones; `claude-proxy prices check FILE` reads it."},
    {"CLAUDE_PROXY_KEY_PEPPER", secret{rules<&governance::options::key_pepper>},
     "Secret under which keys are stored. Empty: made once and kept in the database. Another one ends all keys."},
    {"LOG_LEVEL", log_level{}, "debug, info, warn or error."},
    {"LOG_FORMAT", log_format{}, "json, text, or auto: text on a terminal, else json."},

    // The public listener's limits.
    {"CLAUDE_PROXY_CONNECTIONS_MAX", count32{server<&http_options::connections_max>, 1, 1'000'000},
     "Open client connections; more get 529 and are closed."},
    {"CLAUDE_PROXY_HEAD_BYTES_MAX", size32{server<&http_options::head_bytes_max>, kib, 16 * mib},
     "Request line and headers; more: 431."},
    {"CLAUDE_PROXY_HEADERS_MAX", count32{server<&http_options::headers_max>, 8, 10'000},
     "Header lines of a request; more: 431."},
    {"CLAUDE_PROXY_IN_FLIGHT_BYTES_MAX", size64{server<&http_options::in_flight_bytes_max>, 64 * kib, tib},
     "Request bodies held in memory by the whole process; more: 529."},
    {"CLAUDE_PROXY_HEAD_TIMEOUT", duration{server<&http_options::head_timeout>, 10ms, 1h},
     "From a request's first byte to the end of its head; then 408."},
    {"CLAUDE_PROXY_BODY_IDLE_TIMEOUT", duration{server<&http_options::body_idle_timeout>, 10ms, 1h},
     "Longest pause of a client that sends a body; then 408."},
    {"CLAUDE_PROXY_BODY_BYTES_PER_SECOND_MIN", count64{server<&http_options::body_bytes_per_second_min>, 0, gib},
     "A body that comes slower on the whole, after the pause allowed, ends in 408."},
    {"CLAUDE_PROXY_KEEP_ALIVE_TIMEOUT", duration{server<&http_options::keep_alive_timeout>, 10ms, 24h},
     "Idle client connections are closed after this."},
    {"CLAUDE_PROXY_WRITE_IDLE_TIMEOUT", duration{server<&http_options::write_idle_timeout>, 10ms, 1h},
     "A client that takes no bytes for so long is cut."},
    {"CLAUDE_PROXY_LINGER_TIMEOUT", duration{server<&http_options::linger_timeout>, 0ms, 1min},
     "Reading away an unread body after an early answer."},
    {"CLAUDE_PROXY_LINGER_BYTES_MAX", size64{server<&http_options::linger_bytes_max>, 0, gib},
     "At most so much of it."},

    // The /v1 routes.
    {"CLAUDE_PROXY_MESSAGES_BODY_BYTES_MAX", size64{routes<&gateway::options::messages_body_bytes_max>, kib, gib},
     "Body of messages and count_tokens, held whole; more: 413."},
    {"CLAUDE_PROXY_BATCHES_BODY_BYTES_MAX", size64{routes<&gateway::options::batches_body_bytes_max>, kib, 16 * gib},
     "Body of batches, held whole; more: 413."},
    {"CLAUDE_PROXY_FILES_BODY_BYTES_MAX", size64{routes<&gateway::options::files_body_bytes_max>, kib, 16 * gib},
     "Body of files and skills, streamed through; more: 413."},
    {"CLAUDE_PROXY_OTHER_BODY_BYTES_MAX", size64{routes<&gateway::options::other_body_bytes_max>, kib, 16 * gib},
     "Body of any other /v1 route, streamed through; more: 413."},
    {"CLAUDE_PROXY_BATCH_LOOK_FIRST", duration{upstream_things<&resources::options::batch_look_first>, 10ms, 24h},
     "After this a batch is looked at whether it has ended; then again after a quarter of its age, at least this."},
    {"CLAUDE_PROXY_BATCH_LOOK_MAX", duration{upstream_things<&resources::options::batch_look_max>, 10ms, 24h},
     "Longest time between two looks at a batch."},
    {"CLAUDE_PROXY_BATCH_LEASE", duration{upstream_things<&resources::options::batch_lease>, 1s, 1h},
     "A process that says nothing for so long has lost the batches that it was making or looking at."},
    {"CLAUDE_PROXY_BATCH_DOUBT", duration{upstream_things<&resources::options::batch_doubt>, 10ms, 24h},
     "A batch whose making was broken off, and that upstream does not show after this, was never made."},
    {"CLAUDE_PROXY_PING_INTERVAL", duration{routes<&gateway::options::ping_interval>, 10ms, 1h},
     "Silence in a stream after which a ping of our own is sent."},
    {"CLAUDE_PROXY_PREAMBLE_EVENTS_MAX", count32{routes<&gateway::options::preamble_events_max>, 0, 1'000},
     "Events of a stream held back before its first content, so that an early error can still be retried."},
    {"CLAUDE_PROXY_PREAMBLE_BYTES_MAX", size64{routes<&gateway::options::preamble_bytes_max>, 0, 16 * mib},
     "Bytes held back at most."},
    {"CLAUDE_PROXY_PREAMBLE_HOLD", duration{routes<&gateway::options::preamble_hold>, 0ms, 10min},
     "Longest hold; then the stream starts as it is."},
    {"CLAUDE_PROXY_ANSWER_HOLD_BYTES_MAX", size64{routes<&gateway::options::answer_hold_bytes_max>, 0, gib},
     "JSON answers up to this size are sent only when they are whole."},
    {"CLAUDE_PROXY_ATTEMPTS_MAX", count32{routes<&gateway::options::attempts_max>, 1, 3},
     "Calls upstream for one request."},
    {"CLAUDE_PROXY_DRAIN_DELAY", duration{routes<&gateway::options::drain_delay>, 0ms, 1h},
     "After SIGTERM: not ready, but accepting goes on for so long."},
    {"CLAUDE_PROXY_DRAIN_TIMEOUT", duration{routes<&gateway::options::drain_timeout>, 0ms, 24h},
     "Then running requests may finish for so long."},

    // Calls upstream.
    {"CLAUDE_PROXY_UPSTREAM_CA_FILE", readable_file{calls<&upstream::options::ca_file>},
     "Trust anchors (PEM) for an https upstream, besides the system's."},
    {"CLAUDE_PROXY_UPSTREAM_CONNECT_TIMEOUT", duration{calls<&upstream::options::connect_timeout>, 10ms, 10min},
     "TCP and TLS together."},
    {"CLAUDE_PROXY_UPSTREAM_HEAD_TIMEOUT", duration{calls<&upstream::options::head_timeout>, 10ms, 24h},
     "From the request sent to the answer's head."},
    {"CLAUDE_PROXY_UPSTREAM_FIRST_CONTENT_TIMEOUT",
     duration{calls<&upstream::options::first_content_timeout>, 10ms, 24h},
     "From a stream's head to its first content."},
    {"CLAUDE_PROXY_UPSTREAM_IDLE_TIMEOUT", duration{calls<&upstream::options::idle_timeout>, 10ms, 24h},
     "Between two bytes of an answer."},
    {"CLAUDE_PROXY_UPSTREAM_TOTAL_TIMEOUT", duration{calls<&upstream::options::total_timeout>, 10ms, 24h},
     "The whole call."},
    {"CLAUDE_PROXY_UPSTREAM_KEEP_ALIVE_TIMEOUT", duration{calls<&upstream::options::keep_alive_timeout>, 0ms, 24h},
     "Pooled connections unused for so long are closed."},
    {"CLAUDE_PROXY_UPSTREAM_IDLE_CONNECTIONS_MAX", count32{calls<&upstream::options::idle_connections_max>, 0, 100'000},
     "Pooled connections of one reactor thread."},
    {"CLAUDE_PROXY_UPSTREAM_RESOLVE_EVERY", duration{calls<&upstream::options::resolve_every>, 1s, 24h},
     "How long a DNS answer is used."},
    {"CLAUDE_PROXY_UPSTREAM_HEAD_BYTES_MAX", size32{calls<&upstream::options::head_bytes_max>, kib, 16 * mib},
     "Head of an answer; more is a protocol error."},

    // Callers with a JWT.
    {"CLAUDE_PROXY_SUPABASE_URL", text{tokens<&governance::jwt_options::supabase_url>},
     "URL of a Supabase project whose users may call: sets what is empty below."},
    {"CLAUDE_PROXY_JWT_JWKS_URL", text{tokens<&governance::jwt_options::jwks_url>},
     "Where the issuer's public keys are (RS256, ES256): https, or http to this machine."},
    {"CLAUDE_PROXY_JWT_SECRET", secret{tokens<&governance::jwt_options::secret>},
     "Shared secret of HS256 tokens, at least 32 bytes."},
    {"CLAUDE_PROXY_JWT_ISSUER", text{tokens<&governance::jwt_options::issuer>}, "The `iss` that a token must have."},
    {"CLAUDE_PROXY_JWT_AUDIENCE", text{tokens<&governance::jwt_options::audience>},
     "The `aud` that a token must be meant for."},
    {"CLAUDE_PROXY_JWT_TEAM_CLAIM", text{tokens<&governance::jwt_options::team_claim>},
     "Claim, or path such as app_metadata.team, with the team's name or id. Empty: team."},
    {"CLAUDE_PROXY_JWT_SCOPES_CLAIM", text{tokens<&governance::jwt_options::scopes_claim>},
     "Claim with the scopes: a list, or text with blanks."},
    {"CLAUDE_PROXY_JWT_SUBJECT_CLAIM", text{tokens<&governance::jwt_options::subject_claim>},
     "Claim with the user, for the ledger."},
    {"CLAUDE_PROXY_JWT_DEFAULT_TEAM", text{tokens<&governance::jwt_options::default_team>},
     "Team of a token without the team claim. Empty: such a token is refused."},

    // Keys, budgets and the ledger.
    {"CLAUDE_PROXY_DIRECTORY_POLL", duration{rules<&governance::options::directory_poll>, 20ms, 1min},
     "How often a replica asks the database whether keys, limits or budgets have changed."},
    {"CLAUDE_PROXY_STALENESS_MAX", duration{rules<&governance::options::staleness_max>, 1s, 8760h},
     "Without an answer of the database for so long, requests are refused; until then known keys work."},
    {"CLAUDE_PROXY_BUDGET_LEASE", duration{rules<&governance::options::budget_lease>, 1s, 1h},
     "What a replica that died had taken of a budget comes back after so long."},
    {"CLAUDE_PROXY_BUDGET_WAIT", duration{rules<&governance::options::budget_wait>, 0ms, 1h},
     "Near its limit a budget lets requests wait so long for others to settle; then 429."},
    {"CLAUDE_PROXY_BUDGET_WAITERS_MAX", count32{rules<&governance::options::budget_waiters_max>, 1, 10'000'000},
     "Requests that may wait for one budget; more get 429 at once."},
    {"CLAUDE_PROXY_COUNT_TOKENS_PER_MINUTE", count32{routes<&gateway::options::count_tokens_per_minute>, 0, 1'000'000},
     "Calls of count_tokens that each key has, apart from its other limits. 0: no limit."},
    {"CLAUDE_PROXY_IDEMPOTENCY_TTL", duration{routes<&gateway::options::idempotency_ttl>, 1s, 168h},
     "How long an answer is kept for the same Idempotency-Key."},
    {"CLAUDE_PROXY_IDEMPOTENCY_BYTES_MAX", size64{routes<&gateway::options::idempotency_bytes_max>, 0, tib},
     "Answers kept in memory for that, at most; the oldest go first."},
    {"CLAUDE_PROXY_LEAVE_DRAIN", duration{routes<&gateway::options::leave_drain>, 0ms, 1h},
     "A client that left: its answer is read to the end for so long, so that its tokens are known. 0: cancelled at "
     "once."},
    {"CLAUDE_PROXY_JOURNAL_DIR", directory_path{journal<&ledger::options::directory>},
     "Folder of the ledger's journal: finished requests that have not reached the database."},
    {"CLAUDE_PROXY_JOURNAL_BYTES_MAX", size64{journal<&ledger::options::bytes_max>, 32 * mib, 16 * tib},
     "The journal's size at most; when it is full, requests are refused."},

    // The log's writer.
    {"CLAUDE_PROXY_FLUSH_EVERY", duration{log<&telemetry::options::flush_every>, 1ms, 10s},
     "Longest time a log line waits to be written."},
    {"CLAUDE_PROXY_RECORDS_MAX", count64{log<&telemetry::options::records_max>, 16, 1'000'000},
     "Finished requests of one reactor thread that may wait for the log; more are dropped and counted."},
};

using outcome = std::expected<void, std::string>;
outcome refuse(std::string why) { return std::unexpected(std::move(why)); }

// A key that a header can carry and that no editor has split or decorated.
bool is_visible_ascii(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}
constexpr std::string_view not_visible =
    "has a character that no key has (white space or beyond ASCII); copy the key again";

struct reader {
    std::string_view text;
    settings& into;

    outcome operator()(const duration& field) const {
        const auto value = parse_duration(text);
        if (!value) return refuse(value.error());
        if (*value < field.min || *value > field.max) {
            return refuse(fmt::format("must be from {} to {}", duration_text(field.min), duration_text(field.max)));
        }
        field.at(into) = *value;
        return {};
    }
    template <class Number>
    outcome operator()(const size<Number>& field) const {
        const auto value = parse_size(text);
        if (!value) return refuse(value.error());
        if (*value < field.min || *value > field.max) {
            return refuse(fmt::format("must be from {} to {} bytes", size_text(field.min), size_text(field.max)));
        }
        field.at(into) = static_cast<Number>(*value);
        return {};
    }
    template <class Number>
    outcome operator()(const count<Number>& field) const {
        const auto value = parse_count(text);
        if (!value || *value < field.min || *value > field.max) {
            return refuse(fmt::format("must be a whole number from {} to {}", field.min, field.max));
        }
        field.at(into) = static_cast<Number>(*value);
        return {};
    }
    outcome operator()(const table::text& field) const {
        if (!is_visible_ascii(text)) return refuse("must be visible ASCII characters without white space");
        field.at(into) = std::string(text);
        return {};
    }
    outcome operator()(const directory_path& field) const {
        if (text.find('\0') != text.npos) return refuse("must be a path");
        field.at(into) = std::string(text);
        return {};
    }
    outcome operator()(const secret_url& field) const {
        std::string_view schemes = field.schemes;
        std::string wanted;
        while (!schemes.empty()) {
            const std::string_view scheme = schemes.substr(0, schemes.find(','));
            if (text.starts_with(scheme) && text.size() > scheme.size()) {
                if (!is_visible_ascii(text)) return refuse(std::string(not_visible));
                field.at(into) = base::secret(std::string(text));
                return {};
            }
            wanted += fmt::format("{}`{}...`", wanted.empty() ? "" : " or ", scheme);
            schemes.remove_prefix(std::min(schemes.size(), scheme.size() + 1));
        }
        return refuse(fmt::format("must begin with {}", wanted));
    }
    outcome operator()(const listener& field) const {
        auto value = parse_address(text);
        if (!value) return refuse(value.error());
        field.at(into) = std::move(*value);
        return {};
    }
    outcome operator()(const url& field) const {
        const auto value = upstream::parse_origin(text);
        if (!value) return refuse(fmt::format("is not usable: {}", value.error()));
        field.at(into) = text;
        return {};
    }
    outcome operator()(const readable_file& field) const {
        const std::string path(text);
        if (access(path.c_str(), R_OK) != 0)
            return refuse(fmt::format("names a file that cannot be read: {}", std::strerror(errno)));
        field.at(into) = path;
        return {};
    }
    outcome operator()(const secret& field) const {
        if (!is_visible_ascii(text)) return refuse(std::string(not_visible));
        field.at(into) = base::secret(std::string(text));
        return {};
    }
    outcome operator()(const secret_list& field) const {
        std::vector<base::secret> keys;
        for (const std::string_view item : split_list(text)) {
            if (!is_visible_ascii(item)) return refuse(std::string(not_visible));
            const auto same = [item](const base::secret& known) { return known.reveal() == item; };
            if (std::ranges::none_of(keys, same)) keys.emplace_back(std::string(item));
        }
        field.at(into) = std::move(keys);
        return {};
    }
    outcome operator()(const log_level&) const {
        using enum telemetry::level;
        for (const auto& [name, value] :
             {std::pair{"debug", debug}, {"info", info}, {"warn", warn}, {"error", error}}) {
            if (text == name) {
                into.log.level_min = value;
                return {};
            }
        }
        return refuse("must be debug, info, warn or error");
    }
    outcome operator()(const log_format&) const {
        if (text != "json" && text != "text" && text != "auto") return refuse("must be json, text or auto");
        if (text != "auto") into.log.form = text == "json" ? telemetry::format::json : telemetry::format::text;
        return {};
    }
    outcome operator()(const config_path&) const { return {}; }
    outcome operator()(const secrets_source&) const {
        if (text == "env") return {};
        return refuse(
            "must be `env`: other sources of secrets are not there yet; put the secrets into the environment");
    }
};

struct shower {
    settings& from;

    std::string operator()(const duration& field) const { return duration_text(field.at(from)); }
    template <class Number>
    std::string operator()(const size<Number>& field) const {
        return size_text(field.at(from));
    }
    template <class Number>
    std::string operator()(const count<Number>& field) const {
        return fmt::to_string(field.at(from));
    }
    std::string operator()(const listener& field) const { return address_text(field.at(from)); }
    std::string operator()(const url& field) const { return field.at(from); }
    std::string operator()(const readable_file& field) const { return field.at(from); }
    std::string operator()(const secret&) const { return {}; }
    std::string operator()(const directory_path& field) const { return field.at(from); }
    std::string operator()(const table::text& field) const { return field.at(from); }
    std::string operator()(const secret_url& field) const { return std::string(field.shown); }
    std::string operator()(const secret_list&) const { return {}; }
    std::string operator()(const log_level&) const {
        constexpr std::string_view names[] = {"debug", "info", "warn", "error"};
        return std::string(names[static_cast<std::size_t>(from.log.level_min)]);
    }
    std::string operator()(const log_format&) const { return "auto"; }
    std::string operator()(const config_path&) const { return {}; }
    std::string operator()(const secrets_source&) const { return "env"; }
};

}  // namespace

std::span<const row> rows() { return all_rows; }

std::expected<void, std::string> read(const row& setting, std::string_view text, settings& into) {
    return std::visit(reader{text, into}, setting.value);
}

std::string show(const row& setting, settings& from) { return std::visit(shower{from}, setting.value); }

}  // namespace config::table
