// The control endpoints of tests: /sim/faults, /sim/ledger, /sim/stats, /sim/cache, /sim/files and /health.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <limits>

#include "exchange.hpp"
#include "handlers.hpp"
#include "state.hpp"

namespace sim {

namespace json = boost::json;

namespace {

constexpr std::uint64_t control_bytes_max = 1 << 20;

std::string text_member(const json::object& fields, std::string_view name) {
    const json::value* found = fields.if_contains(name);
    if (found == nullptr || found->is_null()) return {};
    if (!found->is_string()) throw invalid(fmt::format("{}: must be a string", name));
    return std::string(found->get_string());
}

void arm_fault(exchange& ex) {
    const json::value body = ex.read_json(control_bytes_max);
    const json::object* fields = body.if_object();
    if (fields == nullptr) throw invalid("an object is expected");
    armed_faults::entry entry{.fault = text_member(*fields, "fault"), .path = {}, .method = {}, .key_suffix = {}};
    if (entry.fault.empty()) throw invalid("fault: required");
    fault_plan trial;
    if (const auto wrong = trial.add(entry.fault)) throw invalid(*wrong);
    if (const json::value* count = fields->if_contains("count")) {
        if (!count->is_int64() || count->get_int64() < 1) throw invalid("count: a positive integer is expected");
        entry.count = static_cast<std::uint64_t>(count->get_int64());
    }
    if (const json::value* match = fields->if_contains("match"); match != nullptr && match->is_object()) {
        entry.path = text_member(match->get_object(), "path");
        entry.method = text_member(match->get_object(), "method");
        entry.key_suffix = text_member(match->get_object(), "key_suffix");
    }
    ex.world.faults.arm(std::move(entry));
    ex.send_json("{}");
}

void list_faults(exchange& ex) {
    std::string text;
    for (const auto& entry : ex.world.faults.list()) {
        text += fmt::format(R"({}{{"fault":{},"count":{},"match":{{"path":{},"method":{},"key_suffix":{}}}}})",
                            text.empty() ? "" : ",", quote(entry.fault), entry.count, quote_or_null(entry.path),
                            quote_or_null(entry.method), quote_or_null(entry.key_suffix));
    }
    ex.send_json(fmt::format(R"({{"faults":[{}]}})", text));
}

void clear_faults(exchange& ex) {
    ex.world.faults.clear();
    ex.send_json("{}");
}

std::uint64_t number_parameter(const exchange& ex, std::string_view name, std::uint64_t otherwise) {
    const auto text = ex.asked.parameter(name);
    std::uint64_t number = otherwise;
    if (text && !read_number(*text, number)) throw invalid(fmt::format("{}: a number is expected", name));
    return number;
}

void show_ledger(exchange& ex) {
    advance_batches(ex.world);
    const auto since = number_parameter(ex, "since", 0);
    ex.send_json(
        ex.world.truth.to_json(since, number_parameter(ex, "limit", std::numeric_limits<std::uint64_t>::max())));
}

void clear_ledger(exchange& ex) {
    ex.world.truth.clear();
    ex.send_json("{}");
}

void clear_cache(exchange& ex) {
    ex.world.cache.clear();
    ex.send_json("{}");
}

void show_stats(exchange& ex) {
    const counters& count = ex.world.count;
    ex.send_json(fmt::format(
        R"({{"open_connections":{},"connections_accepted":{},"connections_refused":{},"active_streams":{},)"
        R"("cancelled_streams":{},"strict_violations":{},"pid":{}}})",
        count.connections_open.load(), count.connections_accepted.load(), count.connections_refused.load(),
        count.streams_active.load(), count.streams_cancelled.load(), count.strict_violations.load(), ::getpid()));
}

void show_files(exchange& ex) {
    std::vector<std::shared_ptr<const stored_file>> files;
    {
        const std::lock_guard lock(ex.world.files.mutex);
        files = ex.world.files.newest_last;
    }
    std::string text;
    for (const auto& file : files) {
        text += fmt::format(R"({}{{"id":{},"filename":{},"mime_type":{},"size_bytes":{},"sha256":{}}})",
                            text.empty() ? "" : ",", quote(file->id), quote(file->filename), quote(file->mime_type),
                            file->size, quote(file->sha256));
    }
    ex.send_json(fmt::format(R"({{"files":[{}]}})", text));
}

struct control_route {
    std::string_view method;
    std::string_view path;
    void (*handle)(exchange&);
};

constexpr control_route control_routes[] = {
    {"POST", "/sim/faults", arm_fault},      {"GET", "/sim/faults", list_faults},
    {"DELETE", "/sim/faults", clear_faults}, {"GET", "/sim/ledger", show_ledger},
    {"DELETE", "/sim/ledger", clear_ledger}, {"DELETE", "/sim/cache", clear_cache},
    {"GET", "/sim/stats", show_stats},       {"GET", "/sim/files", show_files},
};

}  // namespace

bool control(exchange& ex) {
    if (ex.asked.path == "/health") {
        ex.out.bare = true;
        ex.send_json(R"({"status":"ok"})");
        return true;
    }
    if (!ex.asked.path.starts_with("/sim/")) return false;
    ex.out.bare = true;
    if (!ex.out.peer().peer_is_loopback()) throw not_found("Not found");
    for (const control_route& one : control_routes) {
        if (one.path != ex.asked.path || one.method != ex.asked.method) continue;
        one.handle(ex);
        return true;
    }
    throw not_found("Not found");
}

}  // namespace sim
