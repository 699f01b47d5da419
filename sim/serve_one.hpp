// The frame around every request.
#pragma once

#include "http.hpp"

namespace sim {

struct state;

// Answers one request. Returns whether the connection can serve another. Throws client_left and connection_cut, after
// the ledger has been told.
bool serve_one(state& world, connection& peer, request_reader& reader, const request& asked);

// The answer to bytes that are no HTTP request.
void refuse_malformed(connection& peer, const malformed_request& wrong);

}  // namespace sim
