// Faults on demand: what a request header (`x-sim-fault`), a line of the prompt or POST /sim/faults asks the simulator
// to do wrong. A plan is a value; the places that misbehave read it. The list of kinds with their help is in
// faults.cpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace sim {

struct status_fault {
    int status = 500;
    std::optional<std::uint64_t> retry_after;
    std::string should_retry;  // value of x-should-retry, empty: absent
};

enum class overload_place { never, first, start, content };

struct fault_plan {
    std::optional<status_fault> status;
    std::optional<int> html;
    std::optional<std::chrono::milliseconds> slow_head;
    std::optional<std::chrono::milliseconds> delay_first_event;
    std::optional<std::chrono::milliseconds> event_interval;
    std::optional<std::uint64_t> stall_after_events;
    std::optional<std::uint64_t> stall_after_bytes;
    std::optional<std::uint64_t> cut_at_byte;
    std::optional<std::uint64_t> cut_after_events;
    std::optional<std::uint64_t> clean_eof_after_events;
    std::optional<std::uint64_t> garbage;
    std::optional<std::uint64_t> split;
    std::optional<std::uint64_t> big_head;
    overload_place overload = overload_place::never;
    bool cut_before_head = false;
    bool garbage_json = false;
    bool crlf = false;
    bool unknown_events = false;
    bool trailing_spaces = false;
    bool no_usage = false;
    bool close_delimited = false;
    bool http10 = false;
    bool rst = false;
    bool bad_chunk = false;
    bool informational = false;

    // Adds what the text asks for (KIND[=ARG], comma separated). Returns what is wrong with it, or nothing.
    std::optional<std::string> add(std::string_view text);
    // Must the connection end without an answer head?
    bool ends_before_head() const;
};

// One line a kind, for --help.
std::string fault_help();

// Faults armed through POST /sim/faults: each applies to the next `count` matching requests. Thread safe.
class armed_faults {
public:
    struct entry {
        std::string fault;
        std::uint64_t count = 1;
        std::string path;        // exact, or a prefix when it ends in '*'; empty matches all
        std::string method;      // empty matches all
        std::string key_suffix;  // empty matches all
    };

    void arm(entry what);
    void clear();
    std::deque<entry> list() const;
    // The text of the first entry that matches, counted down. Empty when none does.
    std::string take(std::string_view method, std::string_view path, std::string_view key);

private:
    mutable std::mutex mutex_;
    std::deque<entry> entries_;
};

}  // namespace sim
