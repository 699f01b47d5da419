#include "app/serve.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "admin/front.hpp"
#include "app/enforcement.hpp"
#include "app/job_parts.hpp"
#include "app/open_database.hpp"
#include "app/secrets_keeper.hpp"
#include "app/stores.hpp"
#include "app/webhook_parts.hpp"
#include "app/worker_parts.hpp"
#include "gateway/batch_poller.hpp"
#include "gateway/front.hpp"
#include "gateway/model_list_cache.hpp"
#include "http/server.hpp"

namespace app {
namespace {

using telemetry::level;

// One reactor thread with everything that belongs to it. Declared in order of dependence; nothing here is shared.
struct reactor_thread {
    reactor_thread(const config::settings& settings, const upstream::origin& origin, net::resolver& names,
                   SSL_CTX* upstream_tls, SSL_CTX* listener_tls, stores& kept, enforcement& rules,
                   gateway::model_list_cache& models, gateway::answer_book& answers,
                   gateway::count_tokens_limit& counting, upstream::quota* quota, gateway::job_desk& jobs,
                   http::server_load& load, telemetry::hub& hub)
        : upstream(reactor, settings.upstream, origin, names, upstream_tls),
          who{.rules = settings.governance,
              .directory = kept.keeper().current(),
              .keeper = kept.keeper(),
              .hasher = kept.hasher(),
              .prices = kept.prices(),
              .money = rules.money(),
              .tokens = governance::token_verifier(kept.jwt())},
          parts{settings.gateway, who,      rules.add_lane(), upstream,       hub.add_lane(), hub,  models,
                answers,          counting, kept.owners(),    kept.batches(), quota,          &jobs},
          requests(parts),
          server(reactor, settings.server, load, requests, listener_tls) {
        reactor.on_failure = [&hub](std::exception_ptr failure) {
            try {
                std::rethrow_exception(failure);
            } catch (const std::exception& problem) {
                hub.log(level::error, "task_failed", {{"what", problem.what()}});
            }
        };
    }

