// Logs and metrics. Reactors hand over finished requests and never write, format or lock for long themselves: one
// writer thread takes what each reactor has gathered, formats log lines, writes them in one batch and counts metrics.
//
//   telemetry::hub hub(options, out_fd);        // starts the writer
//   telemetry::lane& lane = hub.add_lane();     // one per reactor, before it runs
//   lane.record(std::move(record));             // from that reactor's thread; never blocks
//   hub.log(level::info, "ready", {{"listen", "127.0.0.1:8080"}});   // any thread, for events that are not requests
//
// A lane holds at most `records_max` records between two rounds of the writer; more are counted as dropped
// (claude_proxy_log_records_dropped_total) and said once a second in the log. Metrics of dropped records are lost too.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "telemetry/metrics.hpp"
#include "telemetry/request_record.hpp"

namespace telemetry {

enum class level : std::uint8_t { debug, info, warn, error };
enum class format : std::uint8_t { text, json };

struct options {
    level level_min = level::info;               // LOG_LEVEL
    format form = format::json;                  // LOG_FORMAT
    std::chrono::milliseconds flush_every{100};  // longest time a line waits
    std::size_t records_max = 65536;             // per lane
};

class lane {
public:
    virtual ~lane() = default;
    virtual void record(request_record&& finished) = 0;
};

using field = std::pair<std::string_view, std::string>;

class hub {
public:
    hub(options settings, int out_fd);
    ~hub();  // flushes everything that was recorded before
    hub(const hub&) = delete;
    hub& operator=(const hub&) = delete;

    lane& add_lane();
    void log(level severity, std::string_view event, std::initializer_list<field> fields = {});

    // A value read at scrape time (open connections, in-flight bytes, ...). `read` is called from the thread that
    // scrapes.
    // `name` without the `claude_proxy_` prefix. Call before the first scrape.
    void add_gauge(std::string name, std::string help, std::function<double()> read, metric_label label = {});
    void add_counter(std::string name, std::string help, std::function<double()> read, metric_label label = {});
    void add_histogram(std::string name, std::string help, const histogram& of);

    // The Prometheus text exposition (format 0.0.4) of everything recorded so far: waits until what lanes had recorded
    // when it was called is counted. Any thread but a lane's reactor may call it; a reactor uses `scrape_async`.
    std::string scrape();
    // Calls `done` on the writer thread with the text.
    void scrape_async(std::function<void(std::string)> done);

private:
    struct state;
    std::unique_ptr<state> state_;
};

// One line of the log for a finished request, without the newline; exposed for tests.
std::string format_request(const request_record& finished, format form);

}  // namespace telemetry
