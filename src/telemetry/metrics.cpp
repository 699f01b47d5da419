#include "telemetry/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <sstream>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "base/money.hpp"
#include "telemetry/line.hpp"
#include "telemetry/process_usage.hpp"

#ifndef CLAUDE_PROXY_VERSION
#define CLAUDE_PROXY_VERSION "unknown"
#endif

namespace telemetry {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using buckets = prometheus::Histogram::BucketBoundaries;

const std::string overflow_label = "other";

// From a refusal to an answer that thinks for an hour.
const buckets& request_buckets() {
    static const buckets seconds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,    2.5,
                                 5,     10,   30,    60,   120, 300,  600, 1800, 3600};
    return seconds;
}

// Our own share is far below a millisecond; its place in a budget of 500 ms, and in our own of 25 ms, is the question
// (infra/slo/SLO_AND_ALERTS.md).
const buckets& overhead_buckets() {
    static const buckets seconds{50e-6, 100e-6, 200e-6, 300e-6, 500e-6, 750e-6, 1e-3,   1.5e-3, 2e-3, 3e-3,
                                 5e-3,  7.5e-3, 10e-3,  25e-3,  50e-3,  100e-3, 200e-3, 500e-3, 1};
    return seconds;
}

double seconds_of(std::uint64_t us) { return static_cast<double>(us) / 1e6; }

struct string_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class T>
using by_name = std::unordered_map<std::string, T, string_hash, std::equal_to<>>;

// A metric that is read, not counted: the callback, or the process's own numbers.
prometheus::MetricFamily read_family(metric_kind kind, std::string name, std::string help, double value,
                                     const metric_label& label = {}) {
    prometheus::MetricFamily family;
    family.name = std::move(name);
    family.help = std::move(help);
    family.type = kind == metric_kind::gauge ? prometheus::MetricType::Gauge : prometheus::MetricType::Counter;
    prometheus::ClientMetric sample;
    sample.gauge.value = value;
    sample.counter.value = value;
    if (!label.name.empty()) sample.label.push_back({label.name, label.value});
    family.metric.push_back(std::move(sample));
    return family;
}

prometheus::MetricFamily read_family(std::string name, std::string help, const histogram& of) {
    prometheus::ClientMetric sample;
    const auto counts = of.cumulative();
    auto& told = sample.histogram;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const bool last = i == of.bounds().size();
        told.bucket.push_back({.cumulative_count = counts[i],
                               .upper_bound = last ? std::numeric_limits<double>::infinity() : of.bounds()[i]});
    }
    told.sample_count = counts.back();
    told.sample_sum = of.sum();
    prometheus::MetricFamily family;
    family.name = std::move(name);
    family.help = std::move(help);
    family.type = prometheus::MetricType::Histogram;
    family.metric.push_back(std::move(sample));
    return family;
}

void append_process(std::vector<prometheus::MetricFamily>& all) {
    using enum metric_kind;
    const process_usage now = read_process_usage();
    all.push_back(
        read_family(counter, "process_cpu_seconds_total", "User and system CPU time in seconds.", now.cpu_seconds));
    all.push_back(read_family(gauge, "process_resident_memory_bytes", "Resident memory in bytes.", now.resident_bytes));
    all.push_back(read_family(gauge, "process_virtual_memory_bytes", "Virtual memory in bytes.", now.virtual_bytes));
    all.push_back(read_family(gauge, "process_open_fds", "Open file descriptors.", now.open_fds));
    all.push_back(read_family(gauge, "process_max_fds", "Most file descriptors that may be open.", now.max_fds));
    all.push_back(read_family(gauge, "process_threads", "Threads of the process.", now.threads));
    all.push_back(read_family(gauge, "process_start_time_seconds", "Start of the process in seconds since the epoch.",
                              now.start_time_seconds));
}

}  // namespace

token_classes classes_of(const anthropic::token_counts& tokens) {
    const std::uint64_t split_5m = tokens.cache_creation_5m.value_or(0);
    const std::uint64_t split_1h = tokens.cache_creation_1h.value_or(0);
    const std::uint64_t written = tokens.cache_creation_input_tokens;
    // Limits of the reader keep the sum far below overflow.
    const std::uint64_t unsplit = written > split_5m + split_1h ? written - split_5m - split_1h : 0;
    return {tokens.input_tokens, split_5m, split_1h, unsplit, tokens.cache_read_input_tokens, tokens.output_tokens};
}

