// What is counted, for Prometheus. Labels are bounded: routes, statuses and reasons are ours, models are cut off at a
// named number; no label holds what a client sent.
//
// Nothing is built before the first count or scrape, so that a start costs nothing. Thread rule: one thread (the
// writer), except `add` and `add_histogram`, which any thread may call before the first scrape.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "telemetry/histogram.hpp"
#include "telemetry/request_record.hpp"

namespace telemetry {

enum class metric_kind : std::uint8_t { gauge, counter };

// Of a metric that is one of several under one name; without a name: it is alone.
struct metric_label {
    std::string name;
    std::string value;
};

// Tokens by the class they are priced in.
struct token_classes {
    std::uint64_t input = 0;
    std::uint64_t cache_write_5m = 0;
    std::uint64_t cache_write_1h = 0;
    std::uint64_t cache_write_unsplit = 0;  // writes that no TTL was told for
    std::uint64_t cache_read = 0;
    std::uint64_t output = 0;

    bool operator==(const token_classes&) const = default;
};
token_classes classes_of(const anthropic::token_counts& tokens);

// How a stream that had begun ended: complete, cut, client_left, slow_reader, error_event, timeout, shutdown or error.
// Empty when no stream had begun.
std::string_view stream_end_of(const request_record& finished);

// Whose fault it is that a request did not get what it asked for: client, ours or upstream; empty: it did get it. An
// error without a reason of ours is the upstream's answer: its 401 is about our credential, and so ours; 429 and 5xx
// are its own; any other 4xx is the client's.
std::string_view whose_fault(const request_record& finished);

class metrics {
public:
    struct limits {
        std::size_t models_max = 100;            // then "other"
        std::size_t request_series_max = 2'000;  // route, status and reason together; then status "other"
        std::size_t routes_max = 64;             // then "other"
    };

    metrics();
    explicit metrics(limits bounds);
    ~metrics();

    // Those of one name are added one behind the other.
    void add(metric_kind kind, std::string name, std::string help, std::function<double()> read,
             metric_label label = {});
    void add_histogram(std::string name, std::string help, const histogram& of);  // which outlives the scrapes
    void count(const request_record& finished);
    void count_dropped(std::uint64_t records);  // never reached the log or these metrics
    void count_lost(std::uint64_t lines);       // could not be written
    std::string text();                         // the exposition, format 0.0.4

private:
    struct callbacks;
    struct families;
    families& built();

    const limits limits_;
    std::unique_ptr<callbacks> callbacks_;
    std::unique_ptr<families> families_;
};

}  // namespace telemetry
