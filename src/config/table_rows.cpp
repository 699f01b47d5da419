// Every setting: its name, its field and its limits, in the order of `.env.example`.
#include "config/table.hpp"

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
template <auto Field>
auto& hooks(settings& all) {
    return in<&settings::webhooks, Field>(all);
}

template <auto Field>
auto& announcer(settings& all) {
    return in<&settings::queue, Field>(all);
}
template <auto Field>
auto& amazon(settings& all) {
    return in<&settings::aws, Field>(all);
}
template <auto Field>
auto& work(settings& all) {
    return in<&settings::jobs, Field>(all);
}

using hook_options = jobs::webhook_options;
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
    {"CLAUDE_PROXY_KEY", secret{in<&settings::client_key>},
     "Client key of `jobs submit` and `jobs watch`, which ask a running gateway."},
    {"DATABASE_URL",
     secret_url{store<&database::options::url>, "sqlite:,postgresql://,postgres://", "sqlite:var/claude-proxy.db"},
     "Where teams, keys, budgets and the ledger are: `sqlite:PATH` or `postgresql://...`."},
    {"DATABASE_DIRECT_URL", secret_url{store<&database::options::direct_url>, "postgresql://,postgres://", ""},
     "The same PostgreSQL past its pooler, for migrations. Empty: DATABASE_URL."},
    {"REDIS_URL", secret_url{in<&settings::redis, &redis::options::url>, "redis://", ""},
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
    {"CLAUDE_PROXY_SECRETS", secrets_source{},
     "Where secrets come from besides: `env`, or `aws-secretsmanager:` and the name or ARN of a secret in AWS Secrets "
     "Manager, a JSON object of settings."},
    {"CLAUDE_PROXY_SECRETS_REFRESH", duration{in<&settings::secrets, &secrets_options::refresh>, 1s, 24h},
     "How often that secret is read again."},
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
    {"CLAUDE_PROXY_BATCH_COUNT_MIN", count32{work<&jobs::options::batch_count_min>, 1, 100'000},
     "Jobs of the lane `batch` go upstream as soon as so many wait, ..."},
    {"CLAUDE_PROXY_BATCH_AGE_MAX", duration{work<&jobs::options::batch_age_max>, 0ms, 24h},
     "... or one has waited so long, or they fill a batch."},
    {"CLAUDE_PROXY_BATCH_COUNT_MAX", count32{work<&jobs::options::batch_count_max>, 1, 100'000}, "Jobs in one batch."},
    {"CLAUDE_PROXY_BATCH_BYTES_MAX", size64{work<&jobs::options::batch_bytes_max>, kib, 240 * mib},
     "Bytes of the requests in one batch; a longer one goes alone."},
    {"CLAUDE_PROXY_BATCH_EXPIRED", yes_no{work<&jobs::options::batch_expired_fails>, "fail", "realtime"},
     "Jobs that a batch left undone because it expired or was cancelled: `realtime` carries them out, `fail` fails "
     "them."},
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
    {"CLAUDE_PROXY_JWT_SECRET_PREVIOUS", secret{tokens<&governance::jwt_options::secret_previous>},
     "The one before it, accepted beside it while it is being rotated."},
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

    // Durable jobs.
    {"CLAUDE_PROXY_JOBS_REQUEST_BYTES_MAX", size64{work<&jobs::options::request_bytes_max>, kib, gib},
     "The Messages body of a job, held whole; more: 413."},
    {"CLAUDE_PROXY_JOBS_OPEN_PER_TEAM_MAX", count32{work<&jobs::options::open_per_team_max>, 1, 100'000'000},
     "Queued and running jobs of a team; more submits get 429."},
    {"CLAUDE_PROXY_JOBS_POLL_EVERY", duration{work<&jobs::options::poll_every>, 10ms, 1min},
     "How often changes of followed jobs are looked for in the database; with Redis an eighth as often."},
    {"CLAUDE_PROXY_JOBS_FOLLOWERS_MAX", count32{work<&jobs::options::followers_max>, 1, 10'000'000},
     "Open event streams and waits for jobs of the whole process; more get 529."},
    {"CLAUDE_PROXY_JOBS_TAIL_BYTES_MAX", size64{work<&jobs::options::tail_bytes_max>, 0, tib},
     "Newest events of followed jobs kept in memory; older ones are read from the database."},
    {"CLAUDE_PROXY_JOBS_WRITE_PATIENCE", duration{work<&jobs::options::write_patience>, 100ms, 10min},
     "A submit waits so long for a database that is away; then 529."},
    {"CLAUDE_PROXY_JOBS_CONCURRENCY", count32{work<&jobs::options::concurrency>, 1, 10'000},
     "Jobs that one worker process runs at once."},
    {"CLAUDE_PROXY_JOBS_ATTEMPTS_MAX", count32{work<&jobs::options::attempts_max>, 1, 100},
     "Attempts that may break; then a job is dead. Waiting for limits, budgets or the upstream does not count."},
    {"CLAUDE_PROXY_JOBS_BACKOFF_FIRST", duration{work<&jobs::options::backoff_first>, 1ms, 1h},
     "Before the second attempt; doubled at each further one, with jitter."},
    {"CLAUDE_PROXY_JOBS_BACKOFF_MAX", duration{work<&jobs::options::backoff_max>, 1ms, 24h},
     "Longest time between two attempts."},
    {"CLAUDE_PROXY_JOBS_LEASE", duration{work<&jobs::options::lease>, 500ms, 1h},
     "A worker that says nothing for so long has lost its jobs to others."},
    {"CLAUDE_PROXY_JOBS_HEARTBEAT_EVERY", duration{work<&jobs::options::heartbeat_every>, 50ms, 20min},
     "How often a worker says that it is there: a third of the lease or less."},
    {"CLAUDE_PROXY_JOBS_CANCEL_LOOK_EVERY", duration{work<&jobs::options::cancel_look_every>, 10ms, 1min},
     "How often a worker looks whether its jobs are to be cancelled."},
    {"CLAUDE_PROXY_JOBS_SWEEP_EVERY", duration{work<&jobs::options::sweep_every>, 50ms, 1h},
     "How often lost leases, expired jobs and forgotten announcements are looked for."},
    {"CLAUDE_PROXY_JOBS_ANNOUNCE_AGAIN", duration{work<&jobs::options::announce_again>, 1s, 24h},
     "A queued job that nobody has claimed is announced again after so long."},

    // The queue, and Amazon's services under the names that Amazon's own tools use.
    {"QUEUE_URL", text{announcer<&queue::options::url>},
     "Where jobs are announced: `embedded` (in this process), or the URL or name of an SQS queue."},
    {"CLAUDE_PROXY_QUEUE_HIDDEN_FOR", duration{announcer<&queue::options::hidden_for>, 1s, 12h},
     "A message whose receiver died comes again after so long."},
    {"CLAUDE_PROXY_QUEUE_RECEIVES_MAX", count32{announcer<&queue::options::receives_max>, 1, 1'000},
     "After so many receives a message goes to the dead-letter queue."},
    {"CLAUDE_PROXY_QUEUE_MAX", count64{announcer<&queue::options::queue_max>, 16, 10'000'000},
     "Messages of the embedded queue; more are announced later."},
    {"AWS_REGION", text{amazon<&aws::options::region>}, "Region of the queue and the secrets, when no URL names it."},
    {"AWS_DEFAULT_REGION", text{amazon<&aws::options::default_region>}, "The same, when AWS_REGION is not set."},
    {"AWS_ENDPOINT_URL", text{amazon<&aws::options::endpoint_url>},
     "Where Amazon's services are, scheme://host:port. Empty: at Amazon."},
    {"AWS_ENDPOINT_URL_SQS", text{amazon<&aws::options::endpoint_url_sqs>}, "The same for SQS alone."},
    {"AWS_ENDPOINT_URL_SECRETS_MANAGER", text{amazon<&aws::options::endpoint_url_secrets_manager>},
     "The same for Secrets Manager alone."},
    {"AWS_CA_BUNDLE", text{amazon<&aws::options::ca_bundle>},
     "Trust anchors (PEM) for these calls instead of the system's."},
    {"AWS_ACCESS_KEY_ID", secret{amazon<&aws::options::access_key_id>},
     "Credentials for Amazon. Empty: those of the container's or the machine's role."},
    {"AWS_SECRET_ACCESS_KEY", secret{amazon<&aws::options::secret_access_key>}, "Secret of that access key."},
    {"AWS_SESSION_TOKEN", secret{amazon<&aws::options::session_token>}, "Token of temporary credentials."},
    {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", text{amazon<&aws::options::container_relative_uri>},
     "Set by ECS: path of the container's credentials."},
    {"AWS_CONTAINER_CREDENTIALS_FULL_URI", text{amazon<&aws::options::container_full_uri>},
     "Set by EKS: URL of the container's credentials."},
    {"AWS_CONTAINER_AUTHORIZATION_TOKEN", secret_line{amazon<&aws::options::container_authorization>},
     "Token for that URL."},
    {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", text{amazon<&aws::options::container_authorization_file>},
     "File with that token, read whenever it is needed."},
    {"AWS_EC2_METADATA_DISABLED", text{amazon<&aws::options::metadata_disabled>},
     "`true`: the machine's role is never asked for."},
    {"AWS_EC2_METADATA_SERVICE_ENDPOINT", text{amazon<&aws::options::metadata_endpoint>},
     "Where the machine's role is asked for."},

    // Webhooks of jobs.
    {"CLAUDE_PROXY_WEBHOOK_ALLOW", text{hooks<&hook_options::allow>},
     "Private address ranges that webhooks may reach, comma separated: 10.20.0.0/16. Empty: public addresses only."},
    {"CLAUDE_PROXY_WEBHOOK_ALLOW_HTTP", yes_no{hooks<&hook_options::allow_http>},
     "yes: webhooks may go to http URLs, too. They are signed but not encrypted."},
    {"CLAUDE_PROXY_WEBHOOK_CA_FILE", readable_file{hooks<&hook_options::ca_file>},
     "Trust anchors (PEM) for receivers of webhooks, besides the system's."},
    {"CLAUDE_PROXY_WEBHOOK_CONNECT_TIMEOUT", duration{hooks<&hook_options::connect_timeout>, 10ms, 1min},
     "Name look-up, TCP and TLS of a webhook."},
    {"CLAUDE_PROXY_WEBHOOK_TIMEOUT", duration{hooks<&hook_options::total_timeout>, 10ms, 5min},
     "One try to deliver a webhook, up to its answer."},
    {"CLAUDE_PROXY_WEBHOOK_RETRIES", durations{hooks<&hook_options::retries>, 168h, 50},
     "Waits between tries, each with jitter; after the last one a delivery is given up."},
    {"CLAUDE_PROXY_WEBHOOK_GIVE_UP_AFTER", duration{hooks<&hook_options::give_up_after>, 1min, 8760h},
     "A delivery that has waited so long is given up, also when its endpoint was left alone and it had tries left."},
    {"CLAUDE_PROXY_WEBHOOK_CONCURRENCY", count32{hooks<&hook_options::concurrency>, 1, 1'000},
     "Webhooks under way at once in one process."},
    {"CLAUDE_PROXY_WEBHOOK_ENDPOINT_CONCURRENCY", count32{hooks<&hook_options::endpoint_concurrency>, 1, 1'000},
     "Of them to one endpoint for one team, so that a slow one holds up no other."},
    {"CLAUDE_PROXY_WEBHOOK_BREAKER_FAILURES", count32{hooks<&hook_options::breaker_failures>, 1, 1'000'000},
     "Failures in a row after which an endpoint is left alone for a time."},
    {"CLAUDE_PROXY_WEBHOOK_BREAKER_OPEN", duration{hooks<&hook_options::breaker_open_first>, 10ms, 1h},
     "That time; doubled at each failure after it."},
    {"CLAUDE_PROXY_WEBHOOK_BREAKER_OPEN_MAX", duration{hooks<&hook_options::breaker_open_max>, 10ms, 24h},
     "The most it becomes."},

    // The log's writer.
    {"CLAUDE_PROXY_FLUSH_EVERY", duration{log<&telemetry::options::flush_every>, 1ms, 10s},
     "Longest time a log line waits to be written."},
    {"CLAUDE_PROXY_RECORDS_MAX", count64{log<&telemetry::options::records_max>, 16, 1'000'000},
     "Finished requests of one reactor thread that may wait for the log; more are dropped and counted."},
};

}  // namespace

std::span<const row> rows() { return all_rows; }

}  // namespace config::table