std::string_view stream_end_of(const request_record& finished) {
    using base::errc;
    if (!finished.stream || finished.first_byte_us == 0 || finished.status < 200 || finished.status > 299) return {};
    if (finished.reason.empty()) return "complete";
    const auto is = [&finished](errc kind) { return base::facts_of(kind).reason == finished.reason; };
    if (is(errc::client_left) || is(errc::slow_reader)) return is(errc::client_left) ? "client_left" : "slow_reader";
    if (is(errc::upstream_cut)) return "cut";
    if (is(errc::upstream_error_event)) return "error_event";
    if (is(errc::shutting_down)) return "shutdown";
    if (is(errc::upstream_idle_timeout) || is(errc::upstream_total_timeout) || is(errc::upstream_first_content_timeout))
        return "timeout";
    return "error";
}

std::string_view whose_fault(const request_record& finished) {
    using base::errc;
    const int status = finished.status;
    if (finished.reason.empty()) {
        if (finished.attempts == 0 || status < 400) return {};
        if (status == 401) return "ours";
        return status == 429 || status >= 500 ? "upstream" : "client";
    }
    for (int i = 0; i <= static_cast<int>(base::errc_last); ++i) {
        const auto kind = static_cast<errc>(i);
        const auto facts = base::facts_of(kind);
        if (facts.reason != finished.reason) continue;
        if (kind == errc::upstream_unavailable && status < 400) return {};  // answered from memory
        switch (facts.whose) {
            case base::fault::client:
                return "client";
            case base::fault::ours:
                return "ours";
            case base::fault::upstream:
                return "upstream";
        }
    }
    return "ours";
}

struct metrics::callbacks {
    struct entry {
        metric_kind kind;
        std::string name;
        std::string help;
        std::function<double()> read;
        metric_label label;
    };
    struct histogram_entry {
        std::string name;
        std::string help;
        const histogram& of;
    };
    std::mutex mutex;
    std::vector<entry> entries;
    std::vector<histogram_entry> histograms;
};

struct metrics::families {
    explicit families(const limits& bounds) : limits_(bounds) {}

    Family<Counter>& counters(const char* name, const char* help) {
        return prometheus::BuildCounter().Name(std::string("claude_proxy_") + name).Help(help).Register(registry);
    }
    Family<Histogram>& histograms(const char* name, const char* help) {
        return prometheus::BuildHistogram().Name(std::string("claude_proxy_") + name).Help(help).Register(registry);
    }

    // The library's own lookup builds and hashes label maps; ours hashes one string, and not even that when the record
    // is like the one before, which under load it nearly always is.
    Counter& request(const request_record& finished) {
        key.clear();
        key.append(finished.route).push_back('\0');
        append_number(key, static_cast<std::uint64_t>(std::max(finished.status, 0)));
        key.push_back('\0');
        key.append(finished.reason);
        if (finished.reason.empty() && finished.attempts > 0 && finished.status >= 400)
            key.push_back('u');  // whose_fault
        if (last_request && key == last_key) return *last_request;
        auto found = request_counters.find(key);
        if (found == request_counters.end()) {
            const bool room = request_counters.size() < limits_.request_series_max;
            prometheus::Labels labels{{"route", std::string(route_label(finished.route))},
                                      {"status", room ? std::to_string(finished.status) : overflow_label}};
            if (room && !finished.reason.empty()) labels.emplace("reason", finished.reason);
            if (const auto whose = whose_fault(finished); !whose.empty()) labels.emplace("whose", whose);
            Counter& made = requests.Add(labels);
            if (!room) return made;
            found = request_counters.emplace(key, &made).first;
        }
        last_key = key;
        last_request = found->second;
        return *last_request;
    }

    std::string_view route_label(std::string_view route) {
        return routes.contains(route) || routes.size() < limits_.routes_max ? route : std::string_view(overflow_label);
    }

    Histogram& duration(const std::string& route) {
        if (last_duration && route == last_route) return *last_duration;
        auto found = routes.find(route);
        if (found == routes.end()) {
            const std::string label(route_label(route));
            Histogram& made = durations.Add({{"route", label}}, request_buckets());
            if (label != route) return made;
            found = routes.emplace(route, &made).first;
        }
        last_route = route;
        last_duration = found->second;
        return *last_duration;
    }

