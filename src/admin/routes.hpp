// What the admin API answers: the functions behind its one table.
#pragma once

#include "admin/endpoint.hpp"

namespace admin {

// teams.cpp
base::result<reply> list_teams(const request&, workbench&);
base::result<reply> create_team(const request&, workbench&);
base::result<reply> show_team(const request&, workbench&);
base::result<reply> update_team(const request&, workbench&);
base::result<reply> archive_team(const request&, workbench&);
// keys.cpp
base::result<reply> list_keys(const request&, workbench&);
base::result<reply> create_key(const request&, workbench&);
base::result<reply> show_key(const request&, workbench&);
base::result<reply> update_key(const request&, workbench&);
base::result<reply> rotate_key(const request&, workbench&);
base::result<reply> revoke_key(const request&, workbench&);
// limits.cpp
base::result<reply> list_budgets(const request&, workbench&);
base::result<reply> set_budget(const request&, workbench&);
base::result<reply> remove_budget(const request&, workbench&);
base::result<reply> list_limits(const request&, workbench&);
base::result<reply> set_limit(const request&, workbench&);
// usage.cpp
base::result<reply> report_usage(const request&, workbench&);
base::result<reply> explain_request(const request&, workbench&);
// jobs.cpp
base::result<reply> list_jobs(const request&, workbench&);
base::result<reply> show_job(const request&, workbench&);
base::result<reply> cancel_job(const request&, workbench&);
base::result<reply> redrive_job(const request&, workbench&);
base::result<reply> list_dead_letters(const request&, workbench&);
base::result<reply> redrive_dead_letters(const request&, workbench&);
// webhooks.cpp
base::result<reply> show_webhook_secret(const request&, workbench&);
base::result<reply> rotate_webhook_secret(const request&, workbench&);
base::result<reply> list_webhooks(const request&, workbench&);
base::result<reply> show_webhook(const request&, workbench&);
base::result<reply> replay_webhooks(const request&, workbench&);
// audit.cpp
base::result<reply> list_audit(const request&, workbench&);
base::result<reply> verify_audit(const request&, workbench&);
// resources.cpp
base::result<reply> claim_resource(const request&, workbench&);
// about.cpp
base::result<reply> show_prices(const request&, workbench&);
base::result<reply> show_config(const request&, workbench&);

}  // namespace admin