    net::reactor reactor;
    upstream::client upstream;
    gateway::tenancy who;
    gateway::service parts;
    gateway::front requests;
    http::server server;
    std::thread thread;
};

std::string text_of(const config::address& where, std::uint16_t port) {
    return fmt::format(fmt::runtime(where.host.find(':') == std::string::npos ? "{}:{}" : "[{}]:{}"), where.host, port);
}

// As many descriptors as the system lets us have: each stream needs two.
void raise_open_file_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t block_signals() {
    signal(SIGPIPE, SIG_IGN);
    sigset_t handled;
    sigemptyset(&handled);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&handled, number);
    pthread_sigmask(SIG_BLOCK, &handled, nullptr);
    return handled;
}

void add_gauges(telemetry::hub& hub, const http::server_load& load,
                const std::vector<std::unique_ptr<reactor_thread>>& threads) {
    const auto sum = [&threads](auto member) {
        return [&threads, member] {
            double total = 0;
            for (const auto& thread : threads) total += static_cast<double>((thread->upstream.counts().*member).load());
            return total;
        };
    };
    using counts = upstream::client_counts;
    hub.add_gauge("connections_open", "Client connections open now.",
                  [&load] { return static_cast<double>(load.connections.load()); });
    hub.add_counter("connections_accepted_total", "Client connections accepted.",
                    [&load] { return static_cast<double>(load.accepted_total.load()); });
    hub.add_counter("connections_refused_total", "Client connections refused over connections_max.",
                    [&load] { return static_cast<double>(load.refused_total.load()); });
    hub.add_gauge("in_flight_body_bytes", "Bytes of request bodies held in memory.",
                  [&load] { return static_cast<double>(load.in_flight_bytes.load()); });
    hub.add_gauge("draining", "1 once the process has been told to stop.",
                  [&load] { return load.draining.load() ? 1.0 : 0.0; });
    hub.add_gauge("upstream_connections_idle", "Pooled upstream connections.", sum(&counts::idle));
    hub.add_gauge("upstream_calls_active", "Calls upstream under way.", sum(&counts::active));
    hub.add_counter("upstream_connects_total", "Connections opened to the upstream.", sum(&counts::connects));
    hub.add_counter("upstream_connect_failures_total", "Connections to the upstream that failed.",
                    sum(&counts::connect_failures));
    hub.add_counter("upstream_reuses_total", "Calls on a pooled connection.", sum(&counts::reuses));
    hub.add_counter("upstream_stale_total", "Pooled connections found closed.", sum(&counts::stale));
    hub.add_counter("upstream_tls_resumptions_total", "TLS handshakes that resumed a session.",
                    sum(&counts::tls_resumptions));
}

// Two stages: not ready but serving, then running requests and jobs may finish; what is left is ended, and such jobs go
// back into the queue. A second signal cuts short.
void drain(const config::settings& settings, role as, const sigset_t& signals, telemetry::hub& hub,
           http::server_load& load, worker_parts& work, std::vector<std::unique_ptr<reactor_thread>>& threads) {
    using clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds look_every{50};
    constexpr std::chrono::milliseconds goodbye_time{3'000};  // for the last events and closes after the cut
    bool cut = false;
    const auto on_all = [&threads](void (http::server::*what)()) {
        for (const auto& thread : threads)
            thread->reactor.post([what, each = thread.get()] { (each->server.*what)(); });
    };
    // Waits until `done` or the time is over or another signal comes.
    const auto wait = [&](clock::time_point until, auto done) {
        while (!cut && !done() && clock::now() < until) {
            const timespec pause{0, std::chrono::nanoseconds(look_every).count()};
            const int number = sigtimedwait(&signals, nullptr, &pause);
            cut = number == SIGTERM || number == SIGINT;
        }
    };
    // Who gets requests has to hear first that we are not ready; a worker gets none.
    const auto delay = as.answers ? settings.gateway.drain_delay : std::chrono::milliseconds(0);
    load.draining = true;
    work.stop_claiming();
    hub.log(level::info, "draining",
            {{"delay_ms", fmt::to_string(delay.count())},
             {"timeout_ms", fmt::to_string(settings.gateway.drain_timeout.count())}});
    wait(clock::now() + delay, [] { return false; });
    on_all(&http::server::stop_accepting);
    const auto idle_closed = [&] {
        on_all(&http::server::close_idle);
        return load.connections.load() == 0 && !work.busy();
    };
    wait(clock::now() + settings.gateway.drain_timeout, idle_closed);
    if (const auto left = load.connections.load(); left > 0 || work.busy()) {
        hub.log(level::warn, "cutting",
                {{"connections", fmt::to_string(left)},
                 {"jobs", work.busy() ? "handed back" : "none"},
                 {"why", cut ? "second signal" : "drain_timeout"}});
        work.hand_back();
        on_all(&http::server::cancel_all);
        const auto until = clock::now() + goodbye_time;
        while ((load.connections.load() > 0 || work.busy()) && clock::now() < until)
            std::this_thread::sleep_for(look_every);
    }
}

// The public listener: one socket a reactor, all on the same port, which is returned.
std::uint16_t listen(const config::settings& settings, std::vector<std::unique_ptr<reactor_thread>>& threads) {
    // Sharing a port would also share it with a stranger: make sure that nobody listens there first.
    const bool shared = threads.size() > 1;
    if (shared && settings.listen.port != 0)
        close(http::bind_listener(settings.listen.host, settings.listen.port, false));
    std::uint16_t port = settings.listen.port;
    for (const auto& thread : threads) {
        const int listener = http::bind_listener(settings.listen.host, port, shared);
        port = http::bound_port(listener);
        thread->server.listen(listener);
    }
    return port;
}

// What new connections take while the process runs.
struct live_urls {
    std::shared_ptr<base::live_secret> database;
    std::shared_ptr<base::live_secret> redis;
};

live_urls make_live(config::settings& settings) {
    live_urls made{std::make_shared<base::live_secret>(settings.database.url),
                   std::make_shared<base::live_secret>(settings.redis.url)};
    settings.database.live_url = made.database;
    settings.redis.live_url = made.redis;
    return made;
}

int run(const config::settings& settings, const live_urls& urls, settings_source& source,
        settings_source::reading in_force, role as, telemetry::hub& hub, const sigset_t& signals) {
    const auto origin = upstream::parse_origin(settings.upstream.url);
    if (!origin) throw std::runtime_error("CLAUDE_PROXY_UPSTREAM_URL: " + origin.error());
    const auto listener_tls =
        settings.tls_cert_file.empty() ? nullptr : net::server_context(settings.tls_cert_file, settings.tls_key_file);
    const auto upstream_tls = origin->tls ? net::client_context(settings.upstream.ca_file) : nullptr;
    net::resolver names(origin->host, origin->port, settings.upstream.resolve_every);
    gateway::model_list_cache models;
    gateway::answer_book answers(settings.gateway.idempotency_ttl, settings.gateway.idempotency_bytes_max);
    gateway::count_tokens_limit counting(settings.gateway.count_tokens_per_minute);
    enforcement rules(settings, hub);
    stores kept(settings, rules, rules.replica(), hub);
    rules.start();
    webhook_parts webhooks(settings, kept.hasher(), hub);
    job_parts jobs(settings, rules.replica(), webhooks.rules(), hub);
    jobs.store().hold_claims_on(rules.budgets());
    worker_parts work(settings, jobs, rules.replica(), as.works, hub);
    http::server_load load;
    http::server_load admin_load;

    const unsigned count = settings.threads > 0 ? settings.threads : std::max(1u, std::thread::hardware_concurrency());
    std::vector<std::unique_ptr<reactor_thread>> threads;
    for (unsigned i = 0; i < count; ++i) {
        threads.push_back(std::make_unique<reactor_thread>(settings, *origin, names, upstream_tls.get(),
                                                           listener_tls.get(), kept, rules, models, answers, counting,
                                                           work.quota(), jobs.desk(), load, hub));
    }
    // The keepers' threads run from here on. New snapshots reach the reactors as work of theirs.
    const auto on_all_reactors = [&threads](const auto& change) {
        for (const auto& thread : threads) thread->reactor.post([change, each = thread.get()] { change(*each); });
    };
    kept.start({.directory =
                    [&](std::shared_ptr<const governance::directory> made) {
                        on_all_reactors([made](reactor_thread& each) { each.who.directory = made; });
                    },
                .keys =
                    [&](std::shared_ptr<const governance::key_set> made) {
                        on_all_reactors([made](reactor_thread& each) { each.who.tokens.use(made); });
                    }});
    for (const auto& thread : threads) thread->who.issuer = kept.issuer();
    webhooks.start(rules.replica());
    jobs.on_change([&webhooks](jobs::change::what kind, const std::string&, job_parts::origin) {
        if (kind == jobs::change::what::state) webhooks.wake();
    });
    jobs.start();
    admin::services administered = kept.admin_services(settings, hub, load);
    administered.jobs = [&jobs]() -> jobs::store& { return jobs.store(); };
    admin::front admin_requests(std::move(administered));
    http::server admin_server(threads.front()->reactor, settings.server, admin_load, admin_requests, nullptr);

    const std::uint16_t port = as.answers ? listen(settings, threads) : std::uint16_t{0};
    const int admin_listener = http::bind_listener(settings.admin_listen.host, settings.admin_listen.port, false);
    const std::uint16_t admin_port = http::bound_port(admin_listener);
    admin_server.listen(admin_listener);
    net::reactor& first = threads.front()->reactor;
    gateway::batch_poller batch_looks({.reactor = first,
                                       .upstream = threads.front()->upstream,
                                       .book = kept.batches(),
                                       .owners = kept.owners(),
                                       .prices = kept.prices(),
                                       .log = hub,
                                       .now = clock_ms});
    first.post([&batch_looks] { batch_looks.start(); });

    // Last of all that it tells of changes, and so the first to go.
    secrets_keeper secrets(source, std::move(in_force), hub);
    secrets.on("ANTHROPIC_API_KEY", [&](const config::settings& now) {
        on_all_reactors([all = now.upstream.credentials](reactor_thread& each) { each.upstream.use_credentials(all); });
    });
    for (const auto* name : {"CLAUDE_PROXY_JWT_SECRET", "CLAUDE_PROXY_JWT_SECRET_PREVIOUS"}) {
        secrets.on(name, [&](const config::settings& now) {
            on_all_reactors([secret = now.jwt.secret, previous = now.jwt.secret_previous](reactor_thread& each) {
                each.who.tokens.use_secrets(secret, previous);
            });
        });
    }
    secrets.on("CLAUDE_PROXY_API_KEYS",
               [&](const config::settings& now) { kept.keeper().use_static_keys(now.gateway.api_keys); });
    secrets.on("CLAUDE_PROXY_ADMIN_KEY", [&](const config::settings& now) {
        first.post([&admin_requests, key = now.admin_key] { admin_requests.use_admin_key(key); });
    });
    secrets.on("DATABASE_URL", [&](const config::settings& now) { urls.database->use(now.database.url); });
    secrets.on("REDIS_URL", [&](const config::settings& now) { urls.redis->use(now.redis.url); });
    add_gauges(hub, load, threads);
    secrets.add_metrics();
    rules.add_metrics(hub);
    work.add_metrics(hub);
    jobs.add_metrics(hub);

    for (const auto& thread : threads) {
        thread->thread = std::thread([each = thread.get()] {
            pthread_setname_np(pthread_self(), "reactor");
            each->reactor.run();
        });
    }
    hub.log(level::info, "listening",
            {{"listen", as.answers ? text_of(settings.listen, port) : "nowhere"},
             {"admin_listen", text_of(settings.admin_listen, admin_port)},
             {"tls", listener_tls ? "yes" : "no"},
             {"upstream", settings.upstream.url},
             {"threads", fmt::to_string(count)},
             {"pid", fmt::to_string(getpid())}});

    secrets.start();

    std::vector<worker_parts::seat> seats;
    for (const auto& thread : threads) seats.push_back({thread->reactor, thread->parts});
    work.start(seats, load);

    for (;;) {
        int number = 0;
        if (sigwait(&signals, &number) != 0) continue;
        if (number != SIGHUP) break;
        secrets.look_now();
    }
    drain(settings, as, signals, hub, load, work, threads);
    for (const auto& thread : threads) thread->reactor.stop();
    for (const auto& thread : threads) thread->thread.join();
    secrets.stop();  // it posts to the reactors
    webhooks.stop();
    kept.stop();  // it posts to the reactors
    for (const auto& thread : threads) thread->reactor.abandon_tasks();
    work.stop();
    jobs.finish();  // it posts to the reactors too, and decides what becomes of held money
    kept.close();
    hub.scrape();  // the last of the telemetry writer's visits to what is about to go, the ledger's counts included
    rules.finish();
    hub.log(level::info, "stopped");
    return 0;
}

}  // namespace

int serve(settings_source& source, settings_source::reading read, role as) {
    const sigset_t signals = block_signals();
    raise_open_file_limit();
    config::settings settings = read.settings;
    const live_urls urls = make_live(settings);
    telemetry::hub hub(settings.log, STDERR_FILENO);
    for (const auto& warning : settings.warnings) hub.log(level::warn, "setting", {{"what", warning}});
    try {
        return run(settings, urls, source, std::move(read), as, hub, signals);
    } catch (const std::exception& problem) {
        hub.log(level::error, "cannot_start", {{"what", problem.what()}});
        return 1;
    }
}

}  // namespace app