    // A model's counters, made when the first token of their class comes, or the first cost.
    struct model_counters {
        std::array<Counter*, 6> classes{};
        Counter* cost = nullptr;
    };

    by_name<model_counters>::value_type& of_model(const std::string& model) {
        const std::string& asked = model.empty() ? unknown_model : model;
        if (!last_model || last_model->first != asked) {
            auto found = models.find(asked);
            if (found == models.end()) {
                const bool room = models.size() < limits_.models_max;
                found = models.try_emplace(room ? asked : overflow_label).first;
            }
            last_model = &*found;
        }
        return *last_model;
    }

    void count_cost(const std::string& model, std::int64_t pico) {
        auto& [name, counters_of_model] = of_model(model);
        Counter*& counter = counters_of_model.cost;
        if (!counter) counter = &costs.Add({{"model", name}});
        counter->Increment(static_cast<double>(pico) / static_cast<double>(base::pico_per_dollar));
    }

    void count_tokens(const std::string& model, const token_classes& counts) {
        auto& [name, counters_of_model] = of_model(model);
        const auto add = [&](std::size_t number, const char* name_of_class, std::uint64_t count) {
            if (count == 0) return;
            Counter*& counter = counters_of_model.classes[number];
            if (!counter) counter = &tokens.Add({{"model", name}, {"class", name_of_class}});
            counter->Increment(static_cast<double>(count));
        };
        add(0, "input", counts.input);
        add(1, "cache_write_5m", counts.cache_write_5m);
        add(2, "cache_write_1h", counts.cache_write_1h);
        add(3, "cache_write_unsplit", counts.cache_write_unsplit);
        add(4, "cache_read", counts.cache_read);
        add(5, "output", counts.output);
    }

    void count_stream(std::string_view end) {
        auto found = stream_ends.find(end);
        if (found == stream_ends.end()) {
            found = stream_ends.emplace(end, &streams.Add({{"end", std::string(end)}})).first;
        }
        found->second->Increment();
    }

    const limits& limits_;
    const std::string unknown_model = "unknown";
    std::string key;
    prometheus::Registry registry;

    Family<Counter>& requests = counters(
        "requests_total", "Requests that are over, by route, status sent, our own reason and whose fault it was.");
    Family<Histogram>& durations =
        histograms("request_duration_seconds", "First byte of a request to the end of its answer.");
    Histogram& first_byte =
        histograms("time_to_first_byte_seconds", "First byte of a request to the first byte of its answer.")
            .Add({}, request_buckets());
    Histogram& first_content =
        histograms("time_to_first_content_seconds", "First byte of a request to the stream's first content.")
            .Add({}, request_buckets());
    Histogram& upstream_head =
        histograms("upstream_head_seconds", "First byte of a request to the upstream's response head.")
            .Add({}, request_buckets());
    Histogram& overhead =
        histograms("overhead_seconds", "Our own share of a request's time until it was written upstream.")
            .Add({}, overhead_buckets());
    Counter& attempts = counters("upstream_attempts_total", "Calls upstream, retries included.").Add({});
    Family<Counter>& tokens =
        counters("tokens_total", "Tokens the upstream reported, by response model and price class.");
    Family<Counter>& costs =
        counters("cost_dollars_total", "What requests cost, by response model; batches are not among them.");
    Counter& prices_unknown = counters("prices_unknown_total",
                                       "Requests of a model that no price row knows: charged at its family's highest.")
                                  .Add({});
    Family<Counter>& streams = counters("streams_total", "Streams that had begun, by how they ended.");
    Counter& disconnects =
        counters("client_disconnects_total", "Requests whose client left before the answer's end.").Add({});
    Counter& bytes_in = counters("bytes_in_total", "Bytes of request bodies.").Add({});
    Counter& bytes_out = counters("bytes_out_total", "Bytes of answer bodies.").Add({});
    Counter& pings = counters("pings_sent_total", "Pings of our own sent into silent streams.").Add({});
    Counter& damaged = counters("metering_damaged_total", "Answers whose usage could not be read completely.").Add({});
    Counter& dropped =
        counters("log_records_dropped_total", "Finished requests neither logged nor counted: the writer was too slow.")
            .Add({});
    Counter& lost =
        counters("log_lines_lost_total", "Log lines that could not be written: the log's reader was too slow or gone.")
            .Add({});

