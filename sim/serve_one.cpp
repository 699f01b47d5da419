#include "serve_one.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "exchange.hpp"
#include "handlers.hpp"
#include "state.hpp"

namespace sim {

namespace {

std::string credential_of(const request& asked) {
    if (const auto key = asked.value("x-api-key"); !key.empty()) return std::string(key);
    const std::string_view authorization = asked.value("authorization");
    constexpr std::string_view scheme = "bearer ";
    if (lower(authorization.substr(0, scheme.size())) != scheme) return {};
    return std::string(trim(authorization.substr(scheme.size())));
}

// What a well-behaved gateway never sends. Returns the first violation, or nothing.
std::optional<std::string> strict_violation(const request& asked) {
    if (asked.count("x-api-key") > 0 && asked.count("authorization") > 0) return "both x-api-key and authorization";
    for (const header& field : asked.headers) {
        static constexpr std::string_view single[] = {"x-api-key", "authorization", "anthropic-version",
                                                      "host",      "content-type",  "content-length"};
        static constexpr std::string_view hop[] = {"te", "trailer", "upgrade", "keep-alive"};
        if (std::ranges::find(single, field.name) != std::end(single) && asked.count(field.name) > 1)
            return field.name + " appears twice";
        if (field.name.starts_with("proxy-") || std::ranges::find(hop, field.name) != std::end(hop))
            return "hop-by-hop header " + field.name;
        if (field.name == "connection" && lower(field.value) != "keep-alive" && lower(field.value) != "close")
            return "connection: " + field.value;
        if (field.name == "accept-encoding" && lower(field.value) != "identity")
            return "accept-encoding: " + field.value;
        if (field.name == "anthropic-version" && field.value.find(',') != std::string::npos)
            return "anthropic-version is a list";
        if (field.name == "expect") return "expect was forwarded";
    }
    return {};
}

void fill_row(exchange& ex) {
    const request& asked = ex.asked;
    ledger_row& row = ex.row;
    row.started_at = wall_clock::now();
    row.request_id = ex.out.request_id;
    row.method = asked.method;
    row.path = asked.path;
    row.key_suffix = ex.key.size() > 6 ? ex.key.substr(ex.key.size() - 6) : ex.key;
    row.version = asked.value("anthropic-version");
    row.retry_count = asked.value("x-stainless-retry-count");
    row.user_agent = asked.value("user-agent");
    for (const header& field : asked.headers) {
        if (field.name == "anthropic-beta") row.beta += (row.beta.empty() ? "" : ", ") + field.value;
    }
}

void collect_faults(exchange& ex) {
    std::string faults;
    for (const header& field : ex.asked.headers) {
        if (field.name == "x-sim-fault") faults += (faults.empty() ? "" : ",") + field.value;
    }
    if (faults.empty()) faults = ex.world.faults.take(ex.asked.method, ex.asked.path, ex.key);
    ex.row.faults = faults;
    if (const auto wrong = ex.out.plan.add(faults)) throw invalid(*wrong);
}

// Reads what is left of the body, so that the connection can be used again.
void read_rest(request_reader& reader) {
    std::array<char, 16384> rest;
    const std::uint64_t before = reader.body_bytes();
    while (reader.body_bytes() - before <= unread_bytes_max && reader.read_body(rest.data(), rest.size()) > 0) continue;
}

void run(exchange& ex, request_reader& reader) {
    try {
        if (control(ex)) return;
        ex.world.truth.open(ex.row);
        ex.recorded = true;
        if (ex.world.chosen.strict) {
            if (const auto violation = strict_violation(ex.asked)) {
                ++ex.world.count.strict_violations;
                throw invalid("strict: " + *violation);
            }
        }
        collect_faults(ex);
        const bool early = ex.out.plan.status || ex.out.plan.html || ex.out.plan.ends_before_head();
        if (early && ex.asked.content_length.value_or(0) <= message_bytes_max) {
            // Such a fault answers after the whole request has arrived, like a server that worked on it.
            std::array<char, 16384> ignored;
            while (reader.read_body(ignored.data(), ignored.size()) > 0) continue;
        }
        if (ex.play_early_faults()) return;
        dispatch(ex);
    } catch (const api_error& error) {
        if (ex.out.started()) throw connection_cut{};
        if (error.retry_after) ex.out.add_header("retry-after", std::to_string(*error.retry_after));
        if (!error.should_retry.empty()) ex.out.add_header("x-should-retry", error.should_retry);
        ex.send(error.status, "application/json", error_envelope(error.type, error.message, ex.out.request_id));
    }
}

}  // namespace

bool serve_one(state& world, connection& peer, request_reader& reader, const request& asked) {
    reply out(peer, asked);
    out.request_id = unique_id("req_");
    exchange ex{
        .world = world, .asked = asked, .body = reader, .out = out, .key = credential_of(asked), .ids = {}, .row = {}};
    fill_row(ex);
    const auto note = [&](bool left) {
        ex.row.complete = false;
        ex.row.client_left = left;
        ex.row.request_bytes = reader.body_bytes();
        ex.save();
    };
    try {
        run(ex, reader);
        ex.row.request_bytes = reader.body_bytes();
        ex.save();
    } catch (const client_left&) {
        note(true);
        throw;
    } catch (const connection_cut&) {
        note(false);
        throw;
    } catch (const malformed_request& wrong) {
        ex.row.status = wrong.status;
        note(false);
        throw;
    }
    if (!out.keep_alive()) return false;
    read_rest(reader);
    return reader.body_finished();
}

void refuse_malformed(connection& peer, const malformed_request& wrong) {
    const std::string body = error_envelope("invalid_request_error", wrong.message, {});
    peer.write_all(fmt::format(
        "HTTP/1.1 {} Bad Request\r\nServer: cloudflare\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
        "Connection: close\r\n\r\n{}",
        wrong.status, body.size(), body));
}

}  // namespace sim
