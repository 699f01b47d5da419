// Whose is it? Ids of batches, files, skills and containers belong to the team that made them (resources/owners.hpp).
// To everybody else they are not there, in the same words as ids that never were.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange.hpp"

namespace gateway {

struct resource_path {
    resources::kind what = resources::kind::file;
    std::string id{};  // empty: the collection itself
};

// What a normalised path of batches, files or skills names. Nothing for other paths.
std::optional<resource_path> resource_in(std::string_view path);

// Skills that Anthropic made have plain names and are everybody's.
bool is_everybodys(resources::kind what, std::string_view id);

// Whether the caller's team made every one of these. Waits for the database where an id is not in memory. Errors:
// not_found, resources_unavailable, client_left, shutting_down.
net::task<base::result<void>> must_be_own(exchange& x, service& s, std::vector<std::string> ids);

// The ids that a request names in its body (anthropic/references.hpp): the same, and invalid_argument for too many.
net::task<base::result<void>> may_reference(exchange& x, service& s, std::string_view body);

// From now on what code execution makes in the answer (files, a container) is the caller's team's.
void record_what_is_made(exchange& x, service& s);

// Before a batch is deleted upstream its results must be in the ledger: asks for that, and waits a moment. batches.cpp
// Errors: invalid_argument (it is still processing), resources_unavailable, client_left, shutting_down.
net::task<base::result<void>> settle_before_delete(exchange& x, service& s, const std::string& batch_id);

// An answer that made something: its `id` is the caller's team's from now on. Waits a moment for the database, so that
// other replicas know it too before the client does.
net::task<void> record_made(exchange& x, service& s, resources::kind what, std::string_view answer);

}  // namespace gateway