    by_name<Counter*> request_counters;
    by_name<Histogram*> routes;
    by_name<model_counters> models;
    by_name<Counter*> stream_ends;

    // What the record before was counted to; nodes of the maps above stay where they are.
    std::string last_key;
    Counter* last_request = nullptr;
    std::string last_route;
    Histogram* last_duration = nullptr;
    by_name<model_counters>::value_type* last_model = nullptr;
};

metrics::metrics() : metrics(limits{}) {}
metrics::metrics(limits bounds) : limits_(bounds), callbacks_(std::make_unique<callbacks>()) {}
metrics::~metrics() = default;

metrics::families& metrics::built() {
    if (!families_) {
        families_ = std::make_unique<families>(limits_);
        prometheus::BuildGauge()
            .Name("claude_proxy_build_info")
            .Help("Always 1; the version is the label.")
            .Register(families_->registry)
            .Add({{"version", CLAUDE_PROXY_VERSION}})
            .Set(1);
    }
    return *families_;
}

void metrics::add(metric_kind kind, std::string name, std::string help, std::function<double()> read,
                  metric_label label) {
    const std::lock_guard lock(callbacks_->mutex);
    callbacks_->entries.push_back(
        {kind, "claude_proxy_" + std::move(name), std::move(help), std::move(read), std::move(label)});
}

void metrics::add_histogram(std::string name, std::string help, const histogram& of) {
    const std::lock_guard lock(callbacks_->mutex);
    callbacks_->histograms.push_back({"claude_proxy_" + std::move(name), std::move(help), of});
}

void metrics::count(const request_record& finished) {
    families& to = built();
    to.request(finished).Increment();
    to.duration(finished.route).Observe(seconds_of(finished.total_us));
    const auto observe = [](Histogram& histogram, std::uint64_t us) {
        if (us != 0) histogram.Observe(seconds_of(us));
    };
    observe(to.first_byte, finished.first_byte_us);
    observe(to.first_content, finished.first_content_us);
    observe(to.upstream_head, finished.upstream_head_us);
    observe(to.overhead, finished.overhead_us);
    const auto add = [](Counter& counter, std::uint64_t count) {
        if (count != 0) counter.Increment(static_cast<double>(count));
    };
    add(to.attempts, finished.attempts);
    add(to.bytes_in, finished.bytes_in);
    add(to.bytes_out, finished.bytes_out);
    add(to.pings, finished.pings);
    add(to.damaged, finished.answer.damaged ? 1 : 0);
    add(to.disconnects, finished.reason == base::facts_of(base::errc::client_left).reason ? 1 : 0);
    add(to.prices_unknown, finished.price_unknown ? 1 : 0);
    if (finished.cost_pico > 0) to.count_cost(finished.answer.model, finished.cost_pico);
    if (const auto end = stream_end_of(finished); !end.empty()) to.count_stream(end);

    const auto& answer = finished.answer;
    if (answer.state == anthropic::answer_state::none) return;
    // The list, when there is one, is the whole of it: adding the top level too would count twice (docs/protocol.md).
    for (const auto& piece : answer.counts.iterations) {
        to.count_tokens(piece.model.empty() ? answer.model : piece.model, classes_of(piece.tokens));
    }
    if (answer.counts.iterations.empty()) to.count_tokens(answer.model, classes_of(answer.counts.tokens));
}

void metrics::count_dropped(std::uint64_t records) {
    if (records != 0) built().dropped.Increment(static_cast<double>(records));
}

void metrics::count_lost(std::uint64_t lines) {
    if (lines != 0) built().lost.Increment(static_cast<double>(lines));
}

std::string metrics::text() {
    auto all = built().registry.Collect();
    {
        const std::lock_guard lock(callbacks_->mutex);
        for (const auto& entry : callbacks_->entries) {
            auto family = read_family(entry.kind, entry.name, entry.help, entry.read(), entry.label);
            if (!all.empty() && all.back().name == family.name) {
                all.back().metric.push_back(std::move(family.metric.front()));
            } else {
                all.push_back(std::move(family));
            }
        }
        for (const auto& each : callbacks_->histograms) all.push_back(read_family(each.name, each.help, each.of));
    }
    append_process(all);
    // A family without samples is only noise, and a type without samples confuses strict parsers.
    std::erase_if(all, [](const auto& family) { return family.metric.empty(); });
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, all);
    return std::move(out).str();
}

}  // namespace telemetry
