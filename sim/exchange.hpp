// One request and its answer, as handlers see them.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "api_error.hpp"
#include "http.hpp"
#include "ledger.hpp"
#include "reply.hpp"

namespace sim {

struct state;

struct exchange {
    state& world;
    const request& asked;
    request_reader& body;
    reply& out;
    std::string key;               // the credential, empty when there is none
    std::vector<std::string> ids;  // what the {} of the route matched
    ledger_row row;                // our line of the truth ledger
    bool recorded = false;         // false for control requests, which leave no line

    // Reads the whole body. Throws api_error 413 above the limit.
    std::string read_body(std::uint64_t bytes_max);
    boost::json::value read_json(std::uint64_t bytes_max);

    // A whole answer. The ledger line is complete before the last byte leaves, so that whoever has the answer finds it.
    void send(int status, std::string_view content_type, std::string_view text);
    void send_json(std::string_view text) { send(200, "application/json", text); }
    void save();

    // A control: the header of that name, else a line `name: value` of the text. Empty when neither is there.
    std::string wish(std::string_view name, std::string_view text = {}) const;
    // Plays the faults that come before any head: status, html, slow-head, cut-before-head, rst.
    // Throws api_error or connection_cut; returns true when the answer was already sent.
    bool play_early_faults();
};

// How much of a body nobody wanted is read so that the connection can go on.
constexpr std::uint64_t unread_bytes_max = 1 << 20;
constexpr std::uint64_t message_bytes_max = 32ULL << 20;
constexpr std::uint64_t batch_bytes_max = 256ULL << 20;

}  // namespace sim
