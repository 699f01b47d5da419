// Deliveries of webhooks as the end of a job puts them into the database.
#pragma once

#include <string>

#include "database/connection.hpp"
#include "governance/key_secret.hpp"
#include "jobs/job.hpp"
#include "jobs/webhook_target.hpp"

namespace contract {

struct webhook_row {
    std::string url;
    std::string body;
    std::string team_id = "team_a";
    std::string job_id = "job_1";
};

inline std::string add_delivery(database::connection& on, const webhook_row& what, jobs::time_ms now) {
    std::string id = governance::new_id("evt_");
    on.execute(
        "INSERT INTO claude_proxy.webhook_deliveries (id, job_id, team_id, url, endpoint, event, body, state, next_at, "
        "created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 'job.succeeded', $6, 'waiting', $7, $7, $7)",
        {id, what.job_id, what.team_id, what.url, jobs::webhook_endpoint(what.url), what.body, now});
    return id;
}

}  // namespace contract
